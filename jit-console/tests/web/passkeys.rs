//! Passkeys at the console: enrolled by whom they belong to, a second factor, and a signature under a decision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jit_core::approval::event::Event;
use jit_core::approval::evidence::{Evidence, Statement};
use jit_core::approval::review::Decision;
use jit_core::broker::passkeys::EACH_MAX;
use jit_core::broker::store::Store as _;
use jit_core::id::Digest;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::Value;

use crate::token::{Token, text};
use crate::world::{Answer, Browser, World};

/// What the page asks the authenticator for.
fn options(page: &Answer) -> Value {
    page.is(200);
    serde_json::from_str(&page.attribute("data-options")).unwrap()
}

impl Browser<'_> {
    /// Sends an authenticator's answer with the form of `page`.
    async fn answers(&mut self, page: &Answer, answer: &str) -> Answer {
        let hidden = page.form("/passkey").unwrap();
        let mut fields: Vec<_> = hidden.iter().map(|(name, value)| (&**name, &**value)).collect();
        fields.retain(|(name, _)| *name != "answer");
        fields.push(("answer", answer));
        let answered = self.post("/passkey", &fields).await;
        if answered.headers.contains_key("set-cookie") {
            self.takes(&answered);
        }
        answered
    }

    /// Enrols a passkey.
    async fn enrols(&mut self, token: &Token, name: &str) -> Answer {
        let page = self.fill("/security", "/security", &[("name", name)]).await;
        let made = token.create(&options(&page));
        self.answers(&page, &made).await
    }

    /// The page on which an approval of `asked` is signed.
    async fn to_sign(&self, asked: &str, typed: &[(&str, &str)]) -> Answer {
        let mut fields = vec![("decision", "sign")];
        fields.extend(typed);
        self.decide(asked, &fields).await
    }
}

/// A request that waits for somebody with a second factor.
async fn asked(world: &World) -> String {
    let mut alice = world.visit("alice").await;
    alice.step_up("/step-up", &world.code("alice", 0)).await.is(303);
    alice.ask_for_till().await
}

/// Bob, with a passkey, in a browser where he has proven nothing.
async fn bob<'w>(world: &'w World, token: &Token) -> Browser<'w> {
    let mut bob = world.visit("bob").await;
    bob.step_up("/step-up", &world.code("bob", 0)).await.is(303);
    bob.enrols(token, "laptop").await.leads_to("/security");
    world.visit("bob").await
}

