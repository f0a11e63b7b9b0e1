//! A small house with a console, and browsers that visit it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::request::Builder;
use http::{HeaderMap, Request, StatusCode};
use jit_console::web::{Console, ConsoleSettings, DemoPerson};
use jit_core::approval::audit::Tail;
use jit_core::broker::Broker;
use jit_core::broker::people::PeopleFile;
use jit_core::broker::store::Store;
use jit_core::gate::flight::{Direction, Flight};
use jit_core::gate::interactions::Interactions;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::step_up::{StepUpSettings, StepUps};
use jit_core::gate::tokens::ApiTokens;
use jit_core::gate::totp::Totp;
use jit_core::gate::{Gate, Verdict};
use jit_core::id::Digest;
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use jit_core::testing::ManualClock;
use tower::ServiceExt;

#[cfg(feature = "passkeys")]
use crate::halting::Halting;

const NAMES: [&str; 6] = ["alice", "bob", "carol", "erin", "frank", "mallory"];

const PEOPLE: &str = r#"
[[people]]
name = "alice"
principals = ["demo|alice"]
roles = ["sre"]

[[people]]
name = "bob"
principals = ["demo|bob"]
roles = ["sre-lead"]

[[people]]
name = "carol"
principals = ["demo|carol"]
roles = ["security", "sre-lead", "auditor"]

[[people]]
name = "erin"
principals = ["demo|erin"]
roles = ["sre", "incident-commander"]

[[people]]
name = "frank"
principals = ["demo|frank"]
roles = ["sre", "sre-lead"]

[[people]]
name = "mallory"
principals = ["demo|mallory"]
roles = []
"#;

const POLICY: &str = r#"
[control]
auditors = ["auditor"]
revokers = ["security"]
lockdown = ["security"]

[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]
tags = ["tier-1"]

[[resources]]
name = "wiki"
hosts = ["app.example.com"]
paths = ["/wiki"]

[[policies]]
name = "admin-for-sre"
resources = ["admin"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "4h", max_total = "8h" }
pending_timeout = "1h"
reason = { required = true, min_length = 5 }
ticket = { required = false, pattern = '^INC-\d+$' }
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]
break_glass = { requesters = { roles = ["incident-commander"] }, max = "20m", review_within = "24h", mfa = { required = false } }

[[policies]]
name = "wiki-for-all"
resources = ["wiki"]
requesters = { roles = ["sre", "sre-lead"] }
duration = { default = "10m", max = "1h" }
approval = "automatic"
"#;

/// What wants a second factor: of who asks, and of who decides.
const STRICT: &str = r#"
[[resources]]
name = "till"
hosts = ["app.example.com"]
paths = ["/till"]

[[policies]]
name = "till-for-sre"
resources = ["till"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "4h" }
mfa = { max_age = "5m" }
reason = { required = true, min_length = 5 }
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] }, mfa = { max_age = "5m" } } ]

[[resources]]
name = "safe"
hosts = ["app.example.com"]
paths = ["/safe"]

[[policies]]
name = "safe-for-sre"
resources = ["safe"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "4h" }
mfa = { acr = ["gold"] }
approval = "automatic"
"#;

/// The authenticator apps there are.
const SECRETS: [(&str, &str); 2] = [
    ("alice", "JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP"),
    ("bob", "MFZWIZTHNBVGW3DROVSXE5DZOVUW64DB"),
];

