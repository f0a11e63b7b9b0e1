//! Whoever follows every link changes nothing.

use std::collections::{BTreeSet, VecDeque};

use crate::world::World;

#[tokio::test]
async fn following_every_link_changes_nothing() {
    let world = World::new().await;
    let [alice, bob, carol, erin] = world.visits(["alice", "bob", "carol", "erin"]).await;
    let open = alice.ask(&[]).await;
    bob.decide(&open, &[("decision", "approve")]).await.is(303);
    let waits = world.visit("frank").await.ask(&[]).await;
    let fields = [("reason", "all is down"), ("kind", "break_glass")];
    erin.fill("/ask?resource=admin", "/ask", &fields).await.is(303);
    let typed = [("kind", "resource"), ("name", "wiki"), ("reason", "because")];
    carol.fill("/lockdowns", "/lockdowns", &typed).await.is(303);

    let before = world.end().await;
    for browser in [&alice, &bob, &carol, &erin] {
        let mut seen = BTreeSet::new();
        let mut to_see = VecDeque::from(["/".to_owned()]);
        while let Some(path) = to_see.pop_front() {
            let path = path.split('#').next().unwrap().to_owned();
            if !seen.insert(path.clone()) {
                continue;
            }
            let answer = browser.get(&path).await;
            if answer.status.is_redirection() {
                to_see.push_back(answer.location().to_owned());
            } else {
                answer.is(200);
                if answer.is_page() {
                    to_see.extend(answer.links());
                }
            }
            assert_eq!(world.end().await, before, "GET {path} has changed something");
        }
        for path in [
            "/requests",
            "/approvals",
            "/grants",
            "/policies",
            "/ask",
            "/style.css",
        ] {
            assert!(seen.contains(path), "{path} is linked from nowhere");
        }
    }
    let carols = carol.get("/approvals").await.links();
    assert!(carols.contains(&waits));
}