/// The evidence of all reviews in the log.
async fn evidence(world: &World) -> Vec<Evidence> {
    let log = world.store.feed(0, 1000).await.unwrap();
    let events = log
        .iter()
        .filter_map(|record| serde_json::from_str(&record.body).ok());
    events
        .filter_map(|event| match event {
            Event::Reviewed { review } => review.evidence.map(|evidence| *evidence),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn who_changes_passkeys_has_just_shown_that_it_is_them() {
    let world = World::strict().await;
    let (one, other) = (Token::new(1), Token::new(2));
    // Bob has an app. A session of his is not enough, however young it is.
    let mut bob = world.visit("bob").await;
    bob.get("/security")
        .await
        .says("You are asked for your second factor");
    let wants = bob.fill("/security", "/security", &[("name", "mine")]).await;
    let step_up = wants.location().to_owned();
    assert!(step_up.starts_with("/step-up?to="), "{step_up}");
    bob.step_up(&step_up, &world.code("bob", 0))
        .await
        .leads_to("/security");
    bob.enrols(&one, "blue \u{202e}<key>").await.leads_to("/security");
    let page = bob.get("/security").await;
    page.says("blue &#60;key&#62;");
    page.says("never used");
    // Nor is that for the next one, 5 minutes on, nor to remove one.
    world.advance(301);
    for (action, typed) in [
        ("/security", ("name", "two")),
        ("/security/remove", ("id", &text(&one.id))),
    ] {
        let wants = bob.fill("/security", action, &[typed]).await;
        assert!(wants.location().starts_with("/step-up?to="), "{action}");
    }

    // Carol has nothing yet: her first passkey comes soon after she signed in.
    let mut carol = world.visit("carol").await;
    let page = carol.fill("/security", "/security", &[("name", "")]).await;
    world.advance(301);
    let late = carol.fill("/security", "/security", &[("name", "late")]).await;
    late.is(403);
    late.says("Sign in again first");
    late.says("href=\"/security/anew\"");
    // What was begun in time is over by now.
    carol.answers(&page, &other.create(&options(&page))).await.is(403);
    let mut carol = world.visit("carol").await;
    // Nobody enrols what is another's.
    let stolen = carol.enrols(&one, "of bob").await;
    stolen.is(403);
    stolen.says("This passkey was not accepted.");
    carol.enrols(&other, "").await.leads_to("/security");
    carol.get("/security").await.says("<strong>Passkey</strong>");
    // From now on she has a second factor, and is asked for it.
    let mut thief = world.visit("carol").await;
    let wants = thief.fill("/security", "/security", &[("name", "thief")]).await;
    assert!(wants.location().starts_with("/step-up?to="));
    let wants = thief.fill("/security", "/security/remove", &[]).await;
    let step_up = wants.location().to_owned();
    let page = thief.fill(&step_up, "/step-up/passkey", &[]).await;
    thief.answers(&page, &one.get(&options(&page))).await.is(403);
    let page = thief.fill(&step_up, "/step-up/passkey", &[]).await;
    thief
        .answers(&page, &other.get(&options(&page)))
        .await
        .leads_to("/security");
    thief
        .fill("/security", "/security/remove", &[])
        .await
        .leads_to("/security");
    thief.get("/security").await.says("You have none yet.");
    // There is an end to it.
    for n in 0..EACH_MAX {
        let token = Token::new(100 + u8::try_from(n).unwrap());
        thief.enrols(&token, "another").await.leads_to("/security");
    }
    thief
        .fill("/security", "/security", &[("name", "one more")])
        .await
        .is(400);
}

#[tokio::test]
async fn an_authenticator_that_verifies_nobody_is_not_enrolled() {
    let world = World::strict().await;
    let mut carol = world.visit("carol").await;
    let mut token = Token::new(1);
    token.verifies = false;
    carol.enrols(&token, "touch").await.is(403);
    token.verifies = true;
    token.origin = "http://app.example.com";
    carol.enrols(&token, "phished").await.is(403);
    let page = carol.fill("/security", "/security", &[("name", "none")]).await;
    carol.answers(&page, "").await.is(403);
    carol.get("/security").await.says("You have none yet.");
}

#[tokio::test]
async fn a_passkey_is_a_second_factor_that_leads_back() {
    let world = World::strict().await;
    let token = Token::new(1);
    let (asked, mut bob) = (asked(&world).await, bob(&world, &token).await);
    let wants = bob
        .decide(&asked, &[("decision", "deny"), ("comment", "no money today")])
        .await;
    let step_up = wants.location().to_owned();
    let page = bob.fill(&step_up, "/step-up/passkey", &[]).await;
    let (before, old) = (options(&page), bob.clone());
    let right = token.get(&before);
    let answered = bob.answers(&page, &right).await;
    answered.is(303);
    assert_ne!(bob.cookie, old.cookie);
    assert!(old.get(&asked).await.location().starts_with("/login"));
    bob.get(answered.location()).await.says("no money today");
    bob.get("/security").await.says("last used");
    // Once.
    bob.answers(&page, &right).await.is(403);
    bob.decide(&asked, &[("decision", "deny")]).await.is(303);
}

#[tokio::test]
async fn whatever_is_tried_is_paced_together() {
    let world = World::strict().await;
    let (token, mine) = (Token::new(1), Token::new(2));
    let (asked, mut bob) = (asked(&world).await, bob(&world, &token).await);
    world.advance(61);
    bob.step_up("/step-up", "000000").await.is(403);
    let page = bob.fill("/step-up", "/step-up/passkey", &[]).await;
    bob.answers(&page, &mine.get(&options(&page))).await.is(403);
    let page = bob.to_sign(&asked, &[]).await;
    bob.answers(&page, &mine.get(&options(&page))).await.is(403);
    // The third wrong one in a row costs a pause, and what is right is not looked at before its end.
    let page = bob.to_sign(&asked, &[]).await;
    let paced = bob.answers(&page, &token.get(&options(&page))).await;
    paced.is(429);
    paced.says("Too many tries in a row.");
    bob.step_up("/step-up", &world.code("bob", 0)).await.is(429);
    world.advance(5);
    let page = bob.to_sign(&asked, &[]).await;
    bob.answers(&page, &token.get(&options(&page))).await.is(303);
}

#[tokio::test]
async fn an_approval_is_signed_and_the_signature_is_in_the_log() {
    let world = World::strict().await;
    let token = Token::new(1);
    let (asked, mut bob) = (asked(&world).await, bob(&world, &token).await);
    bob.get(&asked).await.says("Approve with a passkey");
    let typed = [
        ("comment", "the  drawer"),
        ("duration", "10m"),
        ("paths", "/till/drawer/"),
    ];
    let before = world.end().await;
    let long = "x".repeat(9000);
    bob.to_sign(&asked, &[("comment", &long)]).await.is(400);
    let page = bob.to_sign(&asked, &typed).await;
    page.says("<dd>till for alice (alice, demo|alice)</dd>");
    page.says("<dd>/till and what is below, at app.example.com, by every method</dd>");
    page.says("for 10 min, only /till/drawer");
    page.says("count the money");
    assert_eq!(
        world.end().await,
        before,
        "nothing is decided before it is signed"
    );
    let cookie = bob.cookie.clone();
    let told = format!("/approvals?done={}", asked.rsplit('/').next().unwrap());
    bob.answers(&page, &token.get(&options(&page)))
        .await
        .leads_to(&told);
    assert_ne!(bob.cookie, cookie, "it was a second factor as well");
    bob.get(&asked).await.says("signed with a passkey");

    // Whoever has the log can verify it, by what is written there alone.
    let [evidence] = evidence(&world).await.try_into().unwrap();
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let stated: Statement = serde_json::from_str(&evidence.statement).unwrap();
    assert_eq!(
        (stated.decision, stated.person.as_str()),
        (Decision::Approve, "bob")
    );
    assert_eq!(
        stated.narrowing.paths.iter().collect::<Vec<_>>(),
        ["/till/drawer"]
    );
    let client = bytes(&evidence.client_data);
    let said: Value = serde_json::from_slice(&client).unwrap();
    let challenge = Statement::challenge(&evidence.statement);
    assert_eq!(said["challenge"], text(challenge.as_bytes()));
    let mut signed = bytes(&evidence.authenticator_data);
    signed.extend(Digest::plain(&client).as_bytes());
    let mut point = vec![4];
    point.extend(bytes(&evidence.public_key["x"]));
    point.extend(bytes(&evidence.public_key["y"]));
    let key = VerifyingKey::from_sec1_bytes(&point).unwrap();
    let signature = Signature::from_der(&bytes(&evidence.signature)).unwrap();
    key.verify(&signed, &signature).unwrap();
    let carol = world.visit("carol").await;
    let story = carol
        .get(&format!("/audit/{}", asked.rsplit('/').next().unwrap()))
        .await;
    story.says("bob approved, signed with a passkey, that alice may use till");
}

/// The library compares with what was known when a ceremony began, and two may begin at once.
#[tokio::test]
async fn a_copy_of_a_passkey_is_noticed_by_its_counter() {
    let world = World::strict().await;
    let token = Token::new(1);
    let (asked, mut bob) = (asked(&world).await, bob(&world, &token).await);
    let other = {
        let erin = world.visit("erin").await;
        erin.ask(&[]).await
    };
    let mut elsewhere = world.visit("bob").await;
    let (first, second) = (
        bob.to_sign(&asked, &[]).await,
        elsewhere.to_sign(&other, &[]).await,
    );
    let before = token.counter.get();
    bob.answers(&first, &token.get(&options(&first))).await.is(303);
    token.counter.set(before);
    let copied = elsewhere.answers(&second, &token.get(&options(&second))).await;
    copied.is(403);
    copied.says("Nothing was decided.");
    assert_eq!(evidence(&world).await.len(), 1);
    let third = bob.to_sign(&other, &[]).await;
    bob.answers(&third, &token.get(&options(&third))).await.is(303);
    assert_eq!(evidence(&world).await.len(), 2);
}

#[tokio::test]
async fn a_signature_that_was_made_for_anything_else_decides_nothing() {
    let world = World::strict().await;
    let (token, mine) = (Token::new(1), Token::new(2));
    // The same key, and nothing wrong with how often it has signed.
    let (mut touch, mut phished) = (Token::new(1), Token::new(1));
    touch.verifies = false;
    phished.origin = "http://localhost:8082";
    for token in [&touch, &phished] {
        token.counter.set(1000);
    }
    let (asked, mut bob) = (asked(&world).await, bob(&world, &token).await);
    let other = {
        let erin = world.visit("erin").await;
        erin.ask(&[]).await
    };
    let before = world.end().await;
    let typed = [("comment", "what I typed")];
    // (what, the page that the answer is sent with, the page that it was made for, by which authenticator)
    for (what, sent, made, by) in [
        ("another request", (&asked, ""), (&other, ""), &token),
        ("a longer approval", (&asked, "10m"), (&asked, "20m"), &token),
        ("the same again", (&asked, ""), (&asked, ""), &token),
        ("somebody else's key", (&asked, ""), (&asked, ""), &mine),
        ("nobody verified", (&asked, ""), (&asked, ""), &touch),
        ("another origin", (&asked, ""), (&asked, ""), &phished),
    ] {
        let sent = bob.to_sign(sent.0, &[("duration", sent.1), typed[0]]).await;
        let own = matches!(what, "somebody else's key" | "nobody verified" | "another origin");
        let made = match own {
            true => sent.clone(),
            false => bob.to_sign(made.0, &[("duration", made.1)]).await,
        };
        let answer = by.get(&options(&made));
        let refused = bob.answers(&sent, &answer).await;
        refused.is(403);
        refused.says("Nothing was decided.");
        refused.says("what I typed");
        assert!(!refused.headers.contains_key("set-cookie"), "{what}");
        assert_eq!(world.end().await, before, "{what}");
        // Right or wrong, an answer ends it.
        let again = bob.answers(&sent, &token.get(&options(&sent))).await;
        again.is(403);
        again.says("This took too long, or was answered before");
        world.advance(61);
        bob.step_up("/step-up", &world.code("bob", 0)).await.is(303);
    }
    // Another sign-in of the same person.
    let page = bob.to_sign(&asked, &[]).await;
    let right = token.get(&options(&page));
    let mut elsewhere = world.visit("bob").await;
    let csrf = elsewhere.to_sign(&asked, &[]).await.form("/passkey").unwrap();
    assert!(csrf.iter().any(|(name, _)| name == "csrf"));
    elsewhere.answers(&page, &right).await.is(403);
    bob.cookie.clone_from(&elsewhere.cookie);
    // Too late.
    let page = bob.to_sign(&asked, &[]).await;
    let right = token.get(&options(&page));
    world.advance(300);
    bob.answers(&page, &right).await.is(403);
    // Removed in the meantime.
    let mut elsewhere = world.visit("bob").await;
    elsewhere.step_up("/step-up", &world.code("bob", 0)).await.is(303);
    let page = elsewhere.to_sign(&asked, &[]).await;
    let right = token.get(&options(&page));
    let mut other = world.visit("bob").await;
    world.advance(61);
    other.step_up("/step-up", &world.code("bob", 0)).await.is(303);
    other.fill("/security", "/security/remove", &[]).await.is(303);
    let before = world.end().await;
    let refused = elsewhere.answers(&page, &right).await;
    refused.is(403);
    refused.says("Nothing was decided.");
    assert_eq!(world.end().await, before);
    assert!(evidence(&world).await.is_empty());
}

#[tokio::test]
async fn what_becomes_of_passkeys_is_in_the_log() {
    let world = World::strict().await;
    let (token, mut erin) = (Token::new(1), world.visit("erin").await);
    erin.enrols(&token, "blue key").await.leads_to("/security");
    let wants = erin.fill("/security", "/security/remove", &[]).await;
    let page = erin.fill(wants.location(), "/step-up/passkey", &[]).await;
    let proven = token.get(&options(&page));
    erin.answers(&page, &proven).await.leads_to("/security");
    erin.fill("/security", "/security/remove", &[]).await.is(303);
    let log = world.store.feed(0, 1000).await.unwrap();
    let bodies = log.iter().filter(|record| record.body.contains("passkey"));
    let bodies: Vec<Value> = bodies
        .map(|record| serde_json::from_str(&record.body).unwrap())
        .collect();
    let told = |kind: &str| {
        serde_json::json!({
            "type": kind,
            "owner": "erin",
            "passkey": {"id": text(&token.id), "name": "blue key"},
            "principal": {"issuer": "demo", "subject": "erin"},
            "person": "erin",
        })
    };
    assert_eq!(bodies, ["passkey_enrolled", "passkey_removed"].map(told));
    let carol = world.visit("carol").await;
    for page in ["/audit", "/audit?person=erin", "/audit?type=passkey_removed"] {
        let page = carol.get(page).await;
        page.says("erin removed the passkey “blue key”.");
    }
    carol
        .get("/audit")
        .await
        .says("erin added the passkey “blue key”.");
}

#[tokio::test]
async fn who_has_lost_the_only_passkey_has_it_cleared_and_adds_another() {
    let world = World::strict().await;
    let (lost, fresh, own) = (Token::new(1), Token::new(2), Token::new(3));
    let mut erin = world.visit("erin").await;
    erin.enrols(&lost, "lost").await.leads_to("/security");
    // However fresh the sign-in: there is a second factor, and she can't prove it.
    let erin = world.visit("erin").await;
    let wants = erin.fill("/security", "/security", &[("name", "new")]).await;
    assert!(wants.location().starts_with("/step-up"));

    let mut carol = world.visit("carol").await;
    let typed = [("person", "erin"), ("reason", "it is in the sea")];
    carol.get("/lockdowns").await.says("href=\"/security/clear\"");
    // By her password alone she clears nobody's, and there is nothing that she could prove.
    carol
        .fill("/security/clear", "/security/clear", &typed)
        .await
        .is(401);
    carol.enrols(&own, "own").await.leads_to("/security");
    let wants = carol.fill("/security/clear", "/security/clear", &typed).await;
    let step_up = wants.location().to_owned();
    assert!(step_up.starts_with("/step-up?to="), "{step_up}");
    let page = carol.fill(&step_up, "/step-up/passkey", &[]).await;
    let back = carol.answers(&page, &own.get(&options(&page))).await;
    back.leads_to("/security/clear?person=erin");
    // Never her own, and nobody's without saying why.
    for (person, reason) in [("carol", "mine"), ("erin", " "), ("", "x"), ("nobody", "x")] {
        let typed = [("person", person), ("reason", reason)];
        let refused = carol.fill("/security/clear", "/security/clear", &typed).await;
        refused.is(400);
        refused.says("aria-invalid");
    }
    let cleared = carol.fill(back.location(), "/security/clear", &typed[..]).await;
    cleared.is(200);
    cleared.says("One passkey of erin was cleared, and");
    let told = "carol cleared every passkey of erin (“lost”): “it is in the sea”";
    carol.get("/audit?person=erin").await.says(told);

    // A session of hers that is older than the 5 minutes is not enough; a new one is.
    let gone = erin.get("/security").await;
    assert!(gone.location().starts_with("/login"));
    let erin = world.visit("erin").await;
    world.advance(301);
    erin.fill("/security", "/security", &[("name", "new")])
        .await
        .is(403);
    let mut erin = world.visit("erin").await;
    erin.enrols(&fresh, "new").await.leads_to("/security");
    // What was lost proves nothing any more.
    let page = erin.fill("/step-up", "/step-up/passkey", &[]).await;
    erin.answers(&page, &lost.get(&options(&page))).await.is(403);

    for name in ["alice", "bob", "erin"] {
        let other = world.visit(name).await;
        other.get("/security/clear").await.is(403);
        other.post("/security/clear", &typed).await.is(403);
    }
    let before = world.end().await;
    let forged = [("csrf", "0"), typed[0], typed[1]];
    carol.post("/security/clear", &forged).await.is(403);
    assert_eq!(world.end().await, before);
}

/// Erin has lost her only passkey, and somebody has found it.
struct Found<'w> {
    erin: Browser<'w>,
    /// Has proven to be her by it.
    thief: Browser<'w>,
    /// Where a passkey of the thief's own is half enrolled.
    half: Answer,
    /// What would enrol it.
    made: String,
    /// May clear hers.
    carol: Browser<'w>,
}

async fn found(world: &World) -> Found<'_> {
    let mut erin = world.visit("erin").await;
    let (lost, own, theirs) = (Token::new(1), Token::new(2), Token::new(3));
    erin.enrols(&lost, "lost").await.leads_to("/security");
    let mut thief = world.visit("erin").await;
    let page = thief.fill("/step-up", "/step-up/passkey", &[]).await;
    thief.answers(&page, &lost.get(&options(&page))).await.is(303);
    let half = thief.fill("/security", "/security", &[("name", "theirs")]).await;
    let made = theirs.create(&options(&half));
    let mut carol = world.visit("carol").await;
    carol.enrols(&own, "own").await.leads_to("/security");
    let page = carol.fill("/step-up", "/step-up/passkey", &[]).await;
    carol.answers(&page, &own.get(&options(&page))).await.is(303);
    Found {
        erin,
        thief,
        half,
        made,
        carol,
    }
}

#[tokio::test]
async fn clearing_a_passkey_ends_what_it_has_proven() {
    let world = World::strict().await;
    let mut found = found(&world).await;
    let typed = [("person", "erin"), ("reason", "it is in the sea")];
    let form = found.carol.get("/security/clear").await;
    form.says("It signs them out everywhere");
    let refused = [("person", "erin"), ("reason", " ")];
    found
        .carol
        .fill("/security/clear", "/security/clear", &refused)
        .await
        .is(400);
    found.thief.get("/security").await.is(200);
    let cleared = found
        .carol
        .fill("/security/clear", "/security/clear", &typed)
        .await;
    cleared.says("they are signed out here and of guarded pages");

    let late = found.thief.answers(&found.half, &found.made).await;
    late.is(401);
    for gone in [&found.thief, &found.erin] {
        assert!(gone.get("/security").await.location().starts_with("/login"));
    }
    let erin = world.visit("erin").await;
    erin.get("/security").await.says("You have none yet.");
    found.carol.get("/security").await.is(200);
}

#[tokio::test]
async fn what_is_enrolled_while_passkeys_are_cleared_is_not_kept() {
    let world = World::strict().await;
    let mut found = found(&world).await;
    // Their session was looked at, and then everything of erin's is ended.
    let (reached, go_on) = world.passkeys.halt();
    let clears = async {
        reached.await.unwrap();
        let typed = [("person", "erin"), ("reason", "it is in the sea")];
        let cleared = found
            .carol
            .fill("/security/clear", "/security/clear", &typed)
            .await;
        cleared.says("One passkey of erin was cleared");
        go_on.send(()).unwrap();
    };
    let (late, ()) = tokio::join!(found.thief.answers(&found.half, &found.made), clears);
    late.is(401);
    world
        .visit("erin")
        .await
        .get("/security")
        .await
        .says("You have none yet.");
}
