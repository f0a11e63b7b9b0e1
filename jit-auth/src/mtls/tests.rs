//! Real handshakes over loopback, with certificates made here.

use jit_core::clock::Clock;
use jit_core::testing::ManualClock;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;
type Certified = (CertificateDer<'static>, PrivateKeyDer<'static>);

const DOMAIN: &str = "spiffe://prod.example/ci/deploy";

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certify(by: &Authority, params: &CertificateParams) -> Certified {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    (
        certificate.der().clone(),
        PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    )
}

fn client(sans: &[SanType], common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    if !common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    params.subject_alt_names = sans.to_vec();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 2, 1);
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

struct World {
    clock: Arc<ManualClock>,
    servers: Authority,
    clients: Authority,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        clock.set(at("2026-01-10T00:00:00Z"));
        Self {
            clock,
            servers: authority("servers"),
            clients: authority("clients"),
        }
    }

    fn tls(&self) -> ServerTls {
        self.tls_with(vec![self.clients.der().clone()])
    }

    fn tls_with(&self, authorities: Vec<CertificateDer<'static>>) -> ServerTls {
        let names = ["app.example", "other.example"].map(str::to_owned);
        let (certificate, key) = certify(&self.servers, &CertificateParams::new(names).unwrap());
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        ServerTls::new(vec![certificate], key, authorities, clock)
    }

    /// What the server has after a client with this certificate has asked for this name.
    async fn shake(
        &self,
        server: Arc<ServerConfig>,
        certified: Option<Certified>,
        server_name: Option<&str>,
    ) -> Result<TlsConnection, HandshakeError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.servers.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match certified {
            Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => config.with_no_client_auth(),
        };
        config.enable_sni = server_name.is_some();
        let name = ServerName::try_from(server_name.unwrap_or("app.example").to_owned()).unwrap();
        let client = tokio::spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            // In TLS 1.3 the client learns only now whether the server has taken its certificate.
            if let Ok(mut stream) = connector.connect(name, stream).await {
                let _ = stream.write_all(b"x").await;
                let _ = stream.read(&mut [0]).await;
            }
        });
        let (stream, _) = listener.accept().await.unwrap();
        let accepted = TlsAcceptor::new(server).accept(stream).await;
        let answer = accepted.map(|(_, connection)| connection);
        client.await.unwrap();
        answer
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn spiffe() -> NameKind {
    NameKind::spiffe(["prod.example"]).unwrap()
}

async fn prove(
    authenticator: &MtlsAuthenticator,
    connection: Option<TlsConnection>,
    host: &str,
    now: Timestamp,
) -> String {
    let request = http::Request::builder().uri("/").header("host", host);
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    if let Some(connection) = connection {
        head.extensions.insert(connection);
    }
    match authenticator.present(&head, None) {
        Presented::Nothing => "nothing".to_owned(),
        Presented::Malformed => "malformed".to_owned(),
        Presented::Credential { bytes, source } => {
            assert!(matches!(bytes, std::borrow::Cow::Borrowed(_)));
            match authenticator.verify(&bytes, source, now).await {
                Ok(subject) => {
                    assert_eq!(subject.expires_at, Some(at("2026-02-01T00:00:00Z")));
                    assert_eq!(subject.assurance, Assurance::default());
                    subject.principal.to_string()
                }
                Err(_) => "invalid".to_owned(),
            }
        }
    }
}