pub(crate) struct World {
    router: Router,
    pub(crate) console: Console,
    pub(crate) broker: Broker,
    pub(crate) store: Arc<MemoryStore>,
    gate: Gate,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) step_ups: Arc<StepUps>,
    #[cfg(feature = "passkeys")]
    pub(crate) passkeys: Arc<Halting>,
    host: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::house(POLICY, PEOPLE, "http://127.0.0.1:8081").await
    }

    /// One in which some resources want a second factor, and some people have an app.
    pub(crate) async fn strict() -> Self {
        let mut people = PEOPLE.to_owned();
        for (name, secret) in SECRETS {
            let line = format!("name = \"{name}\"\n");
            people = people.replace(&line, &format!("{line}totp_secret = \"{secret}\"\n"));
        }
        Self::house(&format!("{POLICY}{STRICT}"), &people, "http://localhost:8081").await
    }

    async fn house(policy: &str, people: &str, origin: &str) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::new("2026-03-01T09:00:00Z".parse().unwrap()));
        let people = Arc::new(PeopleFile::parse(people, Format::Toml, "people.toml").unwrap());
        let policy = Policy::parse(policy, Format::Toml, "policy.toml").unwrap();
        let rules = RuleSet::compile(policy.resources(), policy.open()).unwrap();
        let interactions = Arc::new(Interactions::with_places(64));
        let broker = Broker::builder(store.clone(), people.clone(), policy)
            .clock(clock.clone())
            .interactions(interactions.clone())
            .build()
            .await
            .unwrap();
        let tokens = NAMES.map(|name| {
            let principal = format!("demo|{name}").parse().unwrap();
            (Digest::plain(name.as_bytes()), principal)
        });
        let tokens = Arc::new(ApiTokens::new(tokens).unwrap());
        let factor = Arc::new(Totp::new(people.clone()));
        let step_ups = Arc::new(StepUps::new(factor, StepUpSettings::default()));
        let gate = Gate::builder(rules, broker.enforcer().clone(), tokens, people, clock.clone())
            .with_reserve(Arc::new(broker.clone()))
            .with_interactions(interactions)
            .build();
        let demo = NAMES.map(|name| DemoPerson {
            principal: format!("demo|{name}").parse().unwrap(),
            name: name.to_owned(),
            about: String::new(),
        });
        let settings = ConsoleSettings::new(origin)
            .unwrap()
            .with_step_ups(step_ups.clone())
            .with_guarded("http://app.example.com")
            .unwrap()
            .dangerous_with_demo_people(demo);
        #[cfg(feature = "passkeys")]
        let passkeys = Arc::new(Halting::new(store.clone()));
        #[cfg(feature = "passkeys")]
        let settings = match origin {
            "http://127.0.0.1:8081" => settings,
            _ => settings.with_passkeys(passkeys.clone()).unwrap(),
        };
        let console = Console::new(broker.clone(), settings);
        Self {
            router: console.router(),
            console,
            broker,
            store,
            gate,
            clock,
            step_ups,
            #[cfg(feature = "passkeys")]
            passkeys,
            host: origin.trim_start_matches("http://").to_owned(),
        }
    }

    /// What `who`'s app shows, `periods` half minutes from now.
    pub(crate) fn code(&self, who: &str, periods: i64) -> String {
        let (_, secret) = SECRETS.iter().find(|(name, _)| *name == who).unwrap();
        let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
        let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
        let seconds = self.broker.now().timestamp() + 30 * periods;
        totp.generate(seconds.try_into().unwrap()).to_string()
    }

    /// A request of `who` that the gate admits, that is answered at once, and that is written down.
    pub(crate) async fn use_grant(&self, who: &str, path: &str) {
        let request = Request::builder()
            .uri(path)
            .header("host", "app.example.com")
            .header("authorization", format!("Bearer {who}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        let verdict = match self.gate.decide(&head, None) {
            Verdict::Lookup(lookup) => self.gate.resolve(&head, None, lookup).await,
            verdict => verdict,
        };
        let Verdict::Admit(admission) = verdict else {
            panic!("{verdict:?}")
        };
        let flight = Flight::begin(&self.gate, &admission, &head);
        flight.answered(StatusCode::OK);
        flight.pass(Direction::Sent, 12).unwrap();
        drop(flight);
        self.broker.flush_interactions().await.unwrap();
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The end of the log.
    pub(crate) async fn end(&self) -> Tail {
        self.store.tail().await.unwrap()
    }

    /// A browser in which `name` has signed in.
    pub(crate) async fn visit(&self, name: &str) -> Browser<'_> {
        let mut browser = Browser {
            world: self,
            cookie: String::new(),
        };
        let number = NAMES.iter().position(|known| *known == name).unwrap();
        let answer = browser.post("/login", &[("person", &number.to_string())]).await;
        answer.leads_to("/");
        browser.takes(&answer);
        browser
    }

    /// A browser for each of them.
    pub(crate) async fn visits<const N: usize>(&self, names: [&str; N]) -> [Browser<'_>; N] {
        let mut browsers = Vec::with_capacity(N);
        for name in names {
            browsers.push(self.visit(name).await);
        }
        let Ok(browsers) = browsers.try_into() else {
            unreachable!("there is one for each name");
        };
        browsers
    }

    /// Where a browser goes that a gate refused, with the slip's name.
    pub(crate) fn refused(&self, path: &str) -> String {
        let refusal = Refusal::ApprovalRequired {
            resource: "admin".parse().unwrap(),
        };
        self.sent_away(path, &refusal)
    }

    pub(crate) fn sent_away(&self, path: &str, refusal: &Refusal) -> String {
        let head = Request::builder()
            .uri(path)
            .header("host", "app.example.com")
            .header("accept", "text/html")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let landing = self.console.landing(refusal, &head, self.broker.now()).unwrap();
        landing.location.rsplit('/').next().unwrap().to_owned()
    }
}

