//! Pages that wait are told when what they show has changed.

use std::pin::pin;

use futures_util::FutureExt as _;

use crate::world::World;

/// The address by which the page at `path` finds out.
async fn told_at(browser: &crate::world::Browser<'_>, path: &str) -> String {
    let page = browser.get(path).await;
    let (_, rest) = page
        .text
        .split_once("data-live=\"")
        .unwrap_or_else(|| panic!("{}", page.text));
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_decided_is_looked_at_again() {
    let world = World::new().await;
    let (alice, bob) = (world.visit("alice").await, world.visit("bob").await);
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
    let (alice, bob) = (world.visit("alice").await, world.visit("bob").await);
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
