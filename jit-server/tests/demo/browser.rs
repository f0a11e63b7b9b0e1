//! A person with a browser: sent to the console, signed in there, and sent back.

use crate::client::{Answer, Browser, Running, get, send, start};

const PAGE: &str = "/admin/users?page=2";

/// Where the page that comes after the sign-in leads.
fn way_in(demo: &Running, page: &Answer) -> String {
    assert_eq!(page.status, 200, "{page:?}");
    let start = format!("{}/_jit/enter?code=", demo.guarded);
    let at = page
        .text
        .find(&start)
        .unwrap_or_else(|| panic!("no way in: {page:?}"));
    let way = &page.text[at..];
    way[..way.find('"').unwrap()].to_owned()
}

/// Up to the page at the console that leads back, signed in as the person of this number.
async fn signed_in(demo: &Running, browser: &mut Browser, person: usize) -> String {
    let refused = browser.get(&format!("{}{PAGE}", demo.guarded)).await;
    let go = refused.location().to_owned();
    let login = browser.get(&go).await;
    let login = login.location().to_owned();
    let (_, to) = login
        .split_once("/login?to=")
        .unwrap_or_else(|| panic!("{login}"));
    assert_eq!(browser.get(&format!("{}{login}", demo.console)).await.status, 200);
    let form = format!("person={person}&to={to}");
    let answer = browser.submit(&demo.console, "/login", &form).await;
    let page = browser.follow(&demo.console, answer).await;
    way_in(demo, &page)
}

#[tokio::test]
async fn a_refused_browser_goes_to_the_console_and_a_program_does_not() {
    let demo = start().await;
    let page = format!("{}{PAGE}", demo.guarded);
    let mut browser = Browser::default();
    let refused = browser.get(&page).await;
    let go = format!("{}/go/", demo.console);
    assert!(refused.location().starts_with(&go), "{refused:?}");
    assert_eq!(
        (refused.header("cache-control"), refused.header("vary")),
        ("no-store", "accept")
    );
    let enter = browser.cookies["__Host-jit-enter"].clone();
    let again = browser.get(&page).await;
    assert_eq!(again.status, 303);
    let words = browser.cookies["__Host-jit-enter"].clone();
    let (fresh, earlier) = words.split_once('.').unwrap();
    assert_eq!(
        earlier, enter,
        "a window that was sent away before comes back as well"
    );
    assert_ne!(
        fresh, enter,
        "nobody can bind a code to what the application may have read"
    );
    for _ in 0..20 {
        browser.get(&page).await;
    }
    assert_eq!(browser.cookies["__Host-jit-enter"].split('.').count(), 8);

    let (html, json) = ("text/html; charset=utf-8", "application/problem+json");
    for (method, path, fields, status, kind) in [
        ("GET", PAGE, &[][..], 401, json),
        ("GET", PAGE, &[("accept", "*/*")], 401, json),
        // A form, and what a page loads by itself.
        ("POST", PAGE, &[("accept", "text/html")], 401, html),
        (
            "GET",
            PAGE,
            &[
                ("accept", "text/html"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
            ],
            401,
            html,
        ),
        // Nobody can do anything about these.
        (
            "GET",
            "/admin/%2e%2e/admin",
            &[("accept", "text/html")],
            400,
            html,
        ),
        (
            "GET",
            "/",
            &[("accept", "text/html"), ("host", "elsewhere.example")],
            421,
            html,
        ),
    ] {
        let answer = send(method, &format!("{}{path}", demo.guarded), fields, "").await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, kind),
            "{method} {path} {fields:?}"
        );
    }
    demo.end().await;
}

#[tokio::test]
async fn a_person_signs_in_at_the_console_and_comes_back_to_the_page_they_wanted() {
    let demo = start().await;
    let page = format!("{}{PAGE}", demo.guarded);
    let mut alice = Browser::default();
    let way_in = signed_in(&demo, &mut alice, 0).await;
    assert_eq!(alice.cookies.get("__Host-jit"), None, "not before she is back");
    let back = alice.get(&way_in).await;
    assert_eq!(back.location(), page);
    assert_eq!(alice.cookies["__Host-jit"].len(), 43);

    // Whoever is signed in is told so on an open page.
    let home = alice.get(&format!("{}/", demo.guarded)).await;
    assert!(home.text.contains("You are demo|alice."), "{home:?}");
    // Now she may ask.
    let refused = alice.get(&page).await;
    let go = refused.location().to_owned();
    let ask = alice.get(&go).await;
    assert!(ask.location().starts_with("/ask?back="), "{ask:?}");
    let asked = demo.ask().await;
    let refused = alice.get(&page).await;
    let go = refused.location().to_owned();
    let waits = alice.get(&go).await;
    let request = format!("/requests/{}?back=", asked["id"].as_str().unwrap());
    assert!(waits.location().starts_with(&request), "{waits:?}");
    demo.approve(&asked).await;
    let admitted = alice.get(&page).await;
    assert!(
        admitted.status == 200 && admitted.text.contains("Users, page 2 of 3"),
        "{admitted:?}"
    );

    // The application is told who she is, and gets none of her sessions.
    alice.cookies.insert("theme".to_owned(), "dark".to_owned());
    let seen = alice.get(&format!("{}/admin/request", demo.guarded)).await;
    assert!(alice.cookies.contains_key("__Host-jit-console"));
    assert!(seen.text.contains("\nremote-user: demo|alice\n"), "{seen:?}");
    let sessions = ["__Host-jit", "__Host-jit-console"].map(|name| &alice.cookies[name]);
    for secret in sessions {
        assert!(!seen.text.contains(secret.as_str()), "{seen:?}");
    }
    assert!(seen.text.contains("theme=dark"), "{seen:?}");
    demo.end().await;
}

