//! A second factor at the console: wanted, proven, come back from, and ended.

use jit_core::gate::refusal::Refusal;
use jit_core::gate::step_up::TRIES_A_MINUTE;
use jit_core::policy::terms::MfaTerms;

use crate::world::{Browser, World};

/// Has stepped up by a code.
async fn proven<'w>(world: &'w World, who: &str) -> Browser<'w> {
    let mut browser = world.visit(who).await;
    browser
        .step_up("/step-up", &world.code(who, 0))
        .await
        .leads_to("/");
    browser
}

#[tokio::test]
async fn a_reviewer_is_led_to_it_and_back_to_what_they_typed() {
    let world = World::strict().await;
    let alice = proven(&world, "alice").await;
    let (asked, mut bob) = (alice.ask_for_till().await, world.visit("bob").await);
    let before = world.end().await;
    let page = bob.get(&asked).await;
    page.says("To decide here you need a sign-in with a second factor at most 5 min ago.");
    page.says("what you type is kept");
    let typed = [
        ("decision", "approve"),
        ("comment", "only the <drawer>"),
        ("duration", "10m"),
        ("paths", "/till/drawer"),
    ];
    let wants = bob.decide(&asked, &typed).await;
    wants.is(303);
    let step_up = wants.location().to_owned();
    assert!(step_up.starts_with("/step-up?to="), "{step_up}");
    let page = bob.get(&step_up).await;
    page.says("What you were about to do needs a sign-in with a second factor at most 5 min ago. What you typed is kept.");
    page.says("autocomplete=\"one-time-code\"");

    // Wrong: nothing is lost, and the session is what it was.
    let stolen = bob.clone();
    for odd in ["12345", "12345a", "1234567"] {
        let refused = bob.step_up(&step_up, odd).await;
        refused.is(400);
        refused.says("A code has six digits.");
    }
    let refused = bob.step_up(&step_up, &world.code("alice", 0)).await;
    refused.is(403);
    refused.says("id=\"code-error\"");
    refused.says("That was not right, or was used before.");
    assert!(!refused.headers.contains_key("set-cookie"));
    bob.get(&asked).await.is(200);

    // Right: another cookie, and the one before is worth nothing.
    let shown = world.code("bob", 0);
    let (first, second) = shown.split_at(3);
    let right = bob.step_up(&step_up, &format!("{first} {second}")).await;
    right.is(303);
    assert_ne!(bob.cookie, stolen.cookie);
    let set = right.headers["set-cookie"].to_str().unwrap();
    assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{set}");
    assert!(stolen.get(&asked).await.location().starts_with("/login?to="));
    stolen.post("/step-up", &[("code", &shown)]).await.is(401);

    let back = right.location();
    assert!(back.starts_with(&format!("{asked}?kept=")), "{back}");
    let page = bob.get(back).await;
    page.says("What you typed is below, and nothing was decided yet.");
    page.says("only the &#60;drawer&#62;");
    page.says("value=\"10m\"");
    page.says("/till/drawer");
    page.lacks("To decide here you need");
    assert_eq!(world.end().await, before, "nothing is decided by a code");
    bob.fill(back, &format!("{asked}/review"), &typed).await.is(303);
    alice.get(&asked).await.says("10 min left");
    // It counts for a while, and a stage may want a fresher one.
    let second = alice.ask_for_till().await;
    world.advance(301);
    assert!(
        bob.decide(&second, &typed)
            .await
            .location()
            .starts_with("/step-up")
    );
}

#[tokio::test]
async fn who_asks_is_led_to_it_and_back_to_what_they_typed() {
    let world = World::strict().await;
    let mut alice = world.visit("alice").await;
    let slip = world.refused("/till/drawer?page=2");
    alice.get(&format!("/go/{slip}")).await.is(303);
    let page = format!("/ask?resource=till&back={slip}");
    let typed = [
        ("reason", "count the money"),
        ("duration", "25m"),
        ("methods", "GET"),
        ("kind", "ask"),
    ];
    let wants = alice.fill(&page, "/ask", &typed).await;
    wants.is(303);
    let step_up = wants.location().to_owned();
    let right = alice.step_up(&step_up, &world.code("alice", 0)).await;
    right.is(303);
    let back = right.location();
    let form = alice.get(back).await;
    form.says("What you typed is below, and was not sent yet.");
    form.says("count the money");
    form.says("value=\"25m\"");
    form.says("value=\"GET\"");
    form.says("http://app.example.com/till/drawer?page=2");
    let asked = alice.fill(back, "/ask", &typed).await;
    asked.is(303);
    assert!(
        asked.location().ends_with(&format!("?back={slip}")),
        "{}",
        asked.location()
    );

    // What can't be proven here is said on the form, and leads nowhere.
    let gold = alice
        .fill(
            "/ask?resource=safe",
            "/ask",
            &[("reason", "count it"), ("duration", "5m"), ("kind", "ask")],
        )
        .await;
    gold.is(401);
    gold.says("count it");
}

