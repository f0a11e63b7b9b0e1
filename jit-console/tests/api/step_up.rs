//! A second factor, from the refusal that asks for it to the one after it has ended.

use std::sync::Arc;

use jit_core::memory::MemoryStore;
use jit_core::policy::Format;
use serde_json::{Value, json};

use crate::world::{Answer, PEOPLE, POLICY, World};

const SECRETS: [(&str, &str); 2] = [
    ("alice", "JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP"),
    ("bob", "MFZWIZTHNBVGW3DROVSXE5DZOVUW64DB"),
];

const SAFE: &str = r#"
[[resources]]
name = "safe"
hosts = ["app.example.com"]
paths = ["/safe"]

[[policies]]
name = "safe-for-sre"
resources = ["safe"]
requesters = { roles = ["sre"] }
duration = { default = "1h", max = "1h" }
mfa = { acr = ["gold"], max_age = "5m" }
approval = "automatic"

[[resources]]
name = "till"
hosts = ["app.example.com"]
paths = ["/till"]

[[policies]]
name = "till-for-sre"
resources = ["till"]
requesters = { roles = ["sre"] }
duration = { default = "1h", max = "1h" }
mfa = { max_age = "5m" }
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] }, mfa = { amr = ["otp"], max_age = "5m" } } ]
"#;

pub(crate) async fn world() -> World {
    World::ruled(Arc::new(MemoryStore::new()), &format!("{POLICY}{SAFE}")).await
}

/// What `who`'s app shows, `periods` half minutes from now.
fn code(world: &World, who: &str, periods: i64) -> Value {
    let (_, secret) = SECRETS.iter().find(|(name, _)| *name == who).unwrap();
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let seconds = world.broker.now().timestamp() + 30 * periods;
    json!({"code": totp.generate(seconds.try_into().unwrap()).to_string()})
}

/// As a running server does.
async fn pass(world: &World, seconds: u64) {
    world.advance(seconds);
    world.broker.follow().await.unwrap();
}

pub(crate) async fn step_up(world: &World, who: &str) -> Answer {
    let shown = code(world, who, 0);
    world.post(who, "/v1/me/step-up", &shown).await
}

fn asking(resource: &str) -> Value {
    json!({"resource": resource, "reason": "look into INC-42"})
}

const CHALLENGE: &str = "Bearer error=\"insufficient_user_authentication\", \
                         error_description=\"A stronger or more recent sign-in is needed\", max_age=\"300\"";

#[track_caller]
fn wants_more(answer: &Answer) {
    answer.problem(401, "step-up-required");
    assert_eq!(answer.header("www-authenticate"), Some(CHALLENGE));
}

#[tokio::test]
async fn refused_stepped_up_let_in_and_refused_again() {
    let world = world().await;
    // Asking.
    let weak = world.post("alice", "/v1/requests", &asking("till")).await;
    wants_more(&weak);
    assert_eq!(weak.json["max_age"], 300);
    assert_eq!(weak.json["step_up_url"], "/_jit/v1/me/step-up");
    let before = world.end().await;
    let raised = step_up(&world, "alice").await;
    raised.is(200);
    assert_eq!(
        raised.json,
        json!({"method": "otp", "authenticated_at": "2026-03-01T09:00:00Z", "until": "2026-03-01T09:15:00Z"})
    );
    assert_eq!(world.end().await, before);
    let me = world.get("alice", "/v1/me").await.json;
    assert_eq!(me["methods"], json!(["otp"]));
    assert_eq!(me["authenticated_at"], "2026-03-01T09:00:00Z");
    let asked = world.post("alice", "/v1/requests", &asking("till")).await;
    asked.is(201);

    // Reviewing: what alice has proven is nothing that bob has.
    let review = format!("{}/review", asked.path());
    let weak = world.post("bob", &review, &asked.approval()).await;
    wants_more(&weak);
    assert_eq!(weak.json["amr_values"], json!(["otp"]));
    let elsewhere = world.post("bob-mfa", &review, &asked.approval()).await;
    wants_more(&elsewhere);
    step_up(&world, "bob").await.is(200);
    // Nor is what bob has proven with one credential anything that his other one has.
    wants_more(&world.post("bob-mfa", &review, &asked.approval()).await);
    let approved = world.post("bob", &review, &asked.approval()).await;
    assert_eq!(approved.state(), "active");

    // Using: the first use in time, and the others for as long as the proof lasts.
    pass(&world, 299).await;
    world.app("alice", "/till").await.is(200);
    pass(&world, 2).await;
    world.app("alice", "/till").await.is(200);
    wants_more(&world.post("alice", "/v1/requests", &asking("till")).await);
    pass(&world, 15 * 60 - 302).await;
    world.app("alice", "/till").await.is(200);
    pass(&world, 1).await;
    wants_more(&world.app("alice", "/till").await);
    assert_eq!(world.get("alice", "/v1/me").await.json["methods"], json!([]));
    step_up(&world, "alice").await.is(200);
    world.app("alice", "/till").await.is(200);
}

