//! The audit log, what was done, and policies.

use serde_json::Value;

use crate::world::World;

#[tokio::test]
async fn an_auditor_reads_what_happened_in_sentences() {
    let world = World::new().await;
    let [alice, bob, carol] = world.visits(["alice", "bob", "carol"]).await;
    let asked = alice.ask(&[]).await;
    world.advance(60);
    bob.decide(&asked, &[("decision", "approve"), ("comment", "go on")])
        .await
        .is(303);
    world.advance(120);
    bob.fill(&asked, &format!("{asked}/revoke"), &[("reason", "enough")])
        .await
        .is(303);
    bob.fill("/ask?resource=wiki", "/ask", &[("kind", "ask")])
        .await
        .is(303);

    let id = asked.rsplit('/').next().unwrap();
    let story = carol.get(&format!("/audit/{id}")).await;
    story.is(200);
    let sentences = [
        "alice asked for admin for 30 min: “look into INC-42”",
        "bob approved that alice may use admin: “go on”",
        "Everyone who must agree that alice may use admin has agreed.",
        "alice may use admin until 09:31 UTC, on the word of bob.",
        "The grant of alice for admin became active.",
        "bob ended it: “enough”",
    ];
    let places = sentences.map(|sentence| {
        story.says(sentence);
        story.text.find(sentence).unwrap()
    });
    assert!(places.is_sorted(), "in the order in which it happened");
    story.lacks("wiki");

    let log = carol.get("/audit").await;
    log.says("bob asked for wiki for 10 min");
    log.says("A policy was put in force");
    let places = sentences.map(|sentence| log.text.find(sentence).unwrap());
    assert!(places.iter().rev().is_sorted(), "newest first");
    for (search, has, lacks) in [
        ("person=alice", "alice asked for admin", "bob asked for wiki"),
        ("resource=wiki", "bob asked for wiki", "alice asked for admin"),
        ("type=reviewed", "bob approved that alice", "bob asked for wiki"),
    ] {
        let found = carol.get(&format!("/audit?{search}")).await;
        found.says(has);
        found.lacks(lacks);
    }
    carol.get("/audit?person=nobody").await.says("Nothing here fits.");
    let second = carol.get("/audit?before=2").await;
    second.says("Records 1 to 1");
}

#[tokio::test]
async fn what_was_done_is_part_of_the_story() {
    let world = World::new().await;
    let [alice, bob, carol] = world.visits(["alice", "bob", "carol"]).await;
    let asked = alice.ask(&[]).await;
    bob.decide(&asked, &[("decision", "approve")]).await.is(303);
    world.use_grant("alice", "/admin/users?secret=1").await;
    world.use_grant("alice", "/admin/%3Cb%3E").await;
    let id = asked.rsplit('/').next().unwrap();
    for (browser, path) in [
        (&alice, format!("{asked}/done")),
        (&bob, format!("{asked}/done")),
        (&carol, format!("/audit/{id}")),
    ] {
        let page = browser.get(&path).await;
        page.is(200);
        page.says("<code>GET /admin/users</code>");
        page.says("<code>GET /admin/&#60;b&#62;</code>");
        page.says("<td data-label=\"Status\">200</td>");
        page.says("completed");
        page.lacks("secret");
    }
    carol
        .get("/audit")
        .await
        .says("alice used admin. HTTP requests: 1.");
    assert!(
        bob.get("/grants")
            .await
            .links()
            .contains(&format!("{asked}/done"))
    );
}

#[tokio::test]
async fn the_download_is_the_chain() {
    let world = World::new().await;
    let [alice, carol] = world.visits(["alice", "carol"]).await;
    for _ in 0..3 {
        let asked = alice.ask(&[]).await;
        alice
            .fill(&asked, &format!("{asked}/withdraw"), &[])
            .await
            .is(303);
        world.advance(120);
    }
    let end = world.end().await;
    let all = carol.get("/audit.ndjson").await;
    all.is(200);
    assert_eq!(all.headers["content-type"], "application/x-ndjson");
    let records: Vec<Value> = all
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len() as u64, end.position);
    for pair in records.windows(2) {
        assert_eq!(pair[0]["hash"], pair[1]["previous"]);
    }
    assert_eq!(records.last().unwrap()["hash"], end.hash.to_string());
    let rest = carol
        .get(&format!("/audit.ndjson?after={}", end.position - 1))
        .await;
    assert_eq!(rest.text.lines().count(), 1);
    let none = carol.get(&format!("/audit.ndjson?after={}", end.position)).await;
    assert_eq!((none.status.as_u16(), &*none.text), (200, ""));
}

#[tokio::test]
async fn a_long_log_is_read_page_by_page() {
    let world = World::new().await;
    let alice = world.visit("alice").await;
    let mut last = String::new();
    for _ in 0..60 {
        last = alice.ask(&[]).await;
        alice.fill(&last, &format!("{last}/withdraw"), &[]).await.is(303);
        world.advance(120);
    }
    let carol = world.visit("carol").await;
    let end = world.end().await.position;
    let mut path = "/audit".to_owned();
    let mut seen = 0;
    let mut pages = 0;
    loop {
        let page = carol.get(&path).await;
        seen += page.text.matches(" · no. ").count();
        pages += 1;
        match page
            .links()
            .into_iter()
            .find(|link| link.starts_with("/audit?before="))
        {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen as u64, end, "every record once");
    assert!(pages > 1);
    let id = last.rsplit('/').next().unwrap();
    let story = carol.get(&format!("/audit/{id}")).await;
    assert_eq!(story.text.matches(" · no. ").count(), 2);
    let mine = alice.get("/requests").await;
    assert!(
        mine.links()
            .iter()
            .any(|link| link.starts_with("/requests?before="))
    );
}

#[tokio::test]
async fn policies_say_who_can_get_what() {
    let world = World::new().await;
    let page = world.visit("erin").await.get("/policies").await;
    for said in [
        "role sre",
        "30 min, at most 4 h; with extensions 8 h",
        "lead: 1 approval, by role sre-lead",
        "Nobody has to agree",
        "Break-glass",
        "role incident-commander",
        "/ask?resource=wiki&#38;policy=wiki-for-all",
    ] {
        page.says(said);
    }
    page.lacks("For others");
    // Whoever decides sees what comes to them, and has nothing to ask for there.
    let page = world.visit("bob").await.get("/policies").await;
    let (own, others) = page.text.split_once("For others").unwrap();
    assert!(own.contains("wiki-for-all") && !own.contains("admin-for-sre"));
    assert!(others.contains("admin-for-sre") && !others.contains("/ask?"));
    // Whoever reads the log sees all.
    let page = world.visit("carol").await.get("/policies").await;
    page.says("For others");
    page.says("admin-for-sre");
}
