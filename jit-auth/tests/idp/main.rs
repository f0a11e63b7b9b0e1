//! JWTs of a real OpenID Connect provider, over a real network: discovery, keys, rotation, an outage, and a CI job from its token to its
//! grant.
//!
//! Needs Node.js 20 or newer with npm, by which the providers are installed.

mod sign_in;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use http::request::Parts;
use jit_auth::fetch::HttpsFetch;
use jit_auth::jwt::{Algorithm, JwtAuthenticator, KeyLocation, PAUSE, REFRESH};
use jit_core::approval::ask::Ask;
use jit_core::approval::state::State;
use jit_core::broker::claims::{ClaimsDirectory, Learning};
use jit_core::broker::directories::Directories;
use jit_core::broker::directory::Directory;
use jit_core::broker::people::PeopleFile;
use jit_core::broker::{Asked, Broker};
use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Subject};
use jit_core::gate::authenticators::Authenticators;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::gate::{Gate, Verdict};
use jit_core::id::Timestamp;
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use jit_core::testing::ManualClock;
use serde_json::{Value, json};

use idp::Tokens as Provider;

fn authenticator(provider: &Provider) -> JwtAuthenticator {
    let fetch = HttpsFetch::dangerous_with_http_on_loopback().unwrap();
    let algorithms = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
    JwtAuthenticator::new(
        &provider.issuer,
        ["jit"],
        algorithms,
        KeyLocation::Discover,
        Arc::new(fetch),
    )
    .unwrap()
}

/// When a token was issued. The provider has a clock of its own; the tests have none but this.
fn issued(token: &str) -> Timestamp {
    let payload = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    Timestamp::from_timestamp(claims["iat"].as_i64().unwrap(), 0).unwrap()
}

async fn verify(jwt: &JwtAuthenticator, token: &str, now: Timestamp) -> Result<Subject, AuthError> {
    jwt.verify(token.as_bytes(), CredentialSource::Authorization, now)
        .await
}

async fn outcome(jwt: &JwtAuthenticator, token: &str, now: Timestamp) -> &'static str {
    match verify(jwt, token, now).await {
        Ok(_) => "proven",
        Err(AuthError::Invalid) => "invalid",
        Err(_) => "unavailable",
    }
}

#[tokio::test]
async fn tokens_of_the_provider_prove_their_subject() {
    let mut provider = Provider::start();
    provider.generate("ES256", "es");
    provider.generate("EdDSA", "ed");
    let jwt = authenticator(&provider);
    let claims = json!({"sub": "ana", "aud": "jit", "amr": ["pwd", "otp"], "acr": "gold", "groups": ["sre"]});
    for kid in ["one", "es", "ed"] {
        let token = provider.token(kid, &claims);
        let subject = verify(&jwt, &token, issued(&token)).await.unwrap();
        assert_eq!(subject.principal.issuer(), provider.issuer);
        assert_eq!(subject.principal.subject(), "ana");
        assert_eq!(subject.assurance.methods, ["pwd", "otp"]);
        assert_eq!(subject.expires_at, Some(issued(&token) + TimeDelta::hours(1)));
    }
    let token = provider.token("one", &claims);
    let end = issued(&token) + TimeDelta::hours(1);
    assert_eq!(outcome(&jwt, &token, end - TimeDelta::seconds(1)).await, "proven");
    assert_eq!(outcome(&jwt, &token, end).await, "invalid");
    for claims in [
        json!({"sub": "ana", "aud": "other"}),
        json!({"sub": "ana"}),
        json!({"aud": "jit"}),
        json!({"sub": "ana", "aud": "jit", "iss": "https://evil.example"}),
    ] {
        let token = provider.token("one", &claims);
        assert_eq!(outcome(&jwt, &token, issued(&token)).await, "invalid", "{claims}");
    }
}

#[tokio::test]
async fn another_providers_token_is_nothing_here() {
    let [mut one, mut two] = [Provider::start(), Provider::start()];
    let jwt = authenticator(&one);
    let claims = json!({"sub": "ana", "aud": "jit"});
    let own = one.token("one", &claims);
    assert_eq!(outcome(&jwt, &own, issued(&own)).await, "proven");
    let foreign = two.token("one", &claims);
    assert_eq!(outcome(&jwt, &foreign, issued(&foreign)).await, "invalid");
    let lying = two.token("one", &json!({"sub": "ana", "aud": "jit", "iss": one.issuer}));
    assert_eq!(outcome(&jwt, &lying, issued(&lying)).await, "invalid");
}

