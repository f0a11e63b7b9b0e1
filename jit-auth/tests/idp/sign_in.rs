//! People who sign in at a real provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use idp::SignIn;
use jit_auth::fetch::HttpsFetch;
use jit_auth::jwt::{Algorithm, JwtAuthenticator, KeyLocation, PAUSE};
use jit_auth::oidc::{Arrival, CodeFlow, Departure, Registration, SignInError};
use jit_core::gate::authenticate::Subject;
use jit_core::id::Timestamp;
use serde_json::json;

const REDIRECT: &str = "http://127.0.0.1:1/login/callback";

fn flow(issuer: &str, client: &str, secret: Option<&str>) -> CodeFlow {
    flow_for(issuer, client, secret, client)
}

/// A flow whose ID tokens are to be for `audience`.
fn flow_for(issuer: &str, client: &str, secret: Option<&str>, audience: &str) -> CodeFlow {
    let fetch = HttpsFetch::dangerous_with_http_on_loopback().unwrap();
    let keys = KeyLocation::Discover;
    let proof = JwtAuthenticator::new(
        issuer,
        [audience],
        [Algorithm::Rs256],
        keys,
        Arc::new(fetch.clone()),
    );
    let mut registration = Registration::new(issuer, client, REDIRECT).unwrap();
    if let Some(secret) = secret {
        registration = registration.with_secret(secret);
    }
    CodeFlow::new(registration, Arc::new(proof.unwrap()), fetch)
}

const SECRET: Option<&str> = Some("secret of the console");

/// The provider has a clock of its own, and signs by it.
fn now() -> Timestamp {
    use jit_core::clock::Clock as _;
    jit_core::clock::SystemClock::new().now()
}

fn arrival(query: &str) -> Arrival {
    let pairs: BTreeMap<String, String> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.replace("%3A", ":").replace("%2F", "/")))
        .collect();
    serde_json::from_value(json!(pairs)).unwrap()
}

/// What a browser brings back that signs in as `name`.
async fn browse(url: &str, name: &str) -> Arrival {
    let back = idp::visit(url, name).await;
    arrival(back.strip_prefix(REDIRECT).unwrap().strip_prefix('?').unwrap())
}

async fn leave(flow: &CodeFlow, name: &str) -> (Departure, Arrival) {
    let departure = flow.depart();
    let url = flow.url(&departure, "the-state", now()).await.unwrap();
    let arrival = browse(&url, name).await;
    assert_eq!(arrival.state, "the-state");
    (departure, arrival)
}

async fn sign_in(flow: &CodeFlow, name: &str) -> Result<Subject, SignInError> {
    let (departure, arrival) = leave(flow, name).await;
    flow.arrive(departure, arrival, now()).await
}

#[tokio::test]
async fn people_sign_in_with_a_secret_and_without() {
    let provider = SignIn::start(REDIRECT);
    for (client, secret) in [("console", SECRET), ("public", None)] {
        let flow = flow(&provider.issuer, client, secret);
        let subject = sign_in(&flow, "alice").await.unwrap();
        assert_eq!(subject.principal.issuer(), provider.issuer);
        assert_eq!(subject.principal.subject(), "alice");
        assert_eq!(subject.assurance.methods, ["pwd", "otp"]);
        let signed_in = subject.assurance.authenticated_at.unwrap();
        assert!(now().signed_duration_since(signed_in) < TimeDelta::minutes(1));
        assert_eq!(subject.claims["groups"], json!(["sre"]));
    }
}

#[tokio::test]
async fn what_belongs_to_another_sign_in_signs_nobody_in() {
    let provider = SignIn::start(REDIRECT);
    let flow = flow(&provider.issuer, "console", SECRET);
    let refused = |outcome: Result<Subject, SignInError>| outcome.unwrap_err().to_string();

    // The code of one with the departure of another: the verifier does not fit (RFC 7636 §4.6).
    let (_, arrival) = leave(&flow, "alice").await;
    let other = flow.depart();
    let said = refused(flow.arrive(other, arrival, now()).await);
    assert!(said.contains("invalid_grant"), "{said}");

    // A code counts once.
    let (departure, arrival) = leave(&flow, "alice").await;
    flow.arrive(departure.clone(), arrival.clone(), now())
        .await
        .unwrap();
    let said = refused(flow.arrive(departure, arrival, now()).await);
    assert!(said.contains("invalid_grant"), "{said}");

    // A provider that says that it names itself, and another's name or none in its place (RFC 9207).
    for (iss, why) in [
        (Some("https://evil.example"), "another provider"),
        (None, "does not say"),
    ] {
        let (departure, _) = leave(&flow, "alice").await;
        let forged = serde_json::from_value(json!({"state": "the-state", "code": "x", "iss": iss})).unwrap();
        let said = refused(flow.arrive(departure, forged, now()).await);
        assert!(said.contains(why), "{said}");
    }

    // The person left; what stands in the address is repeated only where it is an error code.
    let declined = refused(sign_in(&flow, "").await);
    assert!(declined.contains("access_denied"), "{declined}");
    let issuer = &provider.issuer;
    let forged = json!({"state": "s", "error": "<b>Call 555-0100", "iss": issuer});
    let forged = serde_json::from_value(forged).unwrap();
    let said = refused(flow.arrive(flow.depart(), forged, now()).await);
    assert!(said.ends_with("unknown_error"), "{said}");
}

#[tokio::test]
async fn the_wrong_client_or_audience_signs_nobody_in() {
    let provider = SignIn::start(REDIRECT);
    let wrong = flow(&provider.issuer, "console", Some("a guess"));
    let said = sign_in(&wrong, "alice").await.unwrap_err().to_string();
    assert!(said.contains("invalid_client"), "{said}");
    let other = flow_for(&provider.issuer, "console", SECRET, "another");
    let said = sign_in(&other, "alice").await.unwrap_err().to_string();
    assert!(said.contains("ID token"), "{said}");
}

#[tokio::test]
async fn an_outage_is_not_a_refusal_and_where_the_provider_is_stays_known() {
    let mut provider = SignIn::start(REDIRECT);
    let flow = flow(&provider.issuer, "console", SECRET);
    let (departure, arrival) = leave(&flow, "alice").await;
    provider.stop();
    let later = now() + PAUSE + TimeDelta::days(1);
    flow.url(&departure, "s", later).await.unwrap();
    let error = flow.arrive(departure, arrival, now()).await.unwrap_err();
    assert!(matches!(error, SignInError::Unavailable { .. }), "{error}");

    let fresh = self::flow(&provider.issuer, "console", SECRET);
    let error = fresh.url(&fresh.depart(), "s", now()).await.unwrap_err();
    assert!(matches!(error, SignInError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn an_id_token_with_another_nonce_signs_nobody_in() {
    let provider = SignIn::start(REDIRECT);
    let flow = flow(&provider.issuer, "console", SECRET);
    for nonce in ["nonce=another&", ""] {
        let departure = flow.depart();
        let url = flow.url(&departure, "the-state", now()).await.unwrap();
        let (before, after) = url.split_once("nonce=").unwrap();
        let rest = after.split_once('&').map_or("", |(_, rest)| rest);
        let arrival = browse(&format!("{before}{nonce}{rest}"), "alice").await;
        let error = flow.arrive(departure, arrival, now()).await.unwrap_err();
        assert!(error.to_string().contains("of another sign-in"), "{error}");
    }
}