#[derive(Clone)]
pub(crate) struct Browser<'w> {
    world: &'w World,
    pub(crate) cookie: String,
}

impl Browser<'_> {
    /// Keeps the cookie that an answer sets.
    pub(crate) fn takes(&mut self, answer: &Answer) {
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        self.cookie = cookie.split(';').next().unwrap().to_owned();
    }

    /// Proves a second factor by a code, as `page` asks for it.
    pub(crate) async fn step_up(&mut self, page: &str, code: &str) -> Answer {
        let answer = self.fill(page, "/step-up", &[("code", code)]).await;
        if answer.status == StatusCode::SEE_OTHER {
            self.takes(&answer);
        }
        answer
    }

    fn call(&self, method: &str, path: &str) -> Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.world.host);
        if self.cookie.is_empty() {
            request
        } else {
            request.header("cookie", &self.cookie)
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.call("GET", path).body(Body::empty()).unwrap())
            .await
    }

    /// As a page that stands open asks for its new self.
    pub(crate) async fn looks_again(&self, path: &str) -> Answer {
        let request = self.call("GET", path).header("hx-request", "true");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// As a page of `site` has the browser ask for it.
    pub(crate) async fn get_from(&self, site: &str, mode: &str, path: &str) -> Answer {
        let request = self
            .call("GET", path)
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", mode);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_from("same-origin", path, fields).await
    }

    pub(crate) async fn post_from(&self, site: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self
            .call("POST", path)
            .header("sec-fetch-site", site)
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(encode(fields))).unwrap()).await
    }

    /// As a browser that does not say where a form comes from.
    pub(crate) async fn post_silently(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self
            .call("POST", path)
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(encode(fields))).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let shown = format!("{} {}", request.method(), request.uri());
        let response = self.world.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let answer = Answer {
            shown,
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        };
        answer.is_safe();
        answer
    }

    /// The form of the page at `path` whose action ends with `action`, its hidden fields as they are.
    pub(crate) async fn form(&self, path: &str, action: &str) -> Vec<(String, String)> {
        let page = self.get(path).await;
        page.is(200);
        page.form(action)
            .unwrap_or_else(|| panic!("no form {action} at {path}: {}", page.text))
    }

    /// Fills in the form of `page` that `action` ends with, and sends it.
    pub(crate) async fn fill(&self, page: &str, action: &str, typed: &[(&str, &str)]) -> Answer {
        let hidden = self.form(page, action).await;
        let mut fields: Vec<(&str, &str)> = Vec::new();
        for (name, value) in &hidden {
            if !typed.iter().any(|(known, _)| known == name) {
                fields.push((name, value));
            }
        }
        fields.extend(typed);
        self.post(action, &fields).await
    }

    /// Asks for access to what wants a second factor, which this browser has proven.
    pub(crate) async fn ask_for_till(&self) -> String {
        let fields = [
            ("reason", "count the money"),
            ("duration", "30m"),
            ("kind", "ask"),
        ];
        let answer = self.fill("/ask?resource=till", "/ask", &fields).await;
        answer.is(303);
        answer.location().to_owned()
    }

    /// Asks for access to admin; answers the request's page.
    pub(crate) async fn ask(&self, typed: &[(&str, &str)]) -> String {
        let mut fields = vec![
            ("reason", "look into INC-42"),
            ("duration", "30m"),
            ("kind", "ask"),
        ];
        fields.retain(|(name, _)| !typed.iter().any(|(known, _)| known == name));
        fields.extend(typed);
        let answer = self.fill("/ask?resource=admin", "/ask", &fields).await;
        answer.is(303);
        answer.location().to_owned()
    }

    /// Decides on the request at `page`.
    pub(crate) async fn decide(&self, page: &str, typed: &[(&str, &str)]) -> Answer {
        self.fill(page, &format!("{page}/review"), typed).await
    }
}

