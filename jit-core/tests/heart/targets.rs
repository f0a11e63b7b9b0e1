//! Random requests from strangers: what holds of every path, host, head and header block; a cached decision is the uncached one;
//! and the gate agrees with a small search through all rules and grants.
//!
//! A debug build runs fewer cases than a release build; the full test command runs this in release.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest, Uri, Version};
use jit_core::approval::request::Request;
use jit_core::broker::people::PeopleFile;
use jit_core::gate::cut::Cut;
use jit_core::gate::enforcer::{Enforcer, EnforcerSettings};
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::gate::{Gate, Verdict};
use jit_core::id::{Digest, GrantId, Principal, RequestId};
use jit_core::policy::Format;
use jit_core::policy::terms::{OpenDef, ResourceDef, Scope};
use jit_core::testing::{ManualClock, reading};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::rig::{On, PEOPLE, POLICY, Rig, start};

/// Runs `test` on that many inputs in release, and on a fiftieth in debug.
fn run<S: Strategy>(name: &str, cases: u32, strategy: &S, test: impl Fn(S::Value) -> bool) {
    let cases = if cfg!(debug_assertions) { cases / 50 } else { cases };
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    };
    let good = std::cell::Cell::new(0_u32);
    let outcome = TestRunner::new(config).run(strategy, |input| {
        good.set(good.get() + u32::from(test(input)));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{name}: {cases} cases, {} of them good", good.get());
    assert!(
        good.get() > cases / 50,
        "the strategy finds too little that is good"
    );
}

/// One character, percent-encoded.
fn encoded() -> impl Strategy<Value = String> {
    let special = select(
        &[
            '.', '/', '\u{ff0e}', '\u{2025}', '\u{ff0f}', '\u{37e}', '\u{200b}', '\u{131}', '\u{a0}',
            '\u{ff41}',
        ][..],
    );
    prop_oneof![special, any::<char>(), proptest::char::range(' ', '~')].prop_map(|c| {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).bytes();
        bytes.map(|b| format!("%{b:02X}")).collect()
    })
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => select(&["/", "/admin", "admin", ".", "..", ";", "/x", "%2e", "%61", "a", "A", " "][..]).prop_map(str::to_owned),
        3 => "[a-zA-Z0-9._~;:@!$&'()*+,=-]{1,4}",
        2 => encoded(),
        1 => "%[0-9a-fA-F]{2}",
        1 => "[\u{21}-\u{ff}]",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn host() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9_-]{1,4}",
        3 => Just(".".to_owned()),
        1 => select(&[":", ":80", ":0", "[", "]", "::1", "@", ",", "/", "%", "\u{ff41}", " "][..]).prop_map(str::to_owned),
    ];
    prop_oneof![
        9 => proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()),
        1 => any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]:8080")),
    ]
}

#[test]
fn a_path_has_one_reading() {
    run("paths", 500_000, &path(), |raw| reading::path(&raw));
}

#[test]
fn a_host_has_one_spelling() {
    run("hosts", 300_000, &host(), |text| reading::host(&text));
}

#[test]
fn what_is_decided_is_what_is_forwarded() {
    let form = select(&["", "", "", "http://", "https://", "ftp://", "u@"][..]);
    let version = select(
        &[
            Version::HTTP_10,
            Version::HTTP_11,
            Version::HTTP_2,
            Version::HTTP_3,
        ][..],
    );
    let method = select(&["GET", "GET", "POST", "OPTIONS", "CONNECT", "TRACE", "get"][..]);
    let name = || prop_oneof![5 => Just("app.example.com".to_owned()), 1 => host()];
    let hosts = prop_oneof![
        4 => name().prop_map(|host| vec![host]),
        1 => proptest::collection::vec(name(), 0..3),
    ];
    let heads = (form, name(), path(), version, method, hosts);
    run(
        "heads",
        300_000,
        &heads,
        |(form, authority, path, version, method, hosts)| {
            let uri = if form.is_empty() {
                path
            } else {
                format!("{form}{authority}{path}")
            };
            let Ok(uri) = Uri::try_from(uri) else { return false };
            let mut request = HttpRequest::builder().version(version).method(method).uri(uri);
            for host in hosts {
                request = request.header(HOST, host);
            }
            request
                .body(())
                .is_ok_and(|request| reading::head(&request.into_parts().0))
        },
    );
}

