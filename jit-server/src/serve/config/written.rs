//! The file as it is written.

use std::net::SocketAddr;
use std::path::PathBuf;

use jit_core::span::Span;
use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) policy: Spanned<PathBuf>,
    pub(super) people: Spanned<PathBuf>,
    pub(super) database: Spanned<PathBuf>,
    pub(super) verify_log: Option<bool>,
    pub(super) listen: Listen,
    pub(super) upstreams: Spanned<Vec<Spanned<Upstream>>>,
    #[serde(default)]
    pub(super) identity: Identity,
    pub(super) console: Option<Console>,
    pub(super) authz: Option<Authz>,
    pub(super) operator: Option<Spanned<Operator>>,
    #[serde(default)]
    pub(super) stop: Stop,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca_file: Option<Spanned<PathBuf>>,
    pub(super) client_certificates: Option<Spanned<ClientCertificates>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ClientCertificates {
    Required,
    Optional,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) addr: Spanned<SocketAddr>,
    pub(super) tls: Option<Tls>,
    pub(super) connections: Option<Spanned<usize>>,
    pub(super) head_timeout: Option<Span>,
    pub(super) idle_timeout: Option<Span>,
    pub(super) websocket_idle_timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    pub(super) name: Spanned<String>,
    pub(super) hosts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) paths: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) servers: Spanned<Vec<Spanned<String>>>,
    pub(super) tls: Option<Spanned<UpstreamTls>>,
    pub(super) connect_timeout: Option<Span>,
    pub(super) head_timeout: Option<Span>,
    pub(super) failures: Option<Spanned<u32>>,
    pub(super) rest: Option<Span>,
    pub(super) health: Option<Health>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamTls {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) server_name: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    pub(super) path: Spanned<String>,
    pub(super) host: Option<Spanned<String>>,
    pub(super) interval: Option<Span>,
    pub(super) timeout: Option<Span>,
    pub(super) passes: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    #[serde(default)]
    pub(super) jwt: Vec<Spanned<Jwt>>,
    pub(super) mtls: Option<Spanned<Mtls>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mtls {
    pub(super) issuer: String,
    pub(super) names: Vec<Spanned<CertificateName>>,
    pub(super) trust_domains: Option<Spanned<Vec<String>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CertificateName {
    Spiffe,
    Dns,
    Email,
    CommonName,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Jwt {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Spanned<String>>,
    pub(super) keys: Option<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    #[default]
    Any,
    AccessToken,
    Jwt,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Console {
    pub(super) addr: Spanned<SocketAddr>,
    pub(super) origin: Spanned<String>,
    #[serde(default)]
    pub(super) guarded: Vec<Spanned<String>>,
    pub(super) tls: Option<Tls>,
    #[serde(default = "yes")]
    pub(super) strict_transport: bool,
    pub(super) sign_in: Option<Spanned<SignIn>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    pub(super) name: String,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) secret_file: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) algorithms: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) dangerous_http_on_loopback: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authz {
    pub(super) addr: Spanned<SocketAddr>,
    pub(super) proxies: Spanned<Vec<String>>,
    pub(super) page: Option<Spanned<String>>,
    pub(super) control: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operator {
    pub(super) addr: Option<Spanned<SocketAddr>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    pub(super) delay: Option<Span>,
    pub(super) grace: Option<Span>,
}

const fn yes() -> bool {
    true
}
