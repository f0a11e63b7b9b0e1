//! A gate over `/admin` and `/billing` of app.example.com, a listener that answers for it, and raw sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use jit_authz::{Authz, AuthzSettings};
use jit_core::approval::ask::{Ask, Route, Ruling, Selector};
use jit_core::approval::grant::Grant;
use jit_core::approval::request::{Request, Requester};
use jit_core::approval::state::State;
use jit_core::broker::directory::{Directory, DirectoryError, Members, Person};
use jit_core::clock::Clock as _;
use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use jit_core::gate::budget::Budgeted;
use jit_core::gate::enforcer::{Enforcer, EnforcerSettings};
use jit_core::gate::hold::HoldSettings;
use jit_core::gate::hygiene::TrustedProxies;
use jit_core::gate::interactions::Interactions;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::gate::{Asking, Gate, NotAsked, Reserve, ReserveError};
use jit_core::id::{Digest, GrantId, Principal, RequestId, Role, Timestamp};
use jit_core::policy::terms::{
    AutomaticTerms, DurationTerms, LimitTerms, OpenDef, People, ReasonTerms, ResourceDef, Scope, Terms,
    TicketTerms,
};
use jit_core::span::Span;
use jit_core::testing::ManualClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

pub(crate) const HOST: &str = "app.example.com";

/// Everyone is a person of their own name, with one role.
#[derive(Debug)]
struct Crowd;

#[async_trait]
impl Directory for Crowd {
    async fn resolve(&self, who: &Principal, now: Timestamp) -> Result<Option<Person>, DirectoryError> {
        Ok(Some(Person {
            id: who.subject().parse().unwrap(),
            name: who.subject().to_owned(),
            roles: BTreeSet::from(["sre".parse().unwrap(), "on-call".parse().unwrap()]),
            disabled: false,
            as_of: now,
        }))
    }

    async fn members(&self, _: &Role, _: Timestamp) -> Result<Members, DirectoryError> {
        Ok(Members::Unknown)
    }
}

/// Tokens, which take as long to verify as told, and a note of the addresses that were seen.
#[derive(Debug)]
pub(crate) struct Tokens {
    known: ApiTokens,
    /// While set, nothing is verified until [`Tokens::go`].
    pub(crate) slow: std::sync::atomic::AtomicBool,
    pub(crate) waiting: AtomicUsize,
    pub(crate) go: Notify,
    pub(crate) peers: std::sync::Mutex<Vec<Option<IpAddr>>>,
}

#[async_trait]
impl Authenticator for Tokens {
    fn present<'r>(&self, head: &'r http::request::Parts, peer: Option<IpAddr>) -> Presented<'r> {
        self.peers.lock().unwrap().push(peer);
        if let Some(cookie) = jit_core::gate::hygiene::gate_cookie(&head.headers) {
            return Presented::Credential {
                bytes: cookie.as_bytes().into(),
                source: CredentialSource::Cookie,
            };
        }
        self.known.present(head, peer)
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Subject, AuthError> {
        if self.slow.load(Ordering::SeqCst) {
            let go = self.go.notified();
            self.waiting.fetch_add(1, Ordering::SeqCst);
            go.await;
        }
        if source == CredentialSource::Cookie {
            return self
                .known
                .verify(credential, CredentialSource::Authorization, now)
                .await;
        }
        self.known.verify(credential, source, now).await
    }

    fn revoked(&self, credential: &Digest) -> bool {
        self.known.revoked(credential)
    }
}

/// A budget of so many requests, for whoever asks.
#[derive(Debug)]
pub(crate) struct Budget(pub(crate) AtomicU64);

#[async_trait]
impl Reserve for Budget {
    async fn reserve(&self, _: GrantId, _: Budgeted, _: Timestamp) -> Result<u64, ReserveError> {
        let one = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        Ok(u64::from(one.is_ok()))
    }
}

/// Nobody is to be asked for anything.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Asking for Nobody {
    async fn ask(&self, _: &Subject, ask: Ask) -> Result<RequestId, NotAsked> {
        panic!("{ask:?} was asked for")
    }
}

pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) interactions: Arc<Interactions>,
}

