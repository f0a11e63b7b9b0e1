//! What a form must carry, and who may send it.

use crate::world::{Browser, World};

/// Every action on a request, with what else its form holds; `page` must be one that offers it.
async fn refused_without_token(
    world: &World,
    browser: &Browser<'_>,
    page: &str,
    action: &str,
    typed: &[(&str, &str)],
) {
    let hidden = browser.form(page, action).await;
    let before = world.end().await;
    let sent = |token: Option<&str>| {
        let mut fields: Vec<(String, String)> = hidden
            .iter()
            .filter(|(name, _)| name != "csrf")
            .cloned()
            .collect();
        fields.extend(token.map(|token| ("csrf".to_owned(), token.to_owned())));
        fields.extend(
            typed
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        fields
    };
    let of_another_action = browser.form("/grants", "/logout").await.remove(0).1;
    for token in [None, Some(""), Some("0"), Some(&*of_another_action)] {
        let fields = sent(token);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = browser.post(action, &fields).await;
        answer.is(403);
        answer.says("This form is out of date");
        assert_eq!(
            world.end().await,
            before,
            "{action} with {token:?} has changed something"
        );
    }
    let right = hidden
        .iter()
        .find(|(name, _)| name == "csrf")
        .map(|(_, value)| value.as_str());
    let fields = sent(right);
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    // As another site's page would send it, and with a field that no form has.
    for site in ["cross-site", "same-site"] {
        browser.post_from(site, action, &fields).await.is(403);
    }
    fields.push(("extra", "1"));
    let unknown = browser.post(action, &fields).await;
    assert!(unknown.status.is_client_error(), "{unknown:?}");
    assert_eq!(world.end().await, before, "{action}");
}

#[tokio::test]
async fn a_form_without_its_token_changes_nothing() {
    let world = World::new().await;
    let [alice, bob, carol] = world.visits(["alice", "bob", "carol"]).await;
    let typed = [("reason", "look into INC-42"), ("kind", "ask")];
    refused_without_token(&world, &alice, "/ask?resource=admin", "/ask", &typed).await;
    let page = alice.ask(&[]).await;
    let action = |name: &str| format!("{page}/{name}");
    refused_without_token(&world, &alice, &page, &action("withdraw"), &[]).await;
    refused_without_token(&world, &bob, &page, &action("review"), &[("decision", "approve")]).await;
    refused_without_token(&world, &bob, &page, &action("review"), &[("decision", "deny")]).await;
    bob.decide(&page, &[("decision", "approve")]).await.is(303);
    refused_without_token(&world, &alice, &page, &action("release"), &[]).await;
    refused_without_token(&world, &bob, &page, &action("revoke"), &[("reason", "because")]).await;

    let erin = world.visit("erin").await;
    let fields = [("reason", "all is down"), ("kind", "break_glass")];
    let broken = erin
        .fill("/ask?resource=admin", "/ask", &fields)
        .await
        .location()
        .to_owned();
    let typed = [("finding", "unjustified"), ("comment", "no")];
    refused_without_token(&world, &bob, &broken, &format!("{broken}/after-review"), &typed).await;

    let typed = [("kind", "all"), ("reason", "because")];
    refused_without_token(&world, &carol, "/lockdowns", "/lockdowns", &typed).await;
    let typed = [("kind", "resource"), ("name", "wiki"), ("reason", "because")];
    carol.fill("/lockdowns", "/lockdowns", &typed).await.is(303);
    let locked = carol.get("/lockdowns").await;
    let lift = locked
        .text
        .split("action=\"")
        .find(|rest| rest.split('"').next().unwrap().ends_with("/lift"));
    let lift = lift.unwrap().split('"').next().unwrap().to_owned();
    refused_without_token(&world, &carol, "/lockdowns", &lift, &[("reason", "because")]).await;
}

#[tokio::test]
async fn a_token_is_of_one_session_and_one_thing() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let again = world.visit("bob").await;
    let asked = alice.ask(&[]).await;
    let review = format!("{asked}/review");
    let before = world.end().await;
    // Of the same person in another browser.
    let foreign = again.form(&asked, &review).await;
    let mut fields: Vec<_> = foreign.iter().map(|(name, value)| (&**name, &**value)).collect();
    fields.push(("decision", "approve"));
    bob.post(&review, &fields).await.is(403);
    // With a digest that it was not made for.
    let own = bob.form(&asked, &review).await;
    let zero = "0".repeat(64);
    let fields = [("csrf", &*own[0].1), ("digest", &*zero), ("decision", "approve")];
    assert_eq!(own[0].0, "csrf");
    bob.post(&review, &fields).await.is(403);
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn a_stranger_sees_what_is_not_there() {
    let world = World::new().await;
    let [alice, mallory] = world.visits(["alice", "mallory"]).await;
    let asked = alice.ask(&[]).await;
    let id = asked.rsplit('/').next().unwrap();
    let before = world.end().await;
    let nothing = mallory
        .get("/requests/req_00000000000000000000000000000001")
        .await;
    nothing.is(404);
    for path in [asked.clone(), format!("{asked}/done")] {
        let answer = mallory.get(&path).await;
        answer.is(404);
        assert_eq!(answer.text, nothing.text, "{path}");
    }
    // Whatever was sent: it is the same as for a request that does not exist.
    for action in ["review", "withdraw", "release", "revoke", "after-review"] {
        for fields in [&[("csrf", "x")][..], &[("what", "is this")], &[]] {
            let answer = mallory.post(&format!("{asked}/{action}"), fields).await;
            answer.is(404);
            assert_eq!(answer.text, nothing.text, "{action}");
        }
    }
    for path in ["/audit", "/audit.ndjson", "/lockdowns", &format!("/audit/{id}")] {
        mallory.get(path).await.is(403);
    }
    mallory.get("/approvals").await.lacks(id);
    mallory.get("/grants").await.lacks(id);
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn a_long_form_is_refused() {
    let world = World::new().await;
    let alice = world.visit("alice").await;
    let before = world.end().await;
    let answer = alice.post("/ask", &[("reason", &"x".repeat(30_000))]).await;
    answer.is(413);
    answer.says("Nothing was changed.");
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn what_another_origins_page_loads_by_itself_is_not_answered() {
    let world = World::new().await;
    let alice = world.visit("alice").await;
    for (site, mode, status) in [
        ("same-site", "no-cors", 403),
        ("cross-site", "cors", 403),
        ("same-site", "navigate", 200),
        ("cross-site", "navigate", 200),
        ("same-origin", "no-cors", 200),
        ("none", "navigate", 200),
    ] {
        alice.get_from(site, mode, "/requests").await.is(status);
    }
}

#[tokio::test]
async fn signing_in_anew_ends_the_sign_in_before() {
    let world = World::new().await;
    let alice = world.visit("alice").await;
    alice.get("/requests").await.is(200);
    // Not by a form that is refused.
    alice.post("/login", &[("person", "99")]).await.is(400);
    alice.get("/requests").await.is(200);
    alice.post("/login", &[("person", "1")]).await.leads_to("/");
    let left = alice.get("/requests").await;
    assert!(left.location().starts_with("/login?to="), "{left:?}");
}

#[tokio::test]
async fn signing_out_always_works() {
    let world = World::strict().await;
    let gone = |answer: &crate::world::Answer| {
        answer.leads_to("/login");
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("__Host-jit-console=;"), "{cookie}");
        assert!(cookie.ends_with("; Max-Age=0"), "{cookie}");
    };
    let token = async |browser: &Browser<'_>| browser.form("/grants", "/logout").await.remove(0).1;
    // Under a form from before a step-up, in another tab of the same browser.
    let mut alice = world.visit("alice").await;
    let old = token(&alice).await;
    alice.step_up("/step-up", &world.code("alice", 0)).await.is(303);
    gone(&alice.post("/logout", &[("csrf", &old)]).await);
    alice.get("/grants").await.is(303);
    // By a browser that says nothing of where the form comes from, by its own form alone.
    let bob = world.visit("bob").await;
    let own = token(&bob).await;
    bob.post_silently("/logout", &[("csrf", &old)]).await.is(403);
    bob.get("/grants").await.is(200);
    gone(&bob.post_silently("/logout", &[("csrf", &own)]).await);
    bob.get("/grants").await.is(303);
    // After an hour in which nobody looked at it; but not as another site's page sends it.
    let carol = world.visit("carol").await;
    let own = token(&carol).await;
    world.advance(3600);
    for site in ["cross-site", "same-site"] {
        let refused = carol.post_from(site, "/logout", &[("csrf", &own)]).await;
        refused.is(403);
        assert!(!refused.headers.contains_key("set-cookie"), "{site}");
    }
    gone(&carol.post("/logout", &[("csrf", &own)]).await);
    // And again, with nothing left of it, and with a form that is none.
    gone(&carol.post("/logout", &[("what", "ever")]).await);
}