/// What the page's form for `action` carries besides what a person fills in.
fn carried(page: &Answer, action: &str) -> String {
    assert_eq!(page.status, 200, "{page:?}");
    let start = format!("<form method=\"post\" action=\"{action}\"");
    let at = page
        .text
        .find(&start)
        .unwrap_or_else(|| panic!("no form for {action}: {page:?}"));
    let form = page.text[at..].split("</form>").next().unwrap();
    let hidden = form.split("<input type=\"hidden\" name=\"").skip(1).map(|input| {
        let (name, rest) = input.split_once("\" value=\"").unwrap();
        format!("{name}={}", rest.split('"').next().unwrap())
    });
    hidden.collect::<Vec<_>>().join("&")
}

#[tokio::test]
async fn all_of_it_in_browsers() {
    let demo = start().await;
    let page = format!("{}{PAGE}", demo.guarded);
    let mut alice = Browser::default();
    let way_in = signed_in(&demo, &mut alice, 0).await;
    assert_eq!(alice.get(&way_in).await.location(), page);
    let go = alice.get(&page).await.location().to_owned();
    let refused = alice.get(&go).await;
    let ask = alice.follow(&demo.console, refused).await;
    let form = format!("{}&reason=INC-42&duration=5m&kind=ask", carried(&ask, "/ask"));
    let asked = alice.submit(&demo.console, "/ask", &form).await;
    let waits_at = asked.location().to_owned();
    let request = waits_at.split('?').next().unwrap();
    assert_eq!(
        alice.get(&format!("{}{waits_at}", demo.console)).await.status,
        200
    );

    let mut bob = Browser::default();
    let home = bob.submit(&demo.console, "/login", "person=1&to=").await;
    assert_eq!(bob.follow(&demo.console, home).await.status, 200);
    let sheet = bob.get(&format!("{}{request}", demo.console)).await;
    let review = format!("{request}/review");
    let form = format!("{}&comment=go&decision=approve", carried(&sheet, &review));
    let reviewed = bob.submit(&demo.console, &review, &form).await;
    assert_eq!(bob.follow(&demo.console, reviewed).await.status, 200);

    let active = alice.get(&format!("{}{waits_at}", demo.console)).await;
    let at = active
        .text
        .find("/back/")
        .unwrap_or_else(|| panic!("no way back: {active:?}"));
    let back = active.text[at..].split('"').next().unwrap();
    let onwards = alice.get(&format!("{}{back}", demo.console)).await;
    let way_in = self::way_in(&demo, &onwards);
    assert_eq!(alice.get(&way_in).await.location(), page);
    let admitted = alice.get(&page).await;
    assert!(
        admitted.status == 200 && admitted.text.contains("Users, page 2 of 3"),
        "{admitted:?}"
    );
    demo.end().await;
}

#[tokio::test]
async fn a_code_is_good_once_and_in_the_browser_that_was_sent_away_alone() {
    let demo = start().await;
    let page = format!("{}{PAGE}", demo.guarded);
    let mut alice = Browser::default();
    let way_in = signed_in(&demo, &mut alice, 0).await;
    assert_eq!(alice.get(&way_in).await.status, 303);
    let session = alice.cookies["__Host-jit"].clone();
    assert_eq!(alice.get(&way_in).await.status, 400, "it was used");
    assert_eq!(alice.cookies["__Host-jit"], session);

    // A code of Bob's in a link that somebody else follows, with no cookie and with one of their own.
    for sent_away_before in [false, true] {
        let mut bob = Browser::default();
        let link = signed_in(&demo, &mut bob, 1).await;
        let mut other = Browser::default();
        if sent_away_before {
            assert_eq!(other.get(&page).await.status, 303);
        }
        let refused = other.get(&link).await;
        assert_eq!(refused.status, 400, "{sent_away_before}");
        assert_eq!(other.cookies.get("__Host-jit"), None, "{sent_away_before}");
        let home = other.get(&format!("{}/", demo.guarded)).await;
        assert!(home.text.contains("Nobody is signed in."), "{home:?}");
        assert_eq!(bob.get(&link).await.status, 400, "and it is spent");
    }
    for link in [
        "/_jit/enter",
        "/_jit/enter?code=",
        "/_jit/enter?code=x&to=http://evil.example",
    ] {
        assert_eq!(
            alice.get(&format!("{}{link}", demo.guarded)).await.status,
            400,
            "{link}"
        );
    }
    demo.end().await;
}