#[tokio::test]
async fn a_first_use_that_comes_late_needs_a_new_code() {
    let world = world().await;
    step_up(&world, "alice").await.is(200);
    let asked = world.post("alice", "/v1/requests", &asking("till")).await;
    step_up(&world, "bob").await.is(200);
    let review = format!("{}/review", asked.path());
    world.post("bob", &review, &asked.approval()).await.is(200);
    pass(&world, 301).await;
    wants_more(&world.app("alice", "/till").await);
    step_up(&world, "alice").await.is(200);
    world.app("alice", "/till").await.is(200);
}

#[tokio::test]
async fn a_code_says_nothing_about_the_class() {
    let world = world().await;
    step_up(&world, "alice").await.is(200);
    let weak = world.post("alice", "/v1/requests", &asking("safe")).await;
    weak.problem(401, "step-up-required");
    assert_eq!(weak.json["acr_values"], json!(["gold"]));
    assert!(
        weak.header("www-authenticate")
            .unwrap()
            .contains("acr_values=\"gold\"")
    );
}

#[tokio::test]
async fn a_code_is_taken_once_and_guessing_is_paced() {
    let world = world().await;
    let before = world.end().await;
    let path = "/v1/me/step-up";
    let now = code(&world, "alice", 0);
    for _ in 0..20 {
        for odd in [
            json!({"code": "12345"}),
            json!({"code": "12345a"}),
            json!({"code": "１23456"}),
        ] {
            world
                .refused("alice", path, &odd, (400, "invalid"))
                .await
                .invalid("code");
        }
    }
    world
        .post_text("alice", path, "{\"code\": 123456}")
        .await
        .invalid("code");
    world.post("alice", path, &now).await.is(200);
    world.refused("alice", path, &now, (403, "invalid-code")).await;
    // Older than what was used, although it would count.
    let older = code(&world, "alice", -1);
    world.refused("alice", path, &older, (403, "invalid-code")).await;
    world
        .refused("alice", path, &code(&world, "bob", 0), (403, "invalid-code"))
        .await;
    let next = code(&world, "alice", 1);
    let paced = world.refused("alice", path, &next, (429, "limit-reached")).await;
    assert_eq!(paced.header("retry-after"), Some("5"));
    assert_eq!(paced.json["retry_at"], "2026-03-01T09:00:05Z");
    // By person, not by credential.
    world
        .refused("alice-mfa", path, &next, (429, "limit-reached"))
        .await;
    world.advance(5);
    world.post("alice", path, &next).await.is(200);
    // Five within a minute.
    world.refused("alice", path, &next, (429, "limit-reached")).await;
    world.advance(60);
    step_up(&world, "alice").await.is(200);
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn who_has_no_secret_has_no_second_factor() {
    let world = world().await;
    let path = "/v1/me/step-up";
    let body = json!({"code": "123456"});
    for _ in 0..10 {
        world
            .refused("mallory", path, &body, (403, "no-second-factor"))
            .await;
    }
    world.refused("", path, &body, (401, "unauthenticated")).await;
    world.refused("ghost", path, &body, (403, "not-eligible")).await;
    // Taken away.
    let line = format!("totp_secret = \"{}\"", SECRETS[0].1);
    let fewer = PEOPLE.replace(&line, "");
    world
        .people
        .replace(jit_core::broker::people::PeopleFile::parse(&fewer, Format::Toml, "people.toml").unwrap());
    world
        .refused(
            "alice",
            path,
            &code(&world, "alice", 0),
            (403, "no-second-factor"),
        )
        .await;
}
