use std::time::Duration;

use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::jose::testing::{Canned, Signer, base64url, sign_with_secret};

mod attacks;
mod keys;

const ISSUER: &str = "https://idp.example";
const KEYS: &str = "https://idp.example/keys";
const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    DateTime::from_timestamp(NOW + seconds, 0).unwrap()
}

struct World {
    network: Arc<Canned>,
    signer: Signer,
    jwt: JwtAuthenticator,
}

impl World {
    fn new() -> Self {
        let network = Arc::new(Canned::new());
        let signer = Signer::new("one");
        network.publish(KEYS, &[&signer]);
        let location = KeyLocation::Url(KEYS.to_owned());
        let jwt = JwtAuthenticator::new(
            ISSUER,
            ["jit", "jit-staging"],
            [Algorithm::Es256, Algorithm::Rs256],
            location,
            network.clone(),
        )
        .unwrap();
        Self { network, signer, jwt }
    }

    async fn verify(&self, token: &str, now: Timestamp) -> Result<Subject, AuthError> {
        self.jwt
            .verify(token.as_bytes(), CredentialSource::Authorization, now)
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

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "jit", "sub": "ana", "exp": NOW + 300, "iat": NOW, "nbf": NOW})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[tokio::test]
async fn a_good_token_proves_its_subject_and_how_they_signed_in() {
    let world = World::new();
    let mut claims = claims();
    for (name, value) in [
        ("amr", json!(["pwd", "otp"])),
        ("acr", json!("urn:example:gold")),
        ("auth_time", json!(NOW - 60)),
        ("groups", json!(["sre", "/tenant/admin"])),
        ("email", json!("boss@example.com")),
    ] {
        claims[name] = value;
    }
    let subject = world.verify(&world.signer.sign(&claims), at(0)).await.unwrap();
    assert_eq!(subject.principal, Principal::new(ISSUER, "ana").unwrap());
    assert_eq!(subject.expires_at, Some(at(300)));
    assert_eq!(subject.assurance.methods, ["pwd", "otp"]);
    assert_eq!(subject.assurance.context.as_deref(), Some("urn:example:gold"));
    assert_eq!(subject.assurance.authenticated_at, Some(at(-60)));
    assert_eq!(subject.claims["groups"], claims["groups"]);
    assert_eq!(serde_json::to_value(subject.claims).unwrap(), claims);
}

#[tokio::test]
async fn claims_must_say_what_is_expected() {
    let world = World::new();
    for (claims, expected) in [
        (claims(), "proven"),
        (with("aud", json!(["other", "jit-staging"])), "proven"),
        (with("aud", json!("jit ")), "invalid"),
        (with("aud", json!("jit-staging2")), "invalid"),
        (with("aud", json!([])), "invalid"),
        (with("aud", json!(["jit", 1])), "invalid"),
        (with("aud", json!({"jit": true})), "invalid"),
        (with("aud", json!(null)), "invalid"),
        (without("aud"), "invalid"),
        (with("iss", json!("https://idp.example/")), "invalid"),
        (with("iss", json!("https://IDP.example")), "invalid"),
        (with("iss", json!([ISSUER])), "invalid"),
        (without("iss"), "invalid"),
        (with("exp", json!(NOW + 1)), "proven"),
        (with("exp", json!(NOW as f64 + 1.5)), "proven"),
        (with("exp", json!(NOW)), "invalid"),
        (with("exp", json!(NOW as f64 + 0.9)), "invalid"),
        (with("exp", json!(NOW - 1)), "invalid"),
        (with("exp", json!(-1)), "invalid"),
        (with("exp", json!(i64::MAX)), "invalid"),
        (with("exp", json!(u64::MAX)), "invalid"),
        (with("exp", json!(1e300)), "invalid"),
        (with("exp", json!((NOW + 300).to_string())), "invalid"),
        (with("exp", json!(null)), "invalid"),
        (without("exp"), "invalid"),
        (with("nbf", json!(NOW + 30)), "proven"),
        (with("nbf", json!(NOW + 31)), "invalid"),
        (with("nbf", json!("soon")), "invalid"),
        (without("nbf"), "proven"),
        (with("iat", json!(NOW + 30)), "proven"),
        (with("iat", json!(NOW + 31)), "invalid"),
        (without("iat"), "proven"),
        (with("sub", json!("")), "invalid"),
        (with("sub", json!(7)), "invalid"),
        (with("sub", json!(" ana")), "invalid"),
        (with("sub", json!("ana\u{0}")), "invalid"),
        (with("sub", json!("x".repeat(257))), "invalid"),
        (without("sub"), "invalid"),
        (with("amr", json!("mfa")), "invalid"),
        (with("amr", json!([1])), "invalid"),
        (with("acr", json!(1)), "invalid"),
        (with("auth_time", json!("now")), "invalid"),
        (with("cnf", json!({"jkt": "x"})), "invalid"),
    ] {
        let got = world.outcome(&world.signer.sign(&claims), at(0)).await;
        assert_eq!(got, expected, "{claims}");
    }
}