#[test]
fn what_is_stripped_stays_away() {
    let known = select(
        &[
            "accept",
            "te",
            "trailer",
            "upgrade",
            "http2-settings",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-user",
            "x-real-ip",
            "remote-user",
            "x-original-url",
            "x-jit-grant",
            "x-auth-token",
            "x-request-id",
            "client-cert",
            "script-name",
            "host",
        ][..],
    );
    let name = prop_oneof![
        (known, select(&["-", "_", ".", "~", "|"][..]))
            .prop_map(|(name, other)| name.replacen('-', other, 2)),
        "[a-z][a-z_.-]{0,12}",
    ];
    let value = select(
        &[
            "",
            "trailers",
            "h2c",
            "websocket, H2C",
            "websocket",
            "a",
            "127.0.0.1",
        ][..],
    );
    let block = proptest::collection::vec((name, value), 0..8);
    run("header blocks", 300_000, &block, |block| {
        let mut headers = HeaderMap::new();
        for (name, value) in block {
            let name = HeaderName::try_from(name).expect("a name");
            headers.append(name, HeaderValue::from_static(value));
        }
        reading::fields(&headers);
        true
    });
}

fn get(who: &str, host: &str, path: &str, method: &str) -> Parts {
    let request = HttpRequest::builder().method(method).uri(path).header(HOST, host);
    let request = match who {
        "" => request,
        who => request.header(AUTHORIZATION, format!("Bearer demo-{who}")),
    };
    request.body(()).unwrap().into_parts().0
}