#[tokio::test]
async fn only_a_good_certificate_completes_the_handshake() {
    let world = World::new();
    let server = world.tls().build().unwrap();
    let stranger = authority("clients");
    let good = || client(&[uri(DOMAIN)], "");
    let changed = |change: fn(&mut CertificateParams)| {
        let mut params = good();
        change(&mut params);
        Some(certify(&world.clients, &params))
    };
    for (what, certified, expected) in [
        ("good", changed(|_| {}), true),
        ("no certificate", None, false),
        (
            "another authority of the same name",
            Some(certify(&stranger, &good())),
            false,
        ),
        (
            "expired",
            changed(|params| params.not_after = date_time_ymd(2026, 1, 9)),
            false,
        ),
        (
            "early",
            changed(|params| params.not_before = date_time_ymd(2026, 1, 11)),
            false,
        ),
        (
            "for servers",
            changed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            false,
        ),
    ] {
        let answer = world
            .shake(Arc::clone(&server), certified, Some("app.example"))
            .await;
        assert_eq!(answer.is_ok(), expected, "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn the_identity_is_the_handshakes_and_for_its_host_alone() {
    let world = World::new();
    let server = world.tls().build().unwrap();
    let authenticator = MtlsAuthenticator::new("ca", [spiffe()]).unwrap();
    let good = || Some(certify(&world.clients, &client(&[uri(DOMAIN)], "")));
    for (asked, host, expected) in [
        (Some("app.example"), "app.example", &*format!("ca|{DOMAIN}")),
        (Some("app.example"), "APP.example:443", &format!("ca|{DOMAIN}")),
        (Some("app.example"), "other.example", "malformed"),
        (Some("app.example"), "app.example.evil", "malformed"),
        (Some("app.example"), "", "malformed"),
        (None, "app.example", "malformed"),
    ] {
        let connection = world.shake(Arc::clone(&server), good(), asked).await.unwrap();
        assert_eq!(connection.server_name(), asked);
        assert_eq!(connection.certificates().len(), 1);
        let got = prove(&authenticator, Some(connection), host, world.clock.now()).await;
        assert_eq!(got, expected, "{asked:?} {host}");
    }
    let none = prove(&authenticator, None, "app.example", world.clock.now()).await;
    assert_eq!(none, "nothing");
}

#[tokio::test]
async fn without_a_certificate_nobody_is_proven() {
    let world = World::new();
    let server = world.tls().with_optional_certificates().build().unwrap();
    let authenticator = MtlsAuthenticator::new("ca", [spiffe()]).unwrap();
    let connection = world
        .shake(Arc::clone(&server), None, Some("app.example"))
        .await
        .unwrap();
    let got = prove(&authenticator, Some(connection), "app.example", world.clock.now()).await;
    assert_eq!(got, "nothing");
    let stranger = certify(&authority("clients"), &client(&[uri(DOMAIN)], ""));
    let refused = world.shake(server, Some(stranger), Some("app.example")).await;
    assert!(refused.is_err(), "a bad certificate is worse than none");
}

#[tokio::test]
async fn the_first_kind_of_name_counts_and_must_be_there_once() {
    let world = World::new();
    let now = world.clock.now();
    let all = [spiffe(), NameKind::Dns, NameKind::Email, NameKind::CommonName];
    let mail = SanType::Rfc822Name("ana@example.com".try_into().unwrap());
    for (sans, common_name, kinds, expected) in [
        (&[uri(DOMAIN), dns("a.example")][..], "x", &all[..], Some(DOMAIN)),
        (&[uri(DOMAIN), uri("spiffe://prod.example/b")], "x", &all, None),
        (&[uri(DOMAIN), uri("https://prod.example/b")], "x", &all, None),
        (
            &[uri("spiffe://test.example/b"), dns("a.example")],
            "x",
            &all,
            None,
        ),
        (
            &[dns("a.example"), mail.clone()],
            "x",
            &all,
            Some("dns:a.example"),
        ),
        (&[dns("a.example"), dns("b.example")], "x", &all, None),
        (
            std::slice::from_ref(&mail),
            "x",
            &all,
            Some("email:ana@example.com"),
        ),
        (&[], "Ana", &all, Some("cn:Ana")),
        (&[], "", &all, None),
        (&[dns("a.example")], "Ana", &all[3..], Some("cn:Ana")),
        (&[dns("a.example")], "Ana", &all[..1], None),
    ] {
        let (leaf, _) = certify(&world.clients, &client(sans, common_name));
        let found = names::read(&leaf, kinds, now).map(|found| found.name);
        assert_eq!(found.as_deref(), expected, "{sans:?} {common_name}");
    }
    let (leaf, _) = certify(&world.clients, &client(&[uri(DOMAIN)], ""));
    for (when, expected) in [
        ("2025-12-31T23:59:59Z", false),
        ("2026-01-01T00:00:00Z", true),
        ("2026-01-31T23:59:59Z", true),
        ("2026-02-01T00:00:00Z", false),
    ] {
        assert_eq!(names::read(&leaf, &all, at(when)).is_some(), expected, "{when}");
    }
    let longer = [&leaf[..], b"x"].concat();
    assert!(names::read(&longer, &all, now).is_none());
}

#[tokio::test]
async fn listed_names_are_the_only_ones_and_revoked_certificates_none() {
    let world = World::new();
    let now = world.clock.now();
    let deploy: Principal = "ci|deploy".parse().unwrap();
    let listed = MtlsAuthenticator::new("ca", [spiffe()])
        .unwrap()
        .only([(DOMAIN.to_owned(), deploy)]);
    let verify = |leaf: CertificateDer<'static>| {
        let listed = &listed;
        async move {
            let proven = listed.verify(&leaf, CredentialSource::Connection, now).await;
            proven.ok().map(|subject| subject.principal.to_string())
        }
    };
    let (known, _) = certify(&world.clients, &client(&[uri(DOMAIN)], ""));
    let (unknown, _) = certify(&world.clients, &client(&[uri("spiffe://prod.example/ci/x")], ""));
    assert_eq!(verify(known.clone()).await.as_deref(), Some("ci|deploy"));
    assert_eq!(verify(unknown).await, None);
    let elsewhere = listed.verify(&known, CredentialSource::Authorization, now).await;
    assert!(elsewhere.is_err());
    let fingerprint = Digest::plain(&known);
    assert!(!listed.revoked(&fingerprint));
    listed.set_revoked([fingerprint]);
    assert!(listed.revoked(&fingerprint));
    assert_eq!(verify(known).await, None);
}

#[tokio::test]
async fn revocation_lists_count_and_run_out() {
    let world = World::new();
    let list = |serials: &[u8], next_update| {
        let revoked_certs = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: date_time_ymd(2026, 1, 2),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 2),
            next_update,
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&world.clients).unwrap().der().clone()
    };
    for (serials, next_update, expected) in [
        (&[8][..], date_time_ymd(2026, 1, 20), true),
        (&[7], date_time_ymd(2026, 1, 20), false),
        (&[8], date_time_ymd(2026, 1, 9), false),
    ] {
        let server = world
            .tls()
            .with_revocation_lists(vec![list(serials, next_update)])
            .build()
            .unwrap();
        let mut params = client(&[uri(DOMAIN)], "");
        params.serial_number = Some(SerialNumber::from_slice(&[7]));
        let certified = certify(&world.clients, &params);
        let answer = world.shake(server, Some(certified), Some("app.example")).await;
        assert_eq!(answer.is_ok(), expected, "{serials:?} {next_update}: {answer:?}");
    }
}

#[test]
fn nothing_starts_without_an_authority_or_with_a_broken_one() {
    let world = World::new();
    let build = |authorities| world.tls_with(authorities).build();
    assert!(matches!(build(Vec::new()), Err(BadServerTls::NoAuthority)));
    let broken = CertificateDer::from(b"no certificate".to_vec());
    assert!(matches!(build(vec![broken]), Err(BadServerTls::Authority { .. })));
    let lists = vec![b"no list".to_vec().into()];
    assert!(matches!(
        world.tls().with_revocation_lists(lists).build(),
        Err(BadServerTls::Verifier { .. })
    ));
    let config = world.tls().with_alpn(["h2", "http/1.1"]).build().unwrap();
    assert_eq!((config.max_early_data_size, config.send_tls13_tickets), (0, 0));
    assert!(!config.session_storage.can_cache() && !config.ticketer.enabled());
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    for (issuer, kinds) in [("", vec![NameKind::Dns]), ("ca", Vec::new())] {
        assert!(MtlsAuthenticator::new(issuer, kinds).is_err(), "{issuer}");
    }
}
