//! People who sign in at the console through a real OpenID Connect provider, and get their roles from its claims.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use idp::SignIn;
use jit_auth::fetch::HttpsFetch;
use jit_auth::jwt::{Algorithm, JwtAuthenticator, KeyLocation};
use jit_auth::oidc::{CodeFlow, Registration};
use jit_console::web::{Console, ConsoleSettings};
use jit_core::broker::Broker;
use jit_core::broker::claims::{ClaimsDirectory, Learning};
use jit_core::gate::refusal::Refusal;
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use tower::ServiceExt;

const CONSOLE: &str = "127.0.0.1:8081";
const CALLBACK: &str = "http://127.0.0.1:8081/login/callback";

const POLICY: &str = r#"
[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]

[[policies]]
name = "admin-for-sre"
resources = ["admin"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "4h" }
mfa = { required = true, max_age = "15m" }
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]

[[mappings]]
issuer = "ISSUER"
claims = { groups = "sre" }
roles = ["sre"]

[[mappings]]
issuer = "ISSUER"
claims = { groups = "sre-lead" }
roles = ["sre-lead"]
"#;

struct World {
    router: Router,
    console: Console,
    broker: Broker,
    provider: SignIn,
}

impl World {
    async fn new() -> Self {
        let provider = SignIn::start(CALLBACK);
        let policy = POLICY.replace("ISSUER", &provider.issuer);
        let policy = Policy::parse(&policy, Format::Toml, "policy.toml").unwrap();
        let directory = Arc::new(ClaimsDirectory::new(policy.mappings().clone()));
        let fetch = HttpsFetch::dangerous_with_http_on_loopback().unwrap();
        let keys = KeyLocation::Discover;
        let (algorithms, for_keys) = ([Algorithm::Rs256], Arc::new(fetch.clone()));
        let proof = JwtAuthenticator::new(&provider.issuer, ["console"], algorithms, keys, for_keys);
        let proof = Learning::new(Arc::new(proof.unwrap()), directory.clone());
        let registration = Registration::new(&provider.issuer, "console", CALLBACK).unwrap();
        let registration = registration.with_secret("secret of the console");
        let broker = Broker::builder(Arc::new(MemoryStore::new()), directory, policy);
        let broker = broker.build().await.unwrap();
        let settings = ConsoleSettings::new(format!("http://{CONSOLE}"))
            .unwrap()
            .with_guarded("http://app.example.com")
            .unwrap()
            .with_provider(
                "Example Corp",
                CodeFlow::new(registration, Arc::new(proof), fetch),
            );
        let console = Console::new(broker.clone(), settings);
        Self {
            router: console.router(),
            console,
            broker,
            provider,
        }
    }

