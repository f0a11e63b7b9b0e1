use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::jose::testing::{Canned, Signer, sign_with_secret};

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188";
const KID: &str = "12345678-1234-1234-1234-123456789abc";
const URL: &str = "https://public-keys.auth.elb.eu-west-1.amazonaws.com/12345678-1234-1234-1234-123456789abc";
const ISSUER: &str = "https://idp.example";
const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(NOW + seconds, 0).unwrap()
}

fn proxies() -> TrustedProxies {
    TrustedProxies::parse(["10.0.0.0/24"]).unwrap()
}

struct World {
    network: Arc<Canned>,
    signer: Signer,
    alb: AlbAuthenticator,
}

impl World {
    fn new() -> Self {
        let network = Arc::new(Canned::new());
        let signer = Signer::new(KID);
        network.answer(URL, signer.pem());
        let alb = AlbAuthenticator::new(ISSUER, "client-1", [ARN], proxies(), network.clone()).unwrap();
        Self { network, signer, alb }
    }

    async fn verify(&self, token: &str, now: Timestamp) -> Result<Subject, AuthError> {
        self.alb
            .verify(token.as_bytes(), CredentialSource::Proxy, now)
            .await
    }

    async fn outcome(&self, token: &str, now: Timestamp) -> &'static str {
        match self.verify(token, now).await {
            Ok(_) => "proven",
            Err(AuthError::Invalid) => "invalid",
            Err(_) => "unavailable",
        }
    }
}

fn header() -> Value {
    json!({
        "typ": "JWT", "kid": KID, "alg": "ES256", "iss": ISSUER, "client": "client-1", "signer": ARN, "exp": NOW + 120,
    })
}

fn claims() -> Value {
    json!({"sub": "ana", "email": "ana@example.com", "exp": NOW + 120, "iss": ISSUER})
}

fn with(mut value: Value, name: &str, other: Value) -> Value {
    value[name] = other;
    value
}

#[tokio::test]
async fn a_padded_token_of_the_load_balancer_proves_its_subject() {
    let world = World::new();
    // Whatever the lengths, so with every padding there is.
    for name in ["a", "an", "ana"] {
        let token = world
            .signer
            .sign_padded(&header(), &with(claims(), "sub", json!(name)));
        let subject = world.verify(&token, at(0)).await.unwrap();
        assert_eq!(subject.principal, Principal::new(ISSUER, name).unwrap());
        assert_eq!(subject.expires_at, Some(at(120)));
        assert_eq!(subject.claims["email"], json!("ana@example.com"));
    }
    let plain = world
        .signer
        .sign_text(&header().to_string(), &claims().to_string());
    assert_eq!(world.outcome(&plain, at(0)).await, "proven");
    assert_eq!(world.network.asked(), 1);
}

#[tokio::test]
async fn everything_in_it_must_be_as_expected() {
    let other = ARN.replace("web", "other");
    let changed = |name, value| with(header(), name, value);
    for (header, claims, expected) in [
        (header(), claims(), "proven"),
        (header(), json!({"sub": "ana"}), "proven"),
        (changed("signer", json!(other)), claims(), "invalid"),
        (changed("signer", json!(null)), claims(), "invalid"),
        (changed("signer", json!([ARN])), claims(), "invalid"),
        (changed("client", json!("client-2")), claims(), "invalid"),
        (changed("client", json!(null)), claims(), "invalid"),
        (changed("iss", json!("https://evil.example")), claims(), "invalid"),
        (changed("exp", json!(NOW)), claims(), "invalid"),
        (changed("exp", json!(null)), claims(), "invalid"),
        (changed("alg", json!("none")), claims(), "invalid"),
        (changed("alg", json!("RS256")), claims(), "invalid"),
        (changed("crit", json!(["exp"])), claims(), "invalid"),
        (
            header(),
            with(claims(), "iss", json!("https://evil.example")),
            "invalid",
        ),
        (header(), with(claims(), "exp", json!(NOW - 1)), "invalid"),
        (header(), with(claims(), "sub", json!(null)), "invalid"),
        (header(), with(claims(), "sub", json!("")), "invalid"),
        (header(), json!({}), "invalid"),
    ] {
        let world = World::new();
        let token = world.signer.sign_padded(&header, &claims);
        assert_eq!(world.outcome(&token, at(0)).await, expected, "{header} {claims}");
    }
    let world = World::new();
    let stranger = Signer::new(KID).sign_padded(&header(), &claims());
    assert_eq!(world.outcome(&stranger, at(0)).await, "invalid");
    let hs = changed("alg", json!("HS256")).to_string();
    let forged = sign_with_secret(&world.signer.pem(), &hs, &claims().to_string());
    assert_eq!(world.outcome(&forged, at(0)).await, "invalid");
    let good = world.signer.sign_padded(&header(), &claims());
    let elsewhere = world
        .alb
        .verify(good.as_bytes(), CredentialSource::Authorization, at(0))
        .await;
    assert!(elsewhere.is_err());
}

#[tokio::test]
async fn a_key_name_never_reaches_a_url_unless_it_is_a_uuid() {
    let world = World::new();
    for kid in [
        "",
        "../12345678-1234-1234-1234-123456789abc",
        "12345678-1234-1234-1234-123456789ab/",
        "12345678-1234-1234-1234-123456789abc?x=1",
        "12345678-1234-1234-1234-123456789abc#",
        "12345678-1234-1234-1234-123456789abc/../x",
        "12345678%2f1234-1234-1234-123456789abc",
        "12345678-1234-1234-1234-123456789abg",
        "1234567812341234123412345678 9abc",
        "12345678-1234-1234-1234-123456789abc-",
        "@evil.example/",
    ] {
        let token = world
            .signer
            .sign_padded(&with(header(), "kid", json!(kid)), &claims());
        assert_eq!(world.outcome(&token, at(0)).await, "invalid", "{kid:?}");
    }
    assert_eq!(world.network.asked(), 0);
    assert!(is_uuid("12345678-1234-1234-1234-123456789ABC"));
}

