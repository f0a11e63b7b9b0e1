//! The application that the demo guards. It knows nothing of requests and grants, and takes its gate's word for who is there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use futures_util::stream::{self, Stream};
use jit_core::clock::Clock;
use serde::Deserialize;

/// How many users are on a page.
const EACH: usize = 4;
const USERS: [(&str, &str); 10] = [
    ("ada", "Depot north"),
    ("benedict", "Counter 3"),
    ("chioma", "Depot south"),
    ("dmitri", "Customs"),
    ("esra", "Counter 1"),
    ("farid", "Route planning"),
    ("greta", "Depot north"),
    ("hiro", "Customs"),
    ("ines", "Counter 2"),
    ("jonas", "Route planning"),
];

/// A parcel office: pages for everyone, and pages for those who look after it.
pub(super) fn app(clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/staging", get(staging))
        .route("/payroll", get(payroll))
        .route("/admin", get(overview))
        .route("/admin/", get(overview))
        .route("/admin/users", get(users))
        .route("/admin/clock", get(ticks))
        .route("/admin/request", any(request))
        .fallback(nothing_here)
        .with_state(clock)
}

async fn home(headers: HeaderMap) -> Html<String> {
    let main = "<p>Everyone may read this page. <a href=\"/admin\">Admin</a> opens when somebody has approved it, \
                <a href=\"/staging\">Staging</a> when you have said why, \
                <a href=\"/payroll\">Payroll</a> when somebody with a second factor has approved it.</p>";
    page(&headers, "Welcome", main)
}

async fn staging(headers: HeaderMap) -> Html<String> {
    page(&headers, "Staging", "<p>The next version is tried out here.</p>")
}

async fn payroll(headers: HeaderMap) -> Html<String> {
    page(
        &headers,
        "Payroll",
        "<p>What everyone earns. Whoever opened this has signed for it, or entered a code.</p>",
    )
}

async fn overview(headers: HeaderMap) -> Html<String> {
    page(&headers, "Admin", include_str!("overview.html"))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default = "first")]
    page: usize,
}

const fn first() -> usize {
    1
}

async fn users(headers: HeaderMap, Query(wanted): Query<Wanted>) -> Response {
    let pages = USERS.chunks(EACH);
    let (last, mut links, mut rows) = (pages.len(), String::new(), String::new());
    let Some(shown) = wanted
        .page
        .checked_sub(1)
        .and_then(|skip| pages.clone().nth(skip))
    else {
        return nothing_here(headers).await.into_response();
    };
    for (name, place) in shown {
        rows.push_str(&format!("<tr><td>{name}</td><td>{place}</td></tr>\n"));
    }
    for page in 1..=last {
        links.push_str(&format!("<a href=\"/admin/users?page={page}\">{page}</a> "));
    }
    let main = format!(
        "<table><thead><tr><th>Name</th><th>Works at</th></tr></thead>\n<tbody>\n{rows}</tbody></table>\n<p>Page {links}</p>"
    );
    page(&headers, &format!("Users, page {} of {last}", wanted.page), &main).into_response()
}

/// The time of day, once a second, until somebody ends it.
async fn ticks(State(clock): State<Arc<dyn Clock>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let interval = tokio::time::interval(Duration::from_secs(1));
    Sse::new(stream::unfold(
        (clock, interval),
        async |(clock, mut interval)| {
            interval.tick().await;
            let tick = Event::default()
                .event("tick")
                .data(clock.now().format("%H:%M:%S").to_string());
            Some((Ok(tick), (clock, interval)))
        },
    ))
}

/// What arrives here of a request: no credential of the gate's is in it.
async fn request(method: Method, uri: Uri, headers: HeaderMap) -> String {
    let mut text = format!("{method} {uri}\n");
    for (name, value) in &headers {
        text.push_str(&format!(
            "{name}: {}\n",
            String::from_utf8_lossy(value.as_bytes())
        ));
    }
    text
}

async fn nothing_here(headers: HeaderMap) -> (StatusCode, Html<String>) {
    let page = page(&headers, "Nothing here", "<p>There is no such page.</p>");
    (StatusCode::NOT_FOUND, page)
}

fn page(headers: &HeaderMap, title: &str, main: &str) -> Html<String> {
    let said = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(escaped)
    };
    let who = match (said("remote-user"), said("x-jit-expires")) {
        (Some(who), Some(until)) => format!("You are {who}, and may be here until {until}."),
        (Some(who), None) => format!("You are {who}."),
        (None, _) => "Nobody is signed in.".to_owned(),
    };
    // The parts of the page come last: what is put in is not looked through again.
    let page = include_str!("page.html")
        .replace("{title}", title)
        .replace("{who}", &who);
    Html(page.replace("{main}", main))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