    async fn get(&self, path: &str, cookies: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder()
            .uri(path)
            .header(HOST, CONSOLE)
            .header(COOKIE, cookies);
        let request = request.body(Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let text = to_bytes(body, 1 << 20).await.unwrap();
        (
            head.status,
            head.headers,
            String::from_utf8(text.to_vec()).unwrap(),
        )
    }

    /// Where a refused browser is sent first.
    fn refused(&self) -> String {
        let head = Request::builder()
            .uri("/admin/users?page=2")
            .header(HOST, "app.example.com")
            .header("accept", "text/html");
        let head = head.body(()).unwrap().into_parts().0;
        let refusal = Refusal::ApprovalRequired {
            resource: "admin".parse().unwrap(),
        };
        let landing = self.console.landing(&refusal, &head, self.broker.now()).unwrap();
        landing
            .location
            .strip_prefix("http://127.0.0.1:8081")
            .unwrap()
            .to_owned()
    }

    /// Leaves for the provider from `/login/start`; answers the browser's cookie and the address to go to.
    async fn leave(&self, start: &str, cookies: &str) -> (String, String) {
        let (status, headers, _) = self.get(start, cookies).await;
        assert_eq!(status, 303);
        (set(&headers), to(&headers))
    }
}

fn set(headers: &HeaderMap) -> String {
    let cookie = headers[SET_COOKIE].to_str().unwrap();
    for attribute in ["__Host-", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

fn to(headers: &HeaderMap) -> String {
    headers[LOCATION].to_str().unwrap().to_owned()
}

fn path(back: &str) -> &str {
    back.strip_prefix("http://127.0.0.1:8081").unwrap()
}

#[tokio::test]
async fn a_refused_person_signs_in_and_asks() {
    let world = World::new().await;
    // From the refusal to the provider there is nothing to press.
    let mut at = world.refused();
    for step in ["/login?to=", "/login/start?to="] {
        let (status, headers, _) = world.get(&at, "").await;
        assert_eq!(status, 303, "{at}");
        at = to(&headers);
        assert!(at.starts_with(step), "{at}");
    }
    let (browser, away) = world.leave(&at, "").await;
    assert!(away.starts_with(&world.provider.issuer), "{away}");
    for asked in [
        "response_type=code",
        "code_challenge_method=S256",
        "nonce=",
        "state=",
        "scope=openid",
    ] {
        assert!(away.contains(asked), "{asked} in {away}");
    }
    let back = idp::visit(&away, "alice").await;
    let (status, headers, _) = world.get(path(&back), &browser).await;
    assert_eq!(status, 303);
    let session = set(&headers);
    assert!(session.starts_with("__Host-jit-console="), "{session}");

    // On to what was refused, as a person with the role that the provider's claim gives, and with the second factor it vouches for.
    let mut at = to(&headers);
    while at.starts_with("/go/") {
        let (_, headers, _) = world.get(&at, &session).await;
        at = to(&headers);
    }
    assert!(at.starts_with("/ask?back="), "{at}");
    let (status, _, page) = world.get(&at, &session).await;
    assert_eq!(status, 200);
    assert!(page.contains("admin-for-sre"), "{page}");

    // The address is used up, with the cookie and without.
    for cookies in [&*browser, &session, ""] {
        let (status, _, page) = world.get(path(&back), cookies).await;
        assert_eq!(status, 400, "{page}");
        assert!(page.contains("href=\"/login\""), "a way on");
    }
}

#[tokio::test]
async fn nobody_finishes_a_sign_in_that_began_in_another_browser() {
    let world = World::new().await;
    let (own, away) = world.leave("/login/start", "").await;
    let (other, _) = world.leave("/login/start", "").await;
    assert_ne!(own, other);
    let back = idp::visit(&away, "mallory").await;
    let (name, (_, value)) = (own.split_once('=').unwrap().0, other.split_once('=').unwrap());
    let (renamed, empty) = (format!("{name}={value}"), format!("{name}="));
    for cookies in ["", &*other, &renamed, &empty] {
        let (status, headers, _) = world.get(path(&back), cookies).await;
        assert_eq!(status, 400, "{cookies}");
        assert!(!headers.contains_key(SET_COOKIE), "{cookies}");
    }
    // All that has used nothing up.
    let (status, ..) = world.get(path(&back), &own).await;
    assert_eq!(status, 303);
}

#[tokio::test]
async fn a_provider_that_remembers_somebody_asks_them_again_where_that_counts() {
    let world = World::new().await;
    for (start, asks) in [("/login/start", false), ("/login/start?anew=true", true)] {
        let (browser, away) = world.leave(start, "").await;
        assert_eq!(away.contains("&prompt=login"), asks, "{away}");
        let back = idp::visit(&away, "bob").await;
        let (status, ..) = world.get(path(&back), &browser).await;
        assert_eq!(status, 303);
    }
}

#[tokio::test]
async fn several_pages_of_one_browser_sign_in_each() {
    let world = World::new().await;
    let (one, first) = world.leave("/login/start", "").await;
    let (other, second) = world.leave("/login/start", &one).await;
    let browser = format!("{one}; {other}");
    for (away, own) in [(second, &other), (first, &one)] {
        let back = idp::visit(&away, "bob").await;
        let (status, headers, _) = world.get(path(&back), &browser).await;
        assert_eq!(status, 303);
        let gone = headers.get_all(SET_COOKIE).iter().nth(1).unwrap();
        let gone = gone.to_str().unwrap();
        assert!(gone.starts_with(own.split('=').next().unwrap()), "{gone}");
        assert!(gone.ends_with("; Max-Age=0"), "{gone}");
    }
}

/// As many as come by hundreds of sign-ins a second, while somebody looks for their phone.
#[tokio::test]
async fn a_flood_of_sign_ins_pushes_nobody_out() {
    let world = World::new().await;
    let mut at = world.refused();
    for _ in 0..2 {
        let (_, headers, _) = world.get(&at, "").await;
        at = to(&headers);
    }
    let (browser, away) = world.leave(&at, "").await;
    for _ in 0..5000 {
        world.leave("/login/start", "").await;
        // Nor those whom somebody else is sent here for.
        world.get("/grants", "").await;
    }
    let back = idp::visit(&away, "alice").await;
    let (status, headers, _) = world.get(path(&back), &browser).await;
    assert_eq!(status, 303);
    let (session, onwards) = (set(&headers), to(&headers));
    assert!(onwards.starts_with("/go/"), "{onwards}");
    let (_, headers, _) = world.get(&onwards, &session).await;
    assert!(
        to(&headers).starts_with("/ask?back="),
        "they come to where they went"
    );
}

#[tokio::test]
async fn a_refusal_or_an_outage_of_the_provider_is_told() {
    let mut world = World::new().await;
    let (browser, away) = world.leave("/login/start", "").await;
    let back = idp::visit(&away, "").await;
    let (status, _, page) = world.get(path(&back), &browser).await;
    assert_eq!(status, 403);
    assert!(page.contains("access_denied"), "{page}");
    // What an address says is not shown.
    let (browser, away) = world.leave("/login/start", "").await;
    let state = away
        .split("state=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap()
        .to_owned();
    let issuer = world.provider.issuer.replace(':', "%3A").replace('/', "%2F");
    let forged = format!(
        "/login/callback?state={state}&iss={issuer}&error=call+555-0100&error_description=%3Cb%3ECall"
    );
    let (status, _, page) = world.get(&forged, &browser).await;
    assert_eq!(status, 403);
    assert!(!page.contains("555") && !page.contains("Call"), "{page}");

    let (_, _, page) = world.get("/login", "").await;
    assert!(page.contains("Sign in with Example Corp"), "{page}");
    let (browser, away) = world.leave("/login/start", "").await;
    let back = idp::visit(&away, "bob").await;
    world.provider.stop();
    let (status, _, page) = world.get(path(&back), &browser).await;
    assert_eq!(status, 503, "{page}");
}
