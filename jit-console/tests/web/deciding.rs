//! Deciding: on everything there is to know, on what was seen, and by those who may.

use jit_core::approval::state::State;

use crate::world::World;

async fn state(world: &World, path: &str) -> State {
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    let subject = jit_core::gate::authenticate::Subject {
        principal: "demo|carol".parse().unwrap(),
        assurance: jit_core::approval::ask::Assurance::default(),
        claims: std::collections::BTreeMap::new(),
        expires_at: None,
    };
    let carol = world.broker.identify(&subject).await.unwrap();
    world.broker.view(&carol, id).await.unwrap().request.state
}

#[tokio::test]
async fn one_page_holds_all_that_is_needed_to_decide() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let earlier = alice.ask(&[("reason", "the first time")]).await;
    bob.decide(&earlier, &[("decision", "approve")]).await.is(303);
    alice
        .fill(&earlier, &format!("{earlier}/release"), &[])
        .await
        .leads_to(&earlier);
    let frank = world.visit("frank").await;
    let other = frank.ask(&[("reason", "franks turn")]).await;
    bob.decide(&other, &[("decision", "approve")]).await.is(303);

    let asked = alice
        .ask(&[
            ("ticket", "INC-7"),
            ("methods", "get head"),
            ("duration", "1h 30m"),
        ])
        .await;
    let page = bob.get(&asked).await;
    for said in [
        "alice",
        "demo|alice",
        "<dd>sre</dd>",
        "app.example.com",
        "/admin",
        "GET, HEAD",
        "1 h 30 min",
        "from the moment that it is approved",
        "at the latest it ends",
        "look into INC-42",
        "INC-7",
        "0 of 1",
        "role sre-lead",
        "the first time",
        "Given back",
    ] {
        page.says(said);
    }
    let links = page.links();
    assert!(links.contains(&earlier) && links.contains(&other), "{links:?}");
    page.says("name=\"decision\" value=\"approve\"");
    page.says("name=\"decision\" value=\"deny\"");
    page.lacks("http-equiv=\"refresh\"");
}

#[tokio::test]
async fn a_reviewer_approves_less() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let asked = alice.ask(&[]).await;
    let before = world.end().await;
    for (field, value) in [("duration", "31m"), ("paths", "/wiki"), ("max_requests", "0")] {
        let refused = bob
            .decide(
                &asked,
                &[
                    ("decision", "approve"),
                    ("comment", "less will do"),
                    (field, value),
                ],
            )
            .await;
        refused.is(400);
        refused.says(&format!("id=\"{field}-error\""));
        refused.says("less will do");
        refused.says(value);
        assert_eq!(world.end().await, before, "{field}");
    }
    let less = [
        ("decision", "approve"),
        ("duration", "10m"),
        ("methods", "GET"),
        ("paths", "/admin/users\r\n/admin/jobs"),
        ("max_requests", "5"),
    ];
    bob.decide(&asked, &less).await.is(303);
    let page = alice.get(&asked).await;
    page.says("It is open, and ends at 09:10 UTC.");
    page.says("/admin/jobs");
    page.says("at most 5 HTTP requests");
    page.says("<dd>GET</dd>");
}

#[tokio::test]
async fn one_no_ends_it() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let asked = alice.ask(&[]).await;
    bob.decide(&asked, &[("decision", "deny"), ("comment", "not today")])
        .await
        .is(303);
    let page = alice.get(&asked).await;
    page.says("bob said no.");
    page.says("not today");
    // Late words change nothing.
    let carol = world.visit("carol").await;
    let before = world.end().await;
    carol.get(&asked).await.lacks("name=\"decision\"");
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn a_review_of_something_else_decides_nothing() {
    let world = World::new().await;
    let [alice, bob] = world.visits(["alice", "bob"]).await;
    let (erin, asked) = (world.visit("erin").await, alice.ask(&[]).await);
    let other = erin.ask(&[]).await;
    let before = world.end().await;
    // A form that was made for another request: its token fits its digest, and the digest is stale here.
    let foreign = bob.form(&other, &format!("{other}/review")).await;
    let mut fields: Vec<_> = foreign.iter().map(|(name, value)| (&**name, &**value)).collect();
    fields.extend([("decision", "approve"), ("comment", "what I typed")]);
    let stale = bob.post(&format!("{asked}/review"), &fields).await;
    stale.is(409);
    stale.says("This request has changed since you saw it.");
    stale.says("what I typed");
    // That something else is wrong with it hides nothing: what was typed was meant for what is no longer shown.
    fields.push(("duration", "soon"));
    let both = bob.post(&format!("{asked}/review"), &fields).await;
    both.is(400);
    both.says("This request has changed since you saw it.");
    both.lacks("value=\"soon\"");
    assert_eq!(world.end().await, before);
    // What is shown now can be decided on.
    let fresh = stale.form(&format!("{asked}/review")).unwrap();
    let mut fields: Vec<_> = fresh.iter().map(|(name, value)| (&**name, &**value)).collect();
    fields.push(("decision", "approve"));
    bob.post(&format!("{asked}/review"), &fields).await.is(303);
    assert_eq!(state(&world, &asked).await, State::Active);
}

#[tokio::test]
async fn the_queue_is_of_what_the_visitor_may_decide() {
    let world = World::new().await;
    let [alice, frank, bob] = world.visits(["alice", "frank", "bob"]).await;
    let (of_alice, of_frank) = (alice.ask(&[]).await, frank.ask(&[]).await);
    for (browser, sees) in [
        (&bob, [&of_alice, &of_frank].as_slice()),
        (&frank, &[&of_alice]),
        (&alice, &[]),
    ] {
        let links = browser.get("/approvals").await.links();
        for request in [&of_alice, &of_frank] {
            assert_eq!(
                links.contains(request),
                sees.contains(&request),
                "{request}: {links:?}"
            );
        }
    }
    // Nobody decides on their own, whatever they lead.
    frank.get(&of_frank).await.lacks("name=\"decision\"");
    let own = frank.get("/requests").await.links();
    assert!(own.contains(&of_frank) && !own.contains(&of_alice));
}

#[tokio::test]
async fn nobody_is_told_of_a_decision_that_they_did_not_make() {
    let world = World::new().await;
    let [alice, bob, carol] = world.visits(["alice", "bob", "carol"]).await;
    let frank = world.visit("frank").await;
    for (browser, decision) in [(&alice, "deny"), (&frank, "approve")] {
        let asked = browser.ask(&[]).await;
        let told = format!("/approvals?done={}", asked.rsplit('/').next().unwrap());
        bob.get(&told).await.lacks("is written down");
        bob.decide(&asked, &[("decision", decision)])
            .await
            .leads_to(&told);
        bob.get(&told).await.says("is written down");
        carol.get(&told).await.lacks("is written down");
    }
}