#[tokio::test]
async fn a_sign_in_stays_at_the_origin_that_it_was_carried_to() {
    let demo = start().await;
    // Whoever listens on another port of the host would be handed a code.
    for (host, status) in [
        (demo.guarded.trim_start_matches("http://"), 303),
        ("127.0.0.1:6666", 401),
        ("127.0.0.1", 401),
        ("localhost:6666", 401),
    ] {
        let fields = [("host", host), ("accept", "text/html")];
        let refused = send("GET", &format!("{}{PAGE}", demo.guarded), &fields, "").await;
        assert_eq!(refused.status, status, "{host}");
        assert_eq!(refused.headers.contains_key("location"), status == 303, "{host}");
    }
    let mut alice = Browser::default();
    let way_in = signed_in(&demo, &mut alice, 0).await;
    let local = demo.guarded.replace("http://127.0.0.1", "localhost");
    let enter = format!("__Host-jit-enter={}", alice.cookies["__Host-jit-enter"]);
    let fields = [("host", local.as_str()), ("cookie", enter.as_str())];
    assert_eq!(
        send("GET", &way_in, &fields, "").await.status,
        400,
        "another origin's code"
    );

    let mut alice = Browser::default();
    let way_in = signed_in(&demo, &mut alice, 0).await;
    assert_eq!(alice.get(&way_in).await.status, 303);
    let cookie = format!("__Host-jit={}", alice.cookies["__Host-jit"]);
    let home = format!("{}/", demo.guarded);
    for (fields, named) in [
        (&[("cookie", cookie.as_str())][..], true),
        (&[("cookie", cookie.as_str()), ("host", local.as_str())], false),
        (&[("cookie", cookie.as_str()), ("host", "127.0.0.1:6666")], false),
    ] {
        let home = send("GET", &home, fields, "").await;
        assert_eq!(home.text.contains("You are demo|alice."), named, "{fields:?}");
    }
    demo.end().await;
}

#[tokio::test]
async fn a_session_counts_at_its_own_place_alone() {
    let demo = start().await;
    let mut alice = Browser::default();
    let way_in = signed_in(&demo, &mut alice, 0).await;
    assert_eq!(alice.get(&way_in).await.status, 303);
    let (console, guarded) = (&alice.cookies["__Host-jit-console"], &alice.cookies["__Host-jit"]);
    for (cookie, named) in [
        (format!("__Host-jit={guarded}"), true),
        (format!("__Host-jit={console}"), false),
        (format!("__Host-jit-console={console}"), false),
    ] {
        let home = send("GET", &format!("{}/", demo.guarded), &[("cookie", &cookie)], "").await;
        assert_eq!(home.text.contains("You are demo|alice."), named, "{cookie}");
        // The console's control API takes tokens, and nobody's cookies.
        let me = send(
            "GET",
            &format!("{}/_jit/v1/me", demo.console),
            &[("cookie", &cookie)],
            "",
        )
        .await;
        assert_eq!(me.status, 401, "{cookie}");
    }
    assert_eq!(
        get("alice", &format!("{}/_jit/v1/me", demo.guarded)).await.status,
        200
    );
    demo.end().await;
}

#[tokio::test]
async fn a_script_of_the_application_decides_nothing_for_whoever_visits_it() {
    let demo = start().await;
    let mut bob = Browser::default();
    let way_in = signed_in(&demo, &mut bob, 1).await;
    assert_eq!(bob.get(&way_in).await.status, 303);
    let asked = demo.ask().await;
    let cookie = format!("__Host-jit={}", bob.cookies["__Host-jit"]);
    // As a page's own script sends it: the browser adds the cookie, and says that it comes from the same origin.
    let sent = [
        ("cookie", cookie.as_str()),
        ("content-type", "application/json"),
        ("origin", &demo.guarded),
        ("sec-fetch-site", "same-origin"),
    ];
    let request = format!("{}{}", demo.guarded, asked["url"].as_str().unwrap());
    let approval = serde_json::json!({"decision": "approve", "digest": asked["digest"]});
    let review = send("POST", &format!("{request}/review"), &sent, approval.to_string()).await;
    assert_eq!(review.status, 401, "{review:?}");
    assert_eq!(send("GET", &request, &sent, "").await.status, 401);
    assert_eq!(get("alice", &request).await.json()["state"], "pending");
    demo.end().await;
}