/// A verdict, without what two right answers may differ in.
fn told(verdict: &Verdict) -> String {
    let who = |subject: &Option<Arc<_>>| {
        subject
            .as_ref()
            .map(|s: &Arc<jit_core::gate::authenticate::Subject>| s.principal.clone())
    };
    match verdict {
        Verdict::Admit(admission) => format!("admitted under {}", admission.permit.grant_id()),
        Verdict::Open(passage) => format!("open to {:?} {:?}", who(&passage.subject), passage.credential),
        Verdict::Control { subject, .. } => format!("control for {:?}", who(subject)),
        Verdict::Refuse(refusal) => format!("{refusal:?}"),
        Verdict::Lookup(_) => "a look-up".to_owned(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn decide(gate: &Gate, head: &Parts) -> Verdict {
    match gate.decide(head, None) {
        Verdict::Lookup(lookup) => gate.resolve(head, None, lookup).await,
        verdict => verdict,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Knock {
        who: &'static str,
        host: &'static str,
        path: &'static str,
        method: &'static str,
    },
    /// That many seconds pass.
    Wait(u64),
    /// The tokens of these, and no others, are known from now on.
    Tokens(Vec<&'static str>),
    /// The grant is shut.
    Shut,
}

const WHO: [&str; 4] = ["alice", "erin", "mallory", "nobody"];

fn step() -> impl Strategy<Value = Step> {
    let who = || select(&["alice", "alice", "erin", "mallory", "nobody", ""][..]);
    let host = select(
        &[
            "app.example.com",
            "app.example.com",
            "APP.example.com.",
            "evil.example",
        ][..],
    );
    let path = select(
        &[
            "/admin",
            "/admin/x",
            "/%61dmin/x",
            "/ADMIN",
            "/admin;x",
            "/",
            "/_jit/v1/me",
            "/admin/..",
            "/public",
        ][..],
    );
    let method = select(&["GET", "POST", "get", "OPTIONS"][..]);
    prop_oneof![
        40 => (who(), host, path, method).prop_map(|(who, host, path, method)| Step::Knock { who, host, path, method }),
        4 => (0..70_u64).prop_map(Step::Wait),
        2 => proptest::sample::subsequence(&WHO[..], 0..=4).prop_map(Step::Tokens),
        1 => prop::bool::weighted(0.05).prop_map(|shut| if shut { Step::Shut } else { Step::Wait(1) }),
    ]
}

/// One gate keeps its sessions, the other forgets them before each request. They never disagree.
#[test]
fn a_cached_decision_is_the_uncached_one() {
    let runtime = runtime();
    let steps = proptest::collection::vec(step(), 200);
    run("histories of 200 steps", 5000, &steps, |steps| {
        runtime.block_on(async {
            let rig = Rig::new(On::Memory, POLICY).await;
            let grant = GrantId::from(rig.granted(json!({})).await.id);
            let known = |who: &[&str]| {
                let tokens = who.iter().map(|name| {
                    let token = Digest::plain(format!("demo-{name}").as_bytes());
                    (token, Principal::new("demo", name).unwrap())
                });
                tokens.collect::<Vec<_>>()
            };
            let tokens = Arc::new(ApiTokens::new(known(&WHO)).unwrap());
            let gate = || {
                let policy = rig.broker.policy();
                let rules = RuleSet::compile(policy.resources(), policy.open()).unwrap();
                let enforcer = rig.broker.enforcer().clone();
                Gate::builder(
                    rules,
                    enforcer,
                    tokens.clone(),
                    rig.people.clone(),
                    rig.clock.clone(),
                )
                .build()
            };
            let (keeps, forgets) = (gate(), gate());
            for step in steps {
                match step {
                    Step::Knock {
                        who,
                        host,
                        path,
                        method,
                    } => {
                        let head = get(who, host, path, method);
                        forgets.forget_sessions();
                        let (kept, fresh) = (decide(&keeps, &head).await, decide(&forgets, &head).await);
                        assert_eq!(told(&kept), told(&fresh), "{head:?}");
                    }
                    Step::Wait(seconds) => {
                        rig.clock.advance(Duration::from_secs(seconds));
                        rig.broker.enforcer().synced(rig.now());
                    }
                    Step::Tokens(who) => tokens.replace(known(&who)).unwrap(),
                    Step::Shut => rig.broker.enforcer().shut(grant, Cut::Revoked),
                }
            }
        });
        true
    });
}

fn texts(all: &'static [&'static str], most: usize) -> impl Strategy<Value = BTreeSet<String>> {
    proptest::sample::subsequence(all, 0..=most)
        .prop_map(|list| list.into_iter().map(str::to_owned).collect())
}

const HOSTS: [&str; 3] = ["a.example", "b.a.example", "*.a.example"];
const PREFIXES: [&str; 8] = ["/", "/x", "/x/y", "/X/y/z", "/x y", "/x.y", "/y", "/y/x"];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "DELETE"];

fn some(all: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    let most = all.len().min(2);
    proptest::sample::subsequence(all, 1..=most)
        .prop_map(|list| list.into_iter().map(str::to_owned).collect())
}

fn resources() -> impl Strategy<Value = Vec<ResourceDef>> {
    let parts = (
        some(&HOSTS),
        some(&PREFIXES),
        prop_oneof![3 => Just(BTreeSet::new()), 1 => some(&METHODS)],
    );
    proptest::collection::vec(parts, 1..4).prop_map(|list| {
        let named = list.into_iter().enumerate();
        let def = |(n, (hosts, paths, methods))| ResourceDef {
            name: format!("r{n}").parse().unwrap(),
            hosts,
            paths,
            methods,
            tags: BTreeSet::new(),
        };
        named.map(def).collect()
    })
}

fn open() -> impl Strategy<Value = OpenDef> {
    (some(&HOSTS), some(&PREFIXES), texts(&METHODS, 2)).prop_map(|(hosts, paths, methods)| OpenDef {
        hosts,
        paths,
        methods,
    })
}

/// The definition in so few lines that it can be read in one go: folding is lower-casing, because no other spelling is generated.
mod oracle {
    use super::{BTreeSet, OpenDef, ResourceDef, Scope};

    fn under(prefixes: &BTreeSet<String>, path: &str) -> bool {
        prefixes.iter().any(|p| {
            p == "/"
                || path == p
                || path
                    .strip_prefix(p.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        })
    }

    fn on(hosts: &BTreeSet<String>, host: &str) -> bool {
        hosts
            .iter()
            .any(|h| h == host || h.strip_prefix('*').is_some_and(|parent| host.ends_with(parent)))
    }

    fn passes(methods: &BTreeSet<String>, method: &str) -> bool {
        methods.is_empty() || methods.contains(method) || (method == "HEAD" && methods.contains("GET"))
    }

    /// Whether the request may pass, if its sender holds a grant of each of `grants`.
    pub(super) fn allows(
        resources: &[ResourceDef],
        open: &OpenDef,
        grants: &[(ResourceDef, Scope)],
        (host, path, method): (&str, &str, &str),
    ) -> bool {
        let (lower, upper) = (path.to_lowercase(), method.to_uppercase());
        // The longest prefix governs; then the most specific host; then a resource with methods goes before one without.
        let mut governing: Option<((usize, usize, bool), &ResourceDef)> = None;
        for def in resources.iter().filter(|def| passes(&def.methods, &upper)) {
            for (prefix, pattern) in def
                .paths
                .iter()
                .flat_map(|p| def.hosts.iter().map(move |h| (p, h)))
            {
                let depth = if prefix == "/" {
                    0
                } else {
                    prefix.matches('/').count()
                };
                let specific = if pattern.starts_with('*') {
                    pattern.len()
                } else {
                    usize::MAX
                };
                let claim = (depth, specific, !def.methods.is_empty());
                let covers = under(&BTreeSet::from([prefix.to_lowercase()]), &lower)
                    && on(&BTreeSet::from([pattern.clone()]), host);
                if covers && governing.is_none_or(|(best, _)| claim > best) {
                    governing = Some((claim, def));
                }
            }
        }
        let Some((_, def)) = governing else {
            return on(&open.hosts, host) && under(&open.paths, path) && passes(&open.methods, method);
        };
        let covers = |def: &ResourceDef, scope: &Scope| {
            on(&def.hosts, host)
                && under(&def.paths, path)
                && (scope.paths.is_empty() || under(&scope.paths, path))
                && passes(&def.methods, method)
                && passes(&scope.methods, method)
        };
        let held =
            |(granted, scope): &(ResourceDef, Scope)| granted.name == def.name && covers(granted, scope);
        covers(def, &Scope::default()) && grants.iter().any(held)
    }
}

/// A gate by these rules in front of alice's grants, which are copies of one that a broker made.
fn gate(
    template: &Request,
    people: &Arc<PeopleFile>,
    resources: &[ResourceDef],
    open: &OpenDef,
    grants: &[(ResourceDef, Scope)],
) -> Option<Gate> {
    let rules = RuleSet::compile(resources, std::slice::from_ref(open)).ok()?;
    let enforcer = Arc::new(Enforcer::new(EnforcerSettings::default()));
    enforcer.synced(start());
    for (n, (resource, scope)) in (1..).zip(grants) {
        let mut copy = template.clone();
        copy.id = RequestId::from_u128(n);
        let grant = copy.grant.as_mut().unwrap();
        grant.id = copy.id.into();
        grant.resource = resource.clone();
        grant.scope = scope.clone();
        enforcer.publish(1, &copy);
    }
    let tokens = people
        .tokens()
        .into_iter()
        .map(|token| (token.sha256, token.principal));
    let tokens = Arc::new(ApiTokens::new(tokens).unwrap());
    let clock = Arc::new(ManualClock::new(start()));
    Some(
        Gate::builder(rules, enforcer, tokens, people.clone(), clock)
            .with_control_prefix("/control")
            .unwrap()
            .build(),
    )
}

/// What the gate lets through is what the definition lets through, and one rule more never lets anything through.
#[test]
fn the_gate_is_the_definition_and_a_rule_only_takes_away() {
    let runtime = runtime();
    let template = runtime.block_on(async { Rig::new(On::Memory, POLICY).await.granted(json!({})).await });
    let people = Arc::new(PeopleFile::parse(PEOPLE, Format::Toml, "people.toml").unwrap());
    let segment = || select(&["x", "y", "z", "X", "Y", "x y", "x.y", "w"][..]);
    let request = (
        select(&["a.example", "b.a.example", "c.b.a.example", "evil.example"][..]),
        proptest::collection::vec(segment(), 0..4).prop_map(|segments| format!("/{}", segments.join("/"))),
        select(&["GET", "HEAD", "POST", "DELETE", "get", "PATCH"][..]),
    );
    let scope =
        (texts(&PREFIXES, 1), texts(&METHODS, 1)).prop_map(|(paths, methods)| Scope { methods, paths });
    let worlds = (
        resources(),
        open(),
        proptest::collection::vec((0..4_usize, scope), 0..4),
        proptest::collection::vec(request, 50),
    );
    run(
        "policies with 50 requests each",
        10_000,
        &worlds,
        |(resources, open, held, requests)| {
            // Nobody can hold what the last rule protects before there was that rule.
            let (_, before) = resources.split_last().unwrap();
            let grants: Vec<_> = held
                .into_iter()
                .filter_map(|(n, scope)| Some((before.get(n)?.clone(), scope)))
                .collect();
            let Some(gate_after) = gate(&template, &people, &resources, &open, &grants) else {
                return false;
            };
            let gate_before = gate(&template, &people, before, &open, &grants).unwrap();
            for (host, path, method) in requests {
                let head = get("alice", host, &path.replace(' ', "%20"), method);
                let passes = |gate: &Gate| {
                    let verdict = runtime.block_on(decide(gate, &head));
                    assert!(!matches!(verdict, Verdict::Control { .. }));
                    matches!(verdict, Verdict::Admit(_) | Verdict::Open(_))
                };
                let (after, before_it) = (passes(&gate_after), passes(&gate_before));
                let request = (host, path.as_str(), method);
                let expected = oracle::allows(&resources, &open, &grants, request);
                assert_eq!(
                    after, expected,
                    "{request:?}\n{resources:#?}\n{open:?}\n{grants:#?}"
                );
                let expected = oracle::allows(before, &open, &grants, request);
                assert_eq!(before_it, expected, "{request:?} without the last rule");
                assert!(!after || before_it, "one rule more let {request:?} through");
                assert_eq!(head.method, Method::from_bytes(method.as_bytes()).unwrap());
            }
            true
        },
    );
}
