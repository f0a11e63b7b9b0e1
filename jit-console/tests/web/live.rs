//! Pages that wait are told when what they show has changed.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use jit_core::id::Digest;

use crate::world::World;

/// The address by which the page at `path` finds out.
async fn told_at(browser: &crate::world::Browser<'_>, path: &str) -> String {
    let page = browser.get(path).await;
    let (_, rest) = page
        .text
        .split_once("sse-connect=\"")
        .unwrap_or_else(|| panic!("{}", page.text));
    rest.split_once('"').unwrap().0.to_owned()
}

/// The files that others wrote are those that the README beside them names.
#[tokio::test]
async fn vendored_scripts_are_as_released() {
    let world = World::new().await;
    let alice = world.visit("alice").await;
    let readme = include_str!("../../assets/htmx/README.md");
    for (path, name) in [("/htmx.js", "htmx.min.js"), ("/sse.js", "sse.min.js")] {
        let file = alice.get(path).await;
        assert_eq!(file.headers["content-type"], "text/javascript; charset=utf-8");
        let sum = Digest::plain(file.text.as_bytes());
        let line = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}`")));
        assert!(line.unwrap().contains(&format!("`{sum}`")), "{name} is {sum}");
    }
}

/// Scripts may do nothing that the policy for content does not foresee.
#[tokio::test]
async fn what_htmx_may_do_is_set() {
    let world = World::new().await;
    let page = world.visit("alice").await.get("/approvals").await;
    for set in [
        "allowEval&quot;:false",
        "allowScriptTags&quot;:false",
        "includeIndicatorStyles&quot;:false",
        "selfRequestsOnly&quot;:true",
        "historyCacheSize&quot;:0",
    ] {
        page.says(set);
    }
}

#[tokio::test]
async fn only_parts_without_fields_are_shown_anew() {
    let world = World::new().await;
    let [alice, bob, carol] = world.visits(["alice", "bob", "carol"]).await;
    let asked = alice.ask(&[]).await;
    // A reviewer types: no part with a form, no refresh, and a word when the forms are out of date.
    let sheet = bob.get(&asked).await;
    sheet.says("hx-select-oob=\"#badge,#clock,#status:innerHTML,#facts,#agree\"");
    sheet.lacks("http-equiv=\"refresh\"");
    let forms = sheet.attribute("hx-vals");
    let forms = forms
        .strip_prefix("{\"forms\":\"")
        .unwrap()
        .strip_suffix("\"}")
        .unwrap();
    let anew = format!("{asked}?forms={forms}");
    let changed = "This has changed since the form below was shown.";
    bob.get(&anew).await.lacks(changed);
    carol.decide(&asked, &[("decision", "approve")]).await.is(303);
    bob.get(&anew).await.says(changed);
    bob.get(&asked).await.lacks(changed);
    // The requester does not.
    let mine = alice.get(&asked).await;
    mine.says("hx-select-oob=\"#badge,#clock,#status:innerHTML,#facts,#acts,#agree\"");
    mine.says("<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>");
    mine.lacks("hx-vals");
}

/// Every moment that is counted down to comes with the server's now.
#[tokio::test]
async fn countdowns_begin_at_the_servers_now() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let asked = alice.ask(&[]).await;
    world.advance(120);
    let waits = "role=\"timer\" aria-live=\"off\" datetime=\"2026-03-01T10:00:00Z\" data-now=\"2026-03-01T09:02:00Z\" data-says=\"left\">58 min left</time>";
    for (browser, path) in [(&alice, &*asked), (&alice, "/requests"), (&bob, "/approvals")] {
        browser.get(path).await.says(waits);
    }
    bob.decide(&asked, &[("decision", "approve")]).await.is(303);
    world.advance(1741);
    let ends = "datetime=\"2026-03-01T09:32:00Z\" data-now=\"2026-03-01T09:31:01Z\" data-says=\"left\">59 s left</time>";
    for (browser, path) in [(&alice, &*asked), (&alice, "/requests"), (&bob, "/grants")] {
        browser.get(path).await.says(ends);
    }
    // Written down or not, what is over is not said to be open.
    world.advance(59);
    let over = alice.get(&asked).await;
    over.says("Its time is over.");
    over.lacks("role=\"timer\"");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_decided_is_looked_at_again() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let asked = alice.ask(&[]).await;
    let live = told_at(&alice, &asked).await;
    let mut told = pin!(alice.get(&live));
    for _ in 0..50 {
        assert!((&mut told).now_or_never().is_none(), "nothing has changed");
        tokio::task::yield_now().await;
    }
    bob.decide(&asked, &[("decision", "approve")]).await.is(303);
    told.await.says("event: changed\ndata: look again\n\n");

    // What changed between the page and the stream counts as well.
    alice.get(&live).await.says("event: changed");
    let now = told_at(&alice, &asked).await;
    assert_ne!(now, live);
    // Nobody else learns whether there is such a request.
    let mallory = world.visit("mallory").await;
    mallory.get(&live).await.is(404);
    // After a minute without any change the browser comes again.
    alice.get(&now).await.lacks("event: changed");
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_looked_at_again_when_something_was_written() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let live = told_at(&bob, "/approvals").await;
    bob.get(&live).await.lacks("event: changed");
    alice.ask(&[]).await;
    bob.get(&live).await.says("event: changed");
    bob.get("/live?seen=-1").await.is(400);
    bob.get("/live").await.is(400);
}

#[tokio::test(start_paused = true)]
async fn one_person_takes_a_bounded_number_of_places() {
    let world = World::new().await;
    let alice = world.visit("alice").await;
    let live = told_at(&alice, "/approvals").await;
    let mut waiting: Vec<_> = (0..16).map(|_| Box::pin(alice.get(&live))).collect();
    for one in &mut waiting {
        assert!(one.now_or_never().is_none());
    }
    alice.get(&live).await.is(429);
    drop(waiting);
    alice.get(&live).await.is(200);
}

#[tokio::test(start_paused = true)]
async fn what_is_done_under_grants_makes_no_list_look_again() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let asked = alice.ask(&[]).await;
    bob.decide(&asked, &[("decision", "approve")]).await.is(303);
    for list in ["/requests", "/approvals", "/grants"] {
        let live = told_at(&bob, list).await;
        let before = world.end().await;
        world.use_grant("alice", "/admin").await;
        assert_ne!(world.end().await, before, "it was written down");
        bob.get(&live).await.lacks("event: changed");
        assert_eq!(told_at(&bob, list).await, live);
    }
    let live = told_at(&bob, "/grants").await;
    let carol = world.visit("carol").await;
    let typed = [("kind", "person"), ("name", "mallory"), ("reason", "INC-666")];
    carol.fill("/lockdowns", "/lockdowns", &typed).await.is(303);
    bob.get(&live).await.says("event: changed");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_stands_open_keeps_no_session_alive() {
    let world = World::new().await;
    let asked = world.visit("alice").await.ask(&[]).await;
    for path in ["/approvals", &*asked] {
        let bob = world.visit("bob").await;
        let live = told_at(&bob, path).await;
        for _ in 0..2 {
            world.advance(899);
            bob.get(&live).await.is(200);
            bob.looks_again(path).await.is(200);
        }
        world.advance(2);
        for gone in [
            bob.looks_again(path).await,
            bob.get(&live).await,
            bob.get(path).await,
        ] {
            assert!(gone.location().starts_with("/login"));
        }
    }
    // Whoever looks themselves is there.
    let carol = world.visit("carol").await;
    for _ in 0..2 {
        world.advance(899);
        carol.get("/approvals").await.is(200);
    }
    world.advance(2);
    carol.get("/approvals").await.is(200);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_session() {
    let world = World::new().await;
    let asked = world.visit("alice").await.ask(&[]).await;
    for path in ["/approvals", &*asked] {
        let bob = world.visit("bob").await;
        let live = told_at(&bob, path).await;
        let mut told = pin!(bob.get(&live));
        for _ in 0..50 {
            assert!((&mut told).now_or_never().is_none(), "nothing has changed");
            tokio::task::yield_now().await;
        }
        bob.post("/logout", &[("csrf", "")]).await.is(303);
        let told = tokio::time::timeout(Duration::from_secs(5), told).await;
        told.expect("at once").says("event: changed");
    }
}