#[tokio::test]
async fn keys_rotate_and_an_outage_is_survived() {
    let mut provider = Provider::start();
    let jwt = authenticator(&provider);
    let claims = json!({"sub": "ana", "aud": "jit"});
    let old = provider.token("one", &claims);
    let start = issued(&old);
    assert_eq!(outcome(&jwt, &old, start).await, "proven");
    provider.generate("RS256", "two");
    let new = provider.token("two", &claims);
    assert_eq!(outcome(&jwt, &new, start + PAUSE).await, "proven");

    provider.generate("RS256", "three");
    let newest = provider.token("three", &claims);
    provider.stop();
    let later = start + PAUSE + REFRESH + TimeDelta::seconds(1);
    for now in [start + PAUSE * 2, later, later + TimeDelta::minutes(10)] {
        assert_eq!(outcome(&jwt, &newest, now).await, "unavailable", "{now}");
        assert_eq!(outcome(&jwt, &new, now).await, "proven", "{now}");
        assert_eq!(outcome(&jwt, &old, now).await, "proven", "{now}");
    }
    let unknown = authenticator(&provider);
    assert_eq!(
        outcome(&unknown, &old, start).await,
        "unavailable",
        "there is no key yet"
    );
    assert!(unknown.warm_up(start + PAUSE).await.is_err());
    provider.start_again();
    let back = later + TimeDelta::minutes(20);
    assert_eq!(outcome(&jwt, &newest, back).await, "proven");
    assert!(unknown.warm_up(start + PAUSE * 2).await.is_ok());
}

const POLICY: &str = r#"
[[resources]]
name = "deploy"
hosts = ["app.example"]
paths = ["/deploy"]

[[policies]]
name = "deploys"
resources = ["deploy"]
requesters = { roles = ["deployer"] }
approval = "automatic"

[[mappings]]
issuer = "ISSUER"
claims = { repository = "acme/app", environment = "production" }
when = 'claims.ref == "refs/heads/main"'
roles = ["deployer"]
"#;

const PEOPLE: &str = "[[people]]\nname = \"Ana\"\nroles = [\"deployer\"]\ntoken = \"demo-ana\"";

fn head(token: &str) -> Parts {
    let request = http::Request::builder()
        .uri("/deploy/now")
        .header("host", "app.example")
        .header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap().into_parts().0
}

/// What the gate says, in a word.
async fn knock(gate: &Gate, token: &str) -> String {
    let head = head(token);
    let verdict = match gate.decide(&head, None) {
        Verdict::Lookup(lookup) => gate.resolve(&head, None, lookup).await,
        verdict => verdict,
    };
    match verdict {
        Verdict::Admit(admission) => format!("admitted {}", admission.permit.holder().subject()),
        Verdict::Refuse(refusal) => format!("{refusal:?}")
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_job_of_a_ci_system_asks_and_is_let_in() {
    let mut provider = Provider::start();
    let mut job = |branch: &str| {
        let claims = json!({
            "sub": format!("repo:acme/app:ref:{branch}"), "aud": "jit", "repository": "acme/app",
            "environment": "production", "ref": branch,
        });
        provider.token("one", &claims)
    };
    let (deploy, feature) = (job("refs/heads/main"), job("refs/heads/feature"));
    let clock = Arc::new(ManualClock::new(issued(&deploy)));
    let source = POLICY.replace("ISSUER", &provider.issuer);
    let policy = || Policy::parse(&source, Format::Toml, "policy.toml").unwrap();

    let people = Arc::new(PeopleFile::parse(PEOPLE, Format::Toml, "people.toml").unwrap());
    let tokens = people
        .tokens()
        .into_iter()
        .map(|token| (token.sha256, token.principal));
    let tokens = Arc::new(ApiTokens::new(tokens).unwrap());
    let jobs = Arc::new(ClaimsDirectory::new(policy().mappings().clone()));
    let directory = Arc::new(Directories::new([people as Arc<dyn Directory>, jobs.clone()]));
    let learning = Arc::new(Learning::new(Arc::new(authenticator(&provider)), jobs.clone()));
    let authenticators = Authenticators::new([tokens as Arc<dyn Authenticator>, learning.clone()]).unwrap();

    let broker = Broker::builder(Arc::new(MemoryStore::new()), directory.clone(), policy());
    let broker = broker.clock(clock.clone()).build().await.unwrap();
    let rules = RuleSet::compile(policy().resources(), policy().open()).unwrap();
    let gate = Gate::builder(
        rules,
        broker.enforcer().clone(),
        authenticators,
        directory,
        clock.clone(),
    )
    .build();

    assert_eq!(knock(&gate, &deploy).await, "ApprovalRequired");
    assert_eq!(knock(&gate, &feature).await, "NotEligible", "no role, nobody");
    assert_eq!(knock(&gate, &format!("{deploy}x")).await, "Unauthenticated");
    assert_eq!(
        knock(&gate, "demo-ana").await,
        "ApprovalRequired",
        "the other authenticator"
    );
    assert_eq!(jobs.len(), 1);

    let now = issued(&deploy);
    let source = CredentialSource::Authorization;
    let subject = learning.verify(deploy.as_bytes(), source, now).await.unwrap();
    let actor = broker.identify(&subject).await.unwrap();
    let ask: Ask = serde_json::from_value(json!({"resource": "deploy", "reason": "release 7"})).unwrap();
    let Asked { view, .. } = broker.ask(&actor, ask, None).await.unwrap();
    assert_eq!(view.request.state, State::Active);
    assert_eq!(
        knock(&gate, &deploy).await,
        "admitted repo:acme/app:ref:refs/heads/main"
    );
    assert_eq!(knock(&gate, &feature).await, "NotEligible");
    assert_eq!(
        knock(&gate, "demo-ana").await,
        "ApprovalRequired",
        "a grant is its holder's"
    );
}
