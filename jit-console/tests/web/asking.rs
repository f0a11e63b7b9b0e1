//! Asking, from the refused page to the way back.

use crate::world::World;

#[tokio::test]
async fn a_refused_visitor_asks_waits_and_is_taken_back() {
    let world = World::new().await;
    let slip = world.refused("/admin/users?page=2");
    let alice = world.visit("alice").await;
    alice
        .get(&format!("/go/{slip}"))
        .await
        .leads_to(&format!("/ask?back={slip}"));

    let page = alice.get(&format!("/ask?back={slip}")).await;
    page.is(200);
    page.says("http://app.example.com/admin/users?page=2");
    page.says("role sre-lead");
    page.says("value=\"30m\"");
    let fields = [
        ("reason", "look into INC-42"),
        ("duration", "20m"),
        ("kind", "ask"),
    ];
    let asked = alice.fill(&format!("/ask?back={slip}"), "/ask", &fields).await;
    asked.is(303);
    let at = asked.location().to_owned();
    assert!(at.ends_with(&format!("?back={slip}")), "{at}");

    let waiting = alice.get(&at).await;
    waiting.says("It waits for role sre-lead; 0 of 1 so far.");
    waiting.says("http-equiv=\"refresh\" content=\"3\"");
    waiting.lacks("0;url=");
    let path = at.split('?').next().unwrap();

    let bob = world.visit("bob").await;
    bob.get("/").await.leads_to("/approvals");
    let queue = bob.get("/approvals").await;
    queue.says("look into INC-42");
    assert!(queue.links().contains(&path.to_owned()));
    let id = path.rsplit('/').next().unwrap();
    bob.decide(path, &[("decision", "approve"), ("comment", "go on")])
        .await
        .leads_to(&format!("/approvals?done={id}"));
    bob.get(&format!("/approvals?done={id}"))
        .await
        .says("Your decision on admin is written down.");
    bob.get("/").await.leads_to("/requests");

    let open = alice.get(&at).await;
    open.says("It is open, and ends at 09:20 UTC.");
    open.says(&format!("content=\"0;url=/back/{slip}\""));
    open.says("go on");
    let way = alice.get(&format!("/back/{slip}")).await;
    way.says("0;url=http://app.example.com/_jit/enter?code=");
    // Without the slip, and for everyone else, the page stays.
    alice.get(path).await.lacks("0;url=");
    bob.get(&at).await.lacks("0;url=");
    let bobs = world.refused("/admin");
    bob.get(&format!("/go/{bobs}")).await.is(303);
    bob.get(&format!("{path}?back={bobs}")).await.lacks("0;url=");

    world.advance(20 * 60);
    let over = alice.get(&at).await;
    over.says("Its time is over.");
    over.lacks("0;url=");
}

#[tokio::test]
async fn what_was_typed_is_kept_and_what_is_wrong_is_said_at_its_field() {
    let world = World::new().await;
    let alice = world.visit("alice").await;
    let before = world.end().await;
    for (field, value, said) in [
        (
            "reason",
            "abc",
            "id=\"reason-error\">This needs at least 5 characters, and has 3.",
        ),
        (
            "duration",
            "5h",
            "id=\"duration-error\">This is 5h; this policy allows at most 4h.",
        ),
        ("duration", "soon", "id=\"duration-error\">This must read like"),
        ("ticket", "CHG-1", "id=\"ticket-error\">This does not match"),
        ("start", "2026-02-01T09:00", "id=\"start-error\">"),
        ("methods", "GET /", "id=\"methods-error\">"),
        ("paths", "/wiki", "id=\"paths-error\">"),
        (
            "max_requests",
            "many",
            "id=\"max_requests-error\">This must be a whole number",
        ),
    ] {
        let fields = [
            ("kind", "ask"),
            ("ticket", "INC-7"),
            ("reason", "look into INC-42"),
            ("duration", "20m"),
        ];
        let mut fields: Vec<_> = fields.into_iter().filter(|(name, _)| *name != field).collect();
        fields.push((field, value));
        let again = alice.fill("/ask?resource=admin", "/ask", &fields).await;
        again.is(400);
        again.says(said);
        for (name, typed) in &fields {
            assert!(
                *name == "kind" || again.text.contains(typed),
                "{field}: {name} is lost"
            );
        }
    }
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn the_same_form_twice_asks_once_and_a_second_asking_shows_the_first() {
    let world = World::new().await;
    let alice = world.visit("alice").await;
    let hidden = alice.form("/ask?resource=admin", "/ask").await;
    let mut fields: Vec<_> = hidden.iter().map(|(name, value)| (&**name, &**value)).collect();
    fields.extend([("reason", "look into INC-42"), ("kind", "ask")]);
    let first = alice.post("/ask", &fields).await;
    first.is(303);
    let before = world.end().await;
    alice.post("/ask", &fields).await.leads_to(first.location());
    assert_eq!(world.end().await, before);

    let second = alice
        .fill(
            "/ask?resource=admin",
            "/ask",
            &[("reason", "look into INC-43"), ("kind", "ask")],
        )
        .await;
    second.is(429);
    assert!(second.links().contains(&first.location().to_owned()));
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn everyone_is_offered_what_they_may_ask_for_and_nothing_else() {
    let world = World::new().await;
    let bob = world.visit("bob").await;
    let page = bob.get("/ask").await;
    page.says("wiki");
    page.lacks("admin");
    bob.get("/ask?resource=admin")
        .await
        .says("You can't ask for <strong>admin</strong>");
    bob.get("/ask?resource=nothing")
        .await
        .says("You can't ask for <strong>nothing</strong>");
    world
        .visit("mallory")
        .await
        .get("/ask")
        .await
        .says("No policy lets you ask");

    // What needs nobody's approval is open at once.
    let asked = bob.fill("/ask?resource=wiki", "/ask", &[("kind", "ask")]).await;
    asked.is(303);
    let page = bob.get(asked.location()).await;
    page.says("It is open");
    page.says("Nobody had to agree");

    // Breaking the glass is for those who may.
    world
        .visit("alice")
        .await
        .get("/ask?resource=admin")
        .await
        .lacks("Break the glass");
    let erin = world.visit("erin").await;
    erin.get("/ask?resource=admin").await.says("Break the glass");
    let broken = erin
        .fill(
            "/ask?resource=admin",
            "/ask",
            &[("reason", "all is down"), ("kind", "break_glass")],
        )
        .await;
    broken.is(303);
    let page = erin.get(broken.location()).await;
    page.says("It is open, and ends at");
    page.says("The glass was broken.");
}
