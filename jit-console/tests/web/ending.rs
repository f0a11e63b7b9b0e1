//! Taking back, giving back, taking away, looking into broken glass, and locking down.

use crate::world::World;

#[tokio::test]
async fn a_requester_takes_back_and_gives_back() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let asked = alice.ask(&[]).await;
    bob.get(&asked).await.lacks("/withdraw\"");
    alice
        .fill(&asked, &format!("{asked}/withdraw"), &[])
        .await
        .leads_to(&asked);
    alice.get(&asked).await.says("alice took it back.");

    let asked = alice.ask(&[]).await;
    bob.decide(&asked, &[("decision", "approve")]).await.is(303);
    alice
        .fill(&asked, &format!("{asked}/release"), &[])
        .await
        .leads_to(&asked);
    alice.get(&asked).await.says("alice gave it back.");
}

#[tokio::test]
async fn a_reviewer_takes_away_and_says_why() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let asked = alice.ask(&[]).await;
    bob.decide(&asked, &[("decision", "approve")]).await.is(303);
    let grants = bob.get("/grants").await;
    assert!(grants.links().contains(&asked));
    grants.says(">30 min left</time>");
    grants.says(">09:30 UTC</time>");
    grants.says("http-equiv=\"refresh\" content=\"5\"");
    alice.get(&asked).await.lacks("/revoke\"");

    let before = world.end().await;
    let revoke = format!("{asked}/revoke");
    let silent = bob.fill(&asked, &revoke, &[("reason", " ")]).await;
    silent.is(400);
    silent.says("id=\"revoke-reason-error\"");
    assert_eq!(world.end().await, before);
    bob.fill(&asked, &revoke, &[("reason", "no longer needed")])
        .await
        .leads_to(&asked);
    let page = alice.get(&asked).await;
    page.says("bob ended it.");
    page.says("no longer needed");
    bob.get("/grants").await.says("Nothing is open");
}

#[tokio::test]
async fn broken_glass_is_looked_into_by_someone_else() {
    let world = World::new().await;
    let [erin, bob] = world.visits(["erin", "bob"]).await;
    let fields = [("reason", "all is down"), ("kind", "break_glass")];
    let broken = erin.fill("/ask?resource=admin", "/ask", &fields).await;
    broken.is(303);
    let page = broken.location().to_owned();
    erin.get(&page).await.lacks("name=\"finding\"");
    let typed = [("finding", "justified"), ("comment", "it was down")];
    bob.fill(&page, &format!("{page}/after-review"), &typed)
        .await
        .leads_to(&page);
    erin.get(&page)
        .await
        .says("bob looked into it and found it called for. “it was down”");
    bob.get(&page).await.lacks("name=\"finding\"");
}

#[tokio::test]
async fn those_who_may_lock_down_and_lift() {
    let world = World::new().await;
    let [alice, bob, carol] = world.visits(["alice", "bob", "carol"]).await;
    let asked = alice.ask(&[]).await;
    bob.decide(&asked, &[("decision", "approve")]).await.is(303);
    bob.get("/lockdowns").await.is(403);

    let before = world.end().await;
    for (kind, name, reason, at) in [
        ("person", "", "stolen laptop", "name"),
        ("all", "alice", "stolen laptop", "name"),
        ("person", "alice", "", "reason"),
    ] {
        let typed = [("kind", kind), ("name", name), ("reason", reason)];
        let refused = carol.fill("/lockdowns", "/lockdowns", &typed).await;
        refused.is(400);
        refused.says(&format!("id=\"{at}-error\""));
    }
    assert_eq!(world.end().await, before);
    let typed = [("kind", "person"), ("name", "alice"), ("reason", "stolen laptop")];
    carol
        .fill("/lockdowns", "/lockdowns", &typed)
        .await
        .leads_to("/lockdowns");
    let page = carol.get("/lockdowns").await;
    page.says("alice, under every identity");
    page.says("stolen laptop");
    page.lacks("Is that what was meant?");
    alice.get(&asked).await.says("A lockdown ended it.");
    let locked = alice
        .fill(
            "/ask?resource=admin",
            "/ask",
            &[("reason", "look into INC-42"), ("kind", "ask")],
        )
        .await;
    locked.is(403);
    locked.says("stolen laptop");

    let lift = page
        .text
        .split("action=\"")
        .find(|rest| rest.starts_with("/lockdowns/lck_"));
    let lift = lift.or(page.text.split("action=\"").find(|rest| rest.contains("/lift\"")));
    let lift = lift.unwrap().split('"').next().unwrap().to_owned();
    carol
        .fill("/lockdowns", &lift, &[("reason", "found it")])
        .await
        .leads_to("/lockdowns");
    carol.get("/lockdowns").await.says("None is in force.");
    let typed = [
        ("kind", "resource"),
        ("name", "admn"),
        ("reason", "stolen laptop"),
    ];
    carol.fill("/lockdowns", "/lockdowns", &typed).await.is(303);
    carol.get("/lockdowns").await.says("Is that what was meant?");
}
