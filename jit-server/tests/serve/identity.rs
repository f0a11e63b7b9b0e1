//! Tokens of an issuer, and codes of an authenticator app.

use std::net::SocketAddr;

use axum::Json;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jit_core::clock::{Clock, SystemClock};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::application::{Application, Secured};
use crate::world::{World, people};

/// An issuer with one key, which it publishes over TLS with the certificate `idp` of this world.
struct Issuer {
    at: SocketAddr,
    key: KeyPair,
}

impl Issuer {
    async fn start(world: &World) -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let jwks = json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "one",
            "x": URL_SAFE_NO_PAD.encode(key.der_bytes()),
        }]});
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let app = axum::Router::new().route("/jwks", get(async move || Json(jwks)));
        let listener = Secured::new(listener, world, "idp");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { at, key }
    }

    fn token(&self, key: &KeyPair, audience: &str, groups: &Value) -> String {
        let now = SystemClock::new().now().timestamp();
        let header = json!({"alg": "EdDSA", "kid": "one", "typ": "JWT"});
        let claims = json!({
            "iss": self.name(), "sub": "job", "aud": audience, "exp": now + 300, "iat": now, "groups": groups,
        });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = key.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn name(&self) -> String {
        format!("https://localhost:{}", self.at.port())
    }
}

#[tokio::test]
async fn tokens_of_an_issuer_prove_whom_the_policy_gives_roles() {
    let app = Application::start("app").await;
    let world = World::before(&[app.at], "");
    world.certify("idp", &["localhost"]);
    let issuer = Issuer::start(&world).await;
    let name = issuer.name();
    let text = std::fs::read_to_string(world.path("jit.toml")).unwrap();
    let identity = format!(
        "{text}[[identity.jwt]]\nissuer = \"{name}\"\naudiences = [\"jit\"]\nalgorithms = [\"EdDSA\"]\nkeys = \"{name}/jwks\"\n"
    );
    world.write("jit.toml", &identity);
    let policy = std::fs::read_to_string(world.path("policy.toml")).unwrap();
    let mapped = |role: &str| {
        format!(
            "{policy}\n[[mappings]]\nissuer = \"{name}\"\nclaims = {{ groups = \"deploy\" }}\nroles = [\"{role}\"]\n"
        )
    };
    world.write("policy.toml", &mapped("sre"));
    let command = || {
        let mut command = world.command();
        command.env("SSL_CERT_FILE", world.path("idp.pem"));
        command
    };
    let served = world.serve_by(command()).await;

    let stranger = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let good = issuer.token(&issuer.key, "jit", &json!(["deploy"]));
    for (token, status, what) in [
        (
            issuer.token(&stranger, "jit", &json!(["deploy"])),
            401,
            "another key",
        ),
        (
            issuer.token(&issuer.key, "other", &json!(["deploy"])),
            401,
            "another audience",
        ),
        (
            issuer.token(&issuer.key, "jit", &json!(["guest"])),
            403,
            "no role",
        ),
        (good.clone(), 403, "no grant"),
    ] {
        let answer = served.gate().by(&token).get("/admin").await;
        assert_eq!(answer.status, status, "{what} {answer:?}");
    }
    let ask = json!({"resource": "admin", "reason": "deploy", "duration": "5m"});
    let asked = served.gate().by(&good).post("/_jit/v1/requests", &ask).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let asked = format!("/_jit/v1/requests/{}", asked.json()["id"].as_str().unwrap());

    // A restart makes nobody of no one: what they wait for goes on waiting.
    served.stop().await;
    let served = world.serve_by(command()).await;
    let waits = served.gate().by(crate::world::BOB).get(&asked).await;
    assert_eq!(waits.json()["state"], "pending", "{waits:?}");

    // The mapping goes, and the role with it.
    world.write("policy.toml", &mapped("nobody"));
    served.signal("HUP").await;
    served.event("reloaded").await;
    let again = served.gate().by(&good).post("/_jit/v1/requests", &ask).await;
    assert_eq!(again.status, 403, "{again:?}");
    let ended = served.gate().by(crate::world::BOB).get(&asked).await;
    assert_eq!(ended.json()["state"], "denied", "{ended:?}");
    let log = serde_json::Value::Array(served.stop().await).to_string();
    assert!(!log.contains(good.rsplit('.').next().unwrap()), "{log}");
}

#[tokio::test]
async fn codes_of_an_authenticator_app_are_a_second_factor() {
    const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
    let app = Application::start("app").await;
    let world = World::before(&[app.at], "");
    let people = people("\"sre\"").replacen(
        "name = \"Alice\"",
        &format!("name = \"Alice\"\ntotp_secret = \"{SECRET}\""),
        1,
    );
    world.write("people.toml", &people);
    let served = world.serve().await;
    let alice = served.gate().by(crate::world::ALICE);
    let secret = totp_rs::Secret::try_from_base32(SECRET).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let now = u64::try_from(SystemClock::new().now().timestamp()).unwrap();
    let code = totp.generate(now).to_string();
    let url = "/_jit/v1/me/step-up";
    let raised = alice.post(url, &json!({"code": code})).await;
    assert_eq!(raised.status, 200, "{raised:?}");
    let again = alice.post(url, &json!({"code": code})).await;
    assert_ne!(again.status, 200, "a code is good once: {again:?}");
    let bob = served.gate().by(crate::world::BOB);
    assert_ne!(bob.post(url, &json!({"code": code})).await.status, 200);
    served.stop().await;
}