#[tokio::test]
async fn a_code_counts_once_and_guessing_is_paced_wherever_it_is_tried() {
    let world = World::strict().await;
    let (mut bob, mut other) = (world.visit("bob").await, world.visit("bob").await);
    let shown = world.code("bob", 0);
    bob.step_up("/step-up", &shown).await.is(303);
    other.step_up("/step-up", &shown).await.is(403);
    let person = "bob".parse().unwrap();
    let now = world.broker.now();
    // Two more wrong ones, at the control API for one: the third in a row costs a pause, whatever comes next.
    assert!(world.step_ups.verify(&person, "000000", now).await.is_err());
    other.step_up("/step-up", &shown).await.is(403);
    let next = world.code("bob", 1);
    let paced = other.step_up("/step-up", &next).await;
    paced.is(429);
    paced.says("Too many tries in a row. This one was not looked at");
    assert!(!paced.headers.contains_key("set-cookie"));
    world.advance(5);
    other.step_up("/step-up", &next).await.is(303);
    const { assert!(TRIES_A_MINUTE == 5) };
    other.step_up("/step-up", &world.code("bob", 1)).await.is(429);
    // Who has no app is told so, as often as they like.
    let mut carol = world.visit("carol").await;
    carol
        .get("/step-up")
        .await
        .says("No second factor of yours that would do is known here.");
    carol.get("/step-up").await.lacks("name=\"code\"");
    let csrf = carol.cookie.clone();
    carol
        .post("/step-up", &[("code", "123456"), ("csrf", &csrf)])
        .await
        .is(403);
    carol.cookie.clear();
    assert!(carol.get("/step-up").await.location().starts_with("/login"));
}

#[tokio::test]
async fn an_errand_is_of_whoever_was_sent_on_it() {
    let world = World::strict().await;
    let alice = proven(&world, "alice").await;
    let asked = alice.ask_for_till().await;
    let (mut bob, mut other) = (world.visit("bob").await, world.visit("bob").await);
    let wants = bob
        .decide(&asked, &[("decision", "approve"), ("comment", "mine alone")])
        .await;
    let step_up = wants.location().to_owned();
    let slip = step_up.rsplit('=').next().unwrap();
    // Another sign-in of the very same person: nothing of it is told, and nobody is led anywhere.
    other.get(&step_up).await.lacks("What you were about to do");
    other
        .get(&format!("{asked}?kept={slip}"))
        .await
        .lacks("mine alone");
    other.step_up(&step_up, &world.code("bob", 0)).await.leads_to("/");
    // It is kept for a quarter of an hour.
    world.advance(15 * 60);
    bob.get(&step_up).await.lacks("What you were about to do");
    bob.step_up(&step_up, &world.code("bob", 0)).await.leads_to("/");
}

#[tokio::test]
async fn a_guarded_page_that_wants_one_is_come_back_to() {
    let world = World::strict().await;
    let refusal = Refusal::StepUp {
        resource: "till".parse().unwrap(),
        terms: MfaTerms {
            acr: Vec::new(),
            amr: Default::default(),
            max_age: Some("5m".parse().unwrap()),
        },
    };
    let slip = world.sent_away("/till", &refusal);
    let mut alice = world.visit("alice").await;
    let wants = alice.get(&format!("/go/{slip}")).await;
    wants.is(303);
    let step_up = wants.location().to_owned();
    alice
        .get(&step_up)
        .await
        .says("a second factor at most 5 min ago");
    let right = alice.step_up(&step_up, &world.code("alice", 0)).await;
    right.leads_to(&format!("/back/{slip}"));
    alice
        .get(right.location())
        .await
        .says("http://app.example.com/_jit/enter?code=");
    // Proven already: nobody is asked twice.
    alice.get(&format!("/go/{slip}")).await.says("/_jit/enter?code=");
}