fn encode(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    shown: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(&self, status: u16) {
        assert_eq!(self.status, status, "{}: {}", self.shown, self.text);
    }

    #[track_caller]
    pub(crate) fn leads_to(&self, path: &str) {
        self.is(303);
        assert_eq!(self.location(), path, "{}", self.shown);
    }

    #[track_caller]
    pub(crate) fn location(&self) -> &str {
        self.headers["location"].to_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(
            self.text.contains(text),
            "{} lacks {text:?}: {}",
            self.shown,
            self.text
        );
    }

    #[track_caller]
    pub(crate) fn lacks(&self, text: &str) {
        assert!(
            !self.text.contains(text),
            "{} has {text:?}: {}",
            self.shown,
            self.text
        );
    }

    pub(crate) fn is_page(&self) -> bool {
        let kind = self.headers.get("content-type");
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
    }

    /// What holds for every answer of the console, whatever was typed into it.
    #[track_caller]
    fn is_safe(&self) {
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(self.headers[name], value, "{}", self.shown);
        }
        if !self.is_page() {
            return;
        }
        assert_eq!(self.headers["cache-control"], "no-store", "{}", self.shown);
        assert_eq!(self.text.matches("<h1").count(), 1, "{}: one heading", self.shown);
        let odd = |c: char| c != '\n' && jit_core::policy::text::is_unprintable(c);
        assert!(!self.text.contains(odd), "{}: {:?}", self.shown, self.text);
        for tag in tags(&self.text) {
            let name = tag.split([' ', '\n', '>']).next().unwrap_or_default();
            let own_script = ["htmx", "sse", "console", "passkey"]
                .iter()
                .any(|name| tag == format!("script src=\"/{name}.js\" defer"));
            assert!(
                own_script || !matches!(name, "script" | "style" | "iframe" | "img" | "object"),
                "{tag}"
            );
            for (attribute, value) in attributes(tag) {
                assert!(
                    attribute != "style" && !attribute.starts_with("on"),
                    "{}: {tag}",
                    self.shown
                );
                // Scripts ask for pages, and send nothing: what changes something is a form.
                assert!(
                    !attribute.starts_with("hx-on")
                        && !matches!(
                            attribute,
                            "hx-post" | "hx-put" | "hx-patch" | "hx-delete" | "hx-boost" | "hx-vars"
                        ),
                    "{}: {tag}",
                    self.shown
                );
                if matches!(attribute, "href" | "action" | "hx-get" | "sse-connect") {
                    let own = value.starts_with('/') && !value.starts_with("//");
                    assert!(
                        own || matches!(value, "" | "#main") || self.text.contains("Taking you back"),
                        "{tag}"
                    );
                }
            }
        }
    }

    /// Every address that the page links to.
    pub(crate) fn links(&self) -> Vec<String> {
        let all = tags(&self.text).flat_map(attributes);
        all.filter(|(name, _)| matches!(*name, "href" | "hx-get"))
            .map(|(_, value)| plain(value))
            .filter(|value| value.starts_with('/'))
            .collect()
    }

    /// The value of the one attribute of this name.
    pub(crate) fn attribute(&self, name: &str) -> String {
        let mut all = tags(&self.text).flat_map(attributes);
        let (_, value) = all.find(|(known, _)| *known == name).unwrap();
        plain(value)
    }

    /// The fields with values of the form that is sent to `action`.
    pub(crate) fn form(&self, action: &str) -> Option<Vec<(String, String)>> {
        let start = self.text.find(&format!("method=\"post\" action=\"{action}\""))?;
        let (form, _) = self.text[start..].split_once("</form>")?;
        let inputs = tags(form).filter(|tag| tag.starts_with("input type=\"hidden\""));
        let fields = inputs.map(|tag| {
            let all: Vec<_> = attributes(tag).collect();
            let of = |wanted: &str| all.iter().find(|(name, _)| *name == wanted).unwrap().1;
            (of("name").to_owned(), plain(of("value")))
        });
        Some(fields.collect())
    }
}

/// What stands between each `<` and the `>` that ends it.
fn tags(html: &str) -> impl Iterator<Item = &str> {
    let starts = html.split('<').skip(1);
    starts.filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag))
}

/// The attributes of a tag. Its values stand in double quotes.
fn attributes(tag: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = tag.split('"').collect::<Vec<_>>();
    let pairs: Vec<_> = pairs
        .chunks(2)
        .filter_map(|pair| match pair {
            [name, value] => Some((name.trim().trim_end_matches('=').rsplit(' ').next()?, *value)),
            _ => None,
        })
        .collect();
    pairs.into_iter()
}

/// Text without the templates' escapes.
fn plain(text: &str) -> String {
    [
        ("&#38;", "&"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}