#[tokio::test]
async fn keys_are_asked_for_once_and_at_a_pace() {
    let world = World::new();
    let token = |exp: i64| {
        let header = with(header(), "exp", json!(NOW + exp));
        world.signer.sign_padded(&header, &json!({"sub": "ana"}))
    };
    let unknown = |n: u32| {
        let kid = format!("{n:08}-1234-1234-1234-123456789abc");
        world
            .signer
            .sign_padded(&with(header(), "kid", json!(kid)), &claims())
    };
    assert_eq!(world.outcome(&unknown(1), at(0)).await, "unavailable");
    assert_eq!(world.outcome(&unknown(2), at(0)).await, "unavailable");
    assert_eq!(world.network.asked(), 1);
    assert_eq!(
        world.outcome(&token(60), at(0)).await,
        "unavailable",
        "in the pause"
    );
    assert_eq!(world.outcome(&token(60), at(1)).await, "proven");
    assert_eq!(world.network.asked(), 2);
    world.network.fall_silent();
    let day = 24 * 3600;
    assert_eq!(world.outcome(&token(2 * day), at(day)).await, "proven");
    assert_eq!(world.outcome(&token(2 * day), at(day + 1)).await, "unavailable");
    world.network.answer(URL, "<html>");
    assert_eq!(world.outcome(&token(2 * day), at(day + 2)).await, "unavailable");
    world.network.answer(URL, world.signer.pem());
    assert_eq!(world.outcome(&token(2 * day), at(day + 3)).await, "proven");
}

#[test]
fn only_a_bounded_number_of_keys_is_kept() {
    let world = World::new();
    let key = PublicKey::es256_from_pem(&world.signer.pem()).unwrap();
    for n in 0..100 {
        world.alb.keys.keep(format!("{n}"), key.clone(), at(n));
    }
    let kept = world.alb.keys.kept.lock().unwrap();
    assert!(kept.len() == KEYS_MAX && kept.contains_key("99") && !kept.contains_key("83"));
}

#[test]
fn the_field_counts_once_and_from_listed_proxies() {
    let alb = World::new().alb;
    let long = "x".repeat(TOKEN_MAX + 1);
    for (peer, fields, expected) in [
        (
            Some("10.0.0.9"),
            &[("x-amzn-oidc-data", "a.b.c")][..],
            "credential",
        ),
        (Some("10.0.1.9"), &[("x-amzn-oidc-data", "a.b.c")], "nothing"),
        (None, &[("x-amzn-oidc-data", "a.b.c")], "nothing"),
        (Some("10.0.0.9"), &[], "nothing"),
        (Some("10.0.0.9"), &[("x-amzn-oidc-identity", "ana")], "nothing"),
        (Some("10.0.0.9"), &[("x-amzn-oidc-data", "")], "malformed"),
        (Some("10.0.0.9"), &[("x-amzn-oidc-data", &long)], "malformed"),
        (
            Some("10.0.0.9"),
            &[("x-amzn-oidc-data", "a.b.c"), ("x-amzn-oidc-data", "a.b.c")],
            "malformed",
        ),
        (
            Some("10.0.0.9"),
            &[("x-amzn-oidc-data", "a.b.c"), ("x_amzn_oidc_data", "d.e.f")],
            "malformed",
        ),
    ] {
        let mut request = http::Request::builder();
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let got = match alb.present(&head, peer.map(|peer| peer.parse().unwrap())) {
            Presented::Nothing => "nothing",
            Presented::Malformed => "malformed",
            Presented::Credential { .. } => "credential",
        };
        assert_eq!(got, expected, "{peer:?} {:.80?}", fields);
    }
}

#[test]
fn what_must_be_given_must_be_given() {
    let new = |issuer, client, arns: &[&str], proxies| {
        AlbAuthenticator::new(issuer, client, arns, proxies, Arc::new(Canned::new())).err()
    };
    assert_eq!(new(ISSUER, "c", &[ARN], proxies()), None);
    assert_eq!(
        new("", "c", &[ARN], proxies()),
        Some(BadSettings::Issuer(String::new()))
    );
    assert_eq!(new(ISSUER, "", &[ARN], proxies()), Some(BadSettings::Client));
    assert_eq!(
        new(ISSUER, "c", &[], proxies()),
        Some(BadSettings::NoLoadBalancer)
    );
    let none = TrustedProxies::default();
    assert_eq!(new(ISSUER, "c", &[ARN], none), Some(BadSettings::Proxies));
    let gov = ARN
        .replace(":aws:", ":aws-us-gov:")
        .replace("eu-west-1", "us-gov-west-1");
    assert_eq!(
        LoadBalancer::parse(&gov).unwrap().keys,
        "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1"
    );
    for arn in [
        "",
        "web",
        &ARN.replace("/app/", "/net/"),
        &ARN.replace(":aws:", ":aws-cn:"),
        &ARN.replace("eu-west-1", "evil.example/"),
        &ARN.replace("eu-west-1", ""),
        &ARN.replace("123456789012", "1234"),
        &ARN.replace("elasticloadbalancing", "s3"),
    ] {
        let refused = new(ISSUER, "c", &[arn], proxies());
        assert_eq!(refused, Some(BadSettings::LoadBalancer(arn.to_owned())), "{arn}");
    }
}
