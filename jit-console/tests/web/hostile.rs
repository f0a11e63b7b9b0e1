//! Text that wants to be more than text stays text, on every page.

use crate::world::World;

const HOSTILE: &str = "look <script>alert(1)</script> \" onmouseover=\"x' style='y \u{1b}[31m\u{202e}txt\u{200b} &lt;b&gt;\r\nSet-Cookie: a=b";

#[tokio::test]
async fn what_people_type_is_inert_everywhere() {
    let world = World::new().await;
    let (alice, bob, carol) = (
        world.visit("alice").await,
        world.visit("bob").await,
        world.visit("carol").await,
    );
    let asked = alice.ask(&[("reason", HOSTILE)]).await;
    let id = asked.rsplit('/').next().unwrap().to_owned();
    let escaped = "&#60;script&#62;alert(1)&#60;/script&#62;";
    // Every answer is looked at by the browser of the tests: no such tag, no such attribute, no such character.
    bob.get("/approvals").await.says(escaped);
    bob.get(&asked).await.says(escaped);
    bob.decide(&asked, &[("decision", "approve"), ("comment", HOSTILE)])
        .await
        .is(303);
    for browser in [&alice, &bob, &carol] {
        browser.get(&asked).await.says(escaped);
    }
    bob.fill(&asked, &format!("{asked}/revoke"), &[("reason", HOSTILE)])
        .await
        .is(303);
    alice.get("/requests").await.says(escaped);
    carol.get("/audit").await.says(escaped);
    carol.get(&format!("/audit/{id}")).await.says(escaped);
    let typed = [("kind", "resource"), ("name", "wiki"), ("reason", HOSTILE)];
    carol.fill("/lockdowns", "/lockdowns", &typed).await.is(303);
    carol.get("/lockdowns").await.says(escaped);
    carol.get("/grants").await.is(200);

    // What comes back with a refusal, too.
    let refused = alice
        .fill(
            "/ask?resource=admin",
            "/ask",
            &[("reason", "look"), ("ticket", "\"><script>"), ("kind", "ask")],
        )
        .await;
    refused.is(400);
    let typed = [
        ("reason", "look into it"),
        ("duration", "\"><script>"),
        ("kind", "ask"),
    ];
    alice
        .fill("/ask?resource=admin", "/ask", &typed)
        .await
        .says("&#34;&#62;&#60;script&#62;");
    for path in [
        "/ask?resource=%22%3E%3Cscript%3E",
        "/audit?person=%22%3E%3Cscript%3E&resource=%1b%5b&type=%E2%80%AE",
        "/login?to=%22%3E%3Cscript%3E",
        "/requests?%3Cscript%3E=1",
        "/%22%3E%3Cscript%3E",
        "/go/%22%3E%3Cscript%3E",
    ] {
        let answer = carol.get(path).await;
        answer.lacks("<script");
        assert!(!answer.status.is_server_error(), "{path}: {answer:?}");
    }
}
