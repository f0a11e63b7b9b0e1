//! Text that wants to be more than text stays text, on every page.

use axum::body::Body;
use http::Request;
use jit_console::web::{Console, ConsoleSettings};
use tower::ServiceExt;

use crate::world::World;

const HOSTILE: &str = "look <script>alert(1)</script> \" onmouseover=\"x' style='y \u{1b}[31m\u{202e}txt\u{200b} &lt;b&gt;\r\nSet-Cookie: a=b";

#[tokio::test]
async fn what_people_type_is_inert_everywhere() {
    let world = World::new().await;
    let [alice, bob, carol] = world.visits(["alice", "bob", "carol"]).await;
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

#[tokio::test]
async fn browsers_are_told_to_come_by_https_where_they_did() {
    let world = World::new().await;
    let (https, http) = ("https://access.example.com", "http://access.example.com");
    for (origin, on, host, told) in [
        (https, true, "access.example.com", true),
        (https, true, "access.example.com:443", true),
        (https, true, "app.example.com", false),
        (https, false, "access.example.com", false),
        (http, true, "access.example.com", false),
    ] {
        let settings = ConsoleSettings::new(origin).unwrap().with_strict_transport(on);
        let console = Console::new(world.broker.clone(), settings.with_guarded(https).unwrap());
        let asked = async |router: axum::Router, path: &str, site: &str| {
            let request = Request::builder().uri(path).header("host", host);
            let request = request
                .header("sec-fetch-site", site)
                .header("sec-fetch-mode", "cors");
            let answer = router
                .oneshot(request.body(Body::empty()).unwrap())
                .await
                .unwrap();
            let field = answer.headers().get("strict-transport-security");
            field.map(|field| field.to_str().unwrap().to_owned())
        };
        let told = told.then(|| "max-age=31536000".to_owned());
        for (path, site) in [
            ("/login", "none"),
            ("/", "none"),
            ("/style.css", "none"),
            ("/nothing", "none"),
            ("/", "cross-site"),
        ] {
            let said = asked(console.router(), path, site).await;
            assert_eq!(said, told, "{origin} {on} {host} {path}");
        }
        // Guarded origins decide for themselves.
        assert_eq!(
            asked(console.entrance(), "/_jit/enter?code=x", "none").await,
            None
        );
    }
}