#[tokio::test]
async fn the_type_is_the_one_wanted() {
    for (wanted, typ, expected) in [
        (TokenType::Any, Some("at+jwt"), true),
        (TokenType::Any, Some("application/at+JWT"), true),
        (TokenType::Any, Some("jwt"), true),
        (TokenType::Any, None, true),
        (TokenType::Any, Some("dpop+jwt"), false),
        (TokenType::AccessToken, Some("at+jwt"), true),
        (TokenType::AccessToken, Some("JWT"), false),
        (TokenType::AccessToken, None, false),
        (TokenType::Jwt, Some("JWT"), true),
        (TokenType::Jwt, None, true),
        (TokenType::Jwt, Some("at+jwt"), false),
    ] {
        assert_eq!(
            wanted.takes(typ.map(Value::from).as_ref()),
            expected,
            "{wanted:?} {typ:?}"
        );
    }
    let mut world = World::new();
    world.jwt = world.jwt.with_token_type(TokenType::AccessToken);
    let got = world.outcome(&world.signer.sign(&claims()), at(0)).await;
    assert_eq!(got, "invalid");
}

#[tokio::test]
async fn a_leeway_for_the_end_is_asked_for_and_small() {
    let mut world = World::new();
    world.jwt = world.jwt.with_expiry_leeway(TimeDelta::seconds(30)).unwrap();
    let token = world.signer.sign(&claims());
    assert_eq!(
        world.verify(&token, at(329)).await.unwrap().expires_at,
        Some(at(330))
    );
    assert_eq!(world.outcome(&token, at(330)).await, "invalid");
    for leeway in [TimeDelta::seconds(31), TimeDelta::milliseconds(-1)] {
        let refused = World::new().jwt.with_expiry_leeway(leeway);
        assert_eq!(refused.err(), Some(BadSettings::Leeway));
    }
}

#[test]
fn nothing_is_built_without_issuer_audience_and_algorithm() {
    let new = |issuer: &str, audiences: &[&str], algorithms: &[Algorithm]| {
        let location = KeyLocation::Discover;
        let network = Arc::new(Canned::new());
        let built = JwtAuthenticator::new(
            issuer,
            audiences.iter().copied(),
            algorithms.iter().copied(),
            location,
            network,
        );
        built.err()
    };
    let es = &[Algorithm::Es256][..];
    for (got, expected) in [
        (new(ISSUER, &["jit"], es), None),
        (new("", &["jit"], es), Some(BadSettings::Issuer(String::new()))),
        (
            new("a|b", &["jit"], es),
            Some(BadSettings::Issuer("a|b".to_owned())),
        ),
        (new(ISSUER, &[], es), Some(BadSettings::Audience)),
        (new(ISSUER, &["jit", ""], es), Some(BadSettings::Audience)),
        (new(ISSUER, &["jit"], &[]), Some(BadSettings::Algorithm)),
    ] {
        assert_eq!(got, expected);
    }
    for name in ["none", "HS256", "HS384", "HS512", "es256", "ES512", ""] {
        assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithm), "{name}");
    }
    assert_eq!("PS384".parse(), Ok(Algorithm::Ps384));
}

#[test]
fn only_a_bearer_token_of_three_parts_is_presented() {
    let jwt = World::new().jwt;
    let long = format!("Bearer a.{}.c", "b".repeat(TOKEN_MAX - 4));
    let longer = format!("Bearer a.{}.c", "b".repeat(TOKEN_MAX - 3));
    for (values, expected) in [
        (&[][..], "nothing"),
        (&["Bearer a.b.c"][..], "a.b.c"),
        (&["bEARER   a.b.c "], "a.b.c"),
        (&[&long], &long[7..]),
        (&[&longer], "malformed"),
        (&["Bearer opaque"], "nothing"),
        (&["Bearer a.b"], "nothing"),
        (&["Bearer a.b.c.d.e"], "nothing"),
        (&["Basic a.b.c"], "nothing"),
        (&["Bearer"], "nothing"),
        (&[""], "nothing"),
        (&["Bearer a.b.c=", "Bearer a.b.c"], "malformed"),
        (&["Bearer a.b.c="], "malformed"),
        (&["Bearer a.b .c"], "malformed"),
        (&["Bearer a.b.\u{e9}"], "malformed"),
    ] {
        let mut request = http::Request::builder();
        for value in values {
            request = request.header(AUTHORIZATION, value.as_bytes());
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let got = match jwt.present(&head, None) {
            Presented::Nothing => "nothing".to_owned(),
            Presented::Malformed => "malformed".to_owned(),
            Presented::Credential { bytes, .. } => String::from_utf8(bytes.into_owned()).unwrap(),
        };
        assert_eq!(got, expected, "{:.60?}", values);
    }
}

#[tokio::test]
async fn nothing_of_a_token_or_key_is_printed() {
    let world = World::new();
    let token = world.signer.sign(&claims());
    let error = world.verify(&format!("{token}x"), at(0)).await.unwrap_err();
    for text in [format!("{:?}", world.jwt), format!("{error:?}{error}")] {
        assert!(!text.contains("eyJ") && !text.contains("ana"), "{text}");
    }
    // A test that hangs must not hang for ever.
    let quick = tokio::time::timeout(Duration::from_secs(10), world.outcome(&token, at(0)));
    assert_eq!(quick.await, Ok("proven"));
}