impl World {
    pub(crate) fn new() -> Self {
        let open = OpenDef {
            hosts: BTreeSet::from([HOST.to_owned()]),
            paths: BTreeSet::from(["/".to_owned()]),
            methods: BTreeSet::new(),
        };
        let clock = Arc::new(ManualClock::default());
        let settings = EnforcerSettings::default()
            .with_stale_after(Span::minutes(5))
            .unwrap();
        let enforcer = Arc::new(Enforcer::new(settings));
        enforcer.synced(clock.now());
        let known = ["alice", "bob"].map(|name| {
            (
                Digest::plain(format!("token-{name}").as_bytes()),
                format!("local|{name}").parse().unwrap(),
            )
        });
        let tokens = Arc::new(Tokens {
            known: ApiTokens::new(known).unwrap(),
            slow: false.into(),
            waiting: 0.into(),
            go: Notify::new(),
            peers: std::sync::Mutex::default(),
        });
        let budget = Arc::new(Budget(0.into()));
        let interactions = Arc::new(Interactions::with_places(16));
        let rules = RuleSet::compile(&[resource("admin"), resource("billing")], &[open]).unwrap();
        let gate = Gate::builder(rules, enforcer, tokens.clone(), Arc::new(Crowd), clock.clone())
            .with_reserve(budget.clone())
            .with_asking(Arc::new(Nobody))
            .with_hold(HoldSettings::default())
            .with_interactions(interactions.clone())
            .build();
        Self {
            gate,
            clock,
            tokens,
            budget,
            interactions,
        }
    }

    /// A grant for `who`, from a minute ago for so many seconds from now on.
    pub(crate) fn grant(&self, who: &str, name: &str, seconds: i64, change: impl FnOnce(&mut Request)) {
        let now = self.clock.now();
        let mut request = request(who, name, now, now + chrono::TimeDelta::seconds(seconds));
        change(&mut request);
        self.gate.enforcer().publish(1, &request);
    }

    /// With alice's grant for `/admin`.
    pub(crate) fn granted() -> Self {
        let world = Self::new();
        world.grant("alice", "admin", 100, |_| {});
        world
    }

    pub(crate) async fn serve(&self) -> Door {
        self.serve_with(settings()).await
    }

    pub(crate) async fn serve_with(&self, settings: AuthzSettings) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authz = Authz::new(self.gate.clone(), settings);
        let task = tokio::spawn(async move { authz.serve(listener).await });
        Door { address, task }
    }
}

pub(crate) fn settings() -> AuthzSettings {
    AuthzSettings::new(TrustedProxies::parse(["127.0.0.1"]).unwrap()).unwrap()
}

pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Door {
    /// Sends these bytes and reads to the end.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or("0");
        let headers = lines.filter_map(|line| line.split_once(": "));
        Answer {
            status: status.parse().unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    /// Sends one question to `path` with these fields.
    pub(crate) async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask_as("GET", path, fields).await
    }

    pub(crate) async fn ask_as(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !fields.iter().any(|(name, _)| *name == "host") {
            text.push_str("Host: auth.example.com\r\n");
        }
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        self.raw(format!("{text}\r\n").as_bytes()).await
    }
}

fn resource(name: &str) -> ResourceDef {
    ResourceDef {
        name: name.parse().unwrap(),
        hosts: BTreeSet::from([HOST.to_owned()]),
        paths: BTreeSet::from([format!("/{name}")]),
        methods: BTreeSet::new(),
        tags: BTreeSet::new(),
    }
}

fn request(who: &str, name: &str, from: Timestamp, to: Timestamp) -> Request {
    let holder: Principal = format!("local|{who}").parse().unwrap();
    let span = Span::minutes(1);
    let terms = Terms {
        policy: "for-sre".parse().unwrap(),
        requesters: People::default(),
        duration: DurationTerms {
            default: span,
            max: span,
            max_total: span,
        },
        pending_timeout: span,
        use_within: None,
        idle_timeout: None,
        cooldown: None,
        reason: ReasonTerms::default(),
        ticket: TicketTerms::default(),
        mfa: None,
        limits: LimitTerms::default(),
        stages: Vec::new(),
        automatic: AutomaticTerms {
            always: true,
            rules: Vec::new(),
        },
        break_glass: None,
    };
    let id = RequestId::from_u128(7);
    let grant = Grant {
        id: id.into(),
        holder: holder.clone(),
        person: who.parse().unwrap(),
        selector: Selector::Principal,
        policy: terms.policy.clone(),
        resource: resource(name),
        scope: Scope::default(),
        not_before: from,
        not_after: to,
        use_within: None,
        idle_timeout: None,
        max_requests: None,
        max_bytes: None,
        max_concurrent: None,
        mfa: None,
        extends: None,
    };
    Request {
        id,
        digest: Digest::ZERO,
        requester: Requester {
            principal: holder,
            person: who.parse().unwrap(),
            name: who.to_owned(),
        },
        ruling: Ruling {
            terms,
            resource: resource(name),
            scope: Scope::default(),
            duration: span,
            start: None,
            reason: String::new(),
            ticket: None,
            max_requests: None,
            max_bytes: None,
            selector: Selector::Principal,
            route: Route::Automatic { rule: None },
        },
        extends: None,
        extended_by: Vec::new(),
        approvers: Vec::new(),
        asked_at: from,
        stage_since: from,
        pending_until: to,
        state: State::Active,
        stage: 0,
        reviews: Vec::new(),
        grant: Some(grant),
        credential: None,
        end: None,
        break_glass: None,
        changed_at: from,
    }
}
