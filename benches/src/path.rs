//! The request path: one request with 50 header fields, sent again and again through a service that does nothing.
//!
//! The inner service puts the request aside, and the next round takes it from there: neither side pays for making one. What the gate
//! takes out of it (the credential) or puts into it (the permit) is put right again on both sides of a comparison.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Extensions, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use jit_core::broker::directory::{Directory, Person};
use jit_core::gate::authenticate::Subject;
use jit_core::gate::enforcer::{Answer, Caller};
use jit_core::gate::interactions::Interactions;
use jit_core::gate::permit::Permit;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::target::Target;
use jit_core::gate::{Gate, Verdict, hygiene};
use jit_core::memory::MemoryStore;
use jit_core::policy::terms::ResourceDef;
use jit_tower::{Jit, JitLayer};
use tower_layer::Layer;
use tower_service::Service;

use crate::draws::Turns;
use crate::house::{BoxError, Crowd, HOST, House, requester, subject, token};

/// How many draws there are before they come again: more than the processor's caches hold grants of.
const DRAWS: usize = 200_000;

/// How many header fields a request has.
pub const FIELDS: usize = 50;

/// How many records there is room for before somebody has to drain them.
pub const RECORDS: usize = 1 << 18;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are all there are")]
pub enum Case {
    /// The service alone.
    Bare,
    /// The service behind the layer: admitted.
    Layer,
    /// Reading the request alone: canonicalisation and header hygiene, the part of [`Gate::decide`] that knows nobody.
    Read,
    /// [`Gate::decide`] alone: admitted.
    Decide,
    /// The enforcer's check alone, of whoever has the name: admitted.
    Check,
    /// The check alone of a [`Caller`], who has asked before: admitted.
    Caller,
    /// Copies a request and hands it to the service: what [`Case::Refused`] is to be compared with.
    BareCopy,
    /// Behind the layer, a copy each: 403, for there is no grant.
    Refused,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Bare,
        Self::Layer,
        Self::Read,
        Self::Decide,
        Self::Check,
        Self::Caller,
        Self::BareCopy,
        Self::Refused,
    ];

    /// A name for tables and command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Layer => "layer",
            Self::Read => "read",
            Self::Decide => "decide",
            Self::Check => "check",
            Self::Caller => "caller",
            Self::BareCopy => "bare-copy",
            Self::Refused => "refused",
        }
    }

    /// The case of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }
}

/// Puts every request aside.
#[derive(Debug, Clone, Default)]
struct Aside(Rc<RefCell<Option<Request<()>>>>);

impl<B> Service<Request<B>> for Aside {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Empty<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.replace(Some(request.map(|_| ())));
        ready(Ok(Response::new(Empty::new())))
    }
}

/// Everything that the cases need, made ready: grants live, sessions verified.
#[derive(Debug)]
pub struct Road {
    house: House,
    gate: Gate,
    bare: Aside,
    jit: Jit<Aside, jit_tower::DefaultRefusal>,
    /// The credential of the one who always comes by.
    credential: HeaderValue,
    /// Who comes by, one after another.
    order: Vec<u32>,
    holders: u32,
    /// Someone with a session and without a grant.
    stranger: HeaderValue,
    subject: Subject,
    person: Person,
    resource: ResourceDef,
    rules: RuleSet,
    /// The one who always comes by.
    caller: Caller,
    turn: usize,
}

impl Road {
    /// `grants` are live, one for each holder; they come by as `turns` says.
    ///
    /// # Errors
    /// The broker's.
    pub async fn build(grants: usize, turns: Turns) -> Result<Self, BoxError> {
        let interactions = Arc::new(Interactions::with_places(RECORDS));
        let house = House::recording(Arc::new(MemoryStore::new()), interactions).await?;
        let request = house.ask(0).await?;
        let real = house.approve(&request).await?.request;
        house.crowd(&real, grants)?;
        let gate = house.gate(grants + 1)?;
        let bare = Aside::default();
        let jit = JitLayer::new(gate.clone()).layer(bare.clone());
        let holders = match turns {
            Turns::One => 1,
            _ => u32::try_from(grants)?,
        };
        let principal = requester(0)?;
        let now = house.broker.now();
        let person = Crowd.resolve(&principal, now).await?.ok_or("nobody")?;
        let subject = subject(principal);
        let enforcer = gate.enforcer();
        let mut road = Self {
            rules: house.rules()?.shared_by(enforcer),
            caller: Caller::new(Arc::clone(enforcer), subject.clone(), person.clone()),
            gate,
            jit,
            bare,
            credential: credential(0)?,
            order: turns.order(holders, DRAWS),
            holders,
            stranger: credential(u32::try_from(grants)?)?,
            subject,
            person,
            resource: real.ruling.resource.clone(),
            turn: 0,
            house,
        };
        road.refresh().await?;
        Ok(road)
    }

    /// Verifies everyone's credential again and tells the gate that its view is complete: both hold for a minute and more.
    ///
    /// # Errors
    /// When someone is not admitted who must be, or the other way round.
    pub async fn refresh(&mut self) -> Result<(), BoxError> {
        self.house.synced();
        self.gate.forget_sessions();
        // Not through the layer: that would record each of them.
        let (mut head, ()) = request().into_parts();
        for holder in 0..self.holders {
            head.headers.insert(AUTHORIZATION, credential(holder)?);
            let verdict = match self.gate.decide(&head, None) {
                Verdict::Lookup(lookup) => self.gate.resolve(&head, None, lookup).await,
                verdict => verdict,
            };
            if !matches!(verdict, Verdict::Admit(_)) {
                return Err("no permit".into());
            }
        }
        // What the rounds before have put aside.
        self.bare.0.take();
        let mut refused = request();
        refused.headers_mut().insert(AUTHORIZATION, self.stranger.clone());
        let response = self.jit.call(empty(refused)).await?;
        if response.status() != StatusCode::FORBIDDEN || self.bare.0.take().is_some() {
            return Err("a stranger was admitted".into());
        }
        let mut admitted = request();
        admitted
            .headers_mut()
            .insert(AUTHORIZATION, self.credential.clone());
        let response = self.jit.call(empty(admitted)).await?;
        let forwarded = self.bare.0.take().ok_or("not forwarded")?;
        if response.status() != StatusCode::OK || forwarded.extensions().get::<Permit>().is_none() {
            return Err("no permit".into());
        }
        self.bare.0.replace(Some(forwarded));
        Ok(())
    }

    /// Writes down what was recorded: to be called before [`RECORDS`] requests have come by, outside what is timed.
    ///
    /// # Errors
    /// The broker's, and if a record was lost: what was measured then was something else.
    pub async fn drain(&self) -> Result<(), BoxError> {
        self.house.broker.flush_interactions().await?;
        match self
            .house
            .interactions
            .as_ref()
            .map_or(0, |interactions| interactions.lost())
        {
            0 => Ok(()),
            lost => Err(format!("{lost} records were lost").into()),
        }
    }

    /// The gate.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Does `case` that often.
    ///
    /// # Panics
    /// When an answer is not what it must be: a session or the view ended meanwhile, and the number would be of something else.
    pub fn run(&mut self, case: Case, rounds: usize) {
        match case {
            Case::Bare | Case::Layer => self.recycled(case, rounds),
            Case::BareCopy | Case::Refused => self.copied(case, rounds),
            Case::Decide => self.each_head(rounds, |gate, head| {
                let verdict = black_box(gate.decide(head, None));
                assert!(matches!(verdict, Verdict::Admit(_)), "{verdict:?}");
                record(gate, &verdict, head);
            }),
            Case::Read => self.each_head(rounds, |_, head| {
                let read = (Target::read(head), hygiene::check(head));
                assert!(matches!(black_box(&read), (Ok(_), Ok(()))), "{read:?}");
            }),
            Case::Check => {
                let (head, ()) = request().into_parts();
                let target = Target::read(&head).expect("a good target");
                let now = self.house.broker.now();
                for _ in 0..rounds {
                    let enforcer = self.gate.enforcer();
                    let answer = enforcer.check(
                        black_box(&self.subject),
                        &self.person,
                        &self.resource,
                        &target,
                        &Method::GET,
                        now,
                    );
                    assert!(matches!(black_box(answer), Answer::Admit(_)));
                }
            }
            Case::Caller => {
                let (head, ()) = request().into_parts();
                let target = Target::read(&head).expect("a good target");
                let matched = self.rules.matched(&target, &Method::GET).expect("it is guarded");
                let now = self.house.broker.now();
                for _ in 0..rounds {
                    let answer = black_box(&mut self.caller).check(black_box(&matched), now);
                    assert!(matches!(black_box(answer), Answer::Admit(_)));
                }
            }
        }
    }

    fn each_head(&mut self, rounds: usize, work: impl Fn(&Gate, &Parts)) {
        let mut request = request();
        for _ in 0..rounds {
            let credential = self.next();
            request.headers_mut().insert(AUTHORIZATION, credential);
            let (head, ()) = request.into_parts();
            work(&self.gate, black_box(&head));
            request = Request::from_parts(head, ());
        }
    }

    /// The next one's credential. Of several it is made anew, as a server reads it anew for every request: it is in the processor's
    /// cache, and what it leads to is not.
    fn next(&mut self) -> HeaderValue {
        self.turn = (self.turn + 1) % self.order.len();
        match self.order[self.turn] {
            _ if self.order.len() == 1 => self.credential.clone(),
            holder => credential(holder).expect("a good token"),
        }
    }

    fn recycled(&mut self, case: Case, rounds: usize) {
        for _ in 0..rounds {
            let credential = self.next();
            let mut request = self.bare.0.take().expect("the request before was forwarded");
            request.headers_mut().insert(AUTHORIZATION, credential);
            // A server starts every request with none.
            *request.extensions_mut() = Extensions::new();
            let status = match case {
                Case::Bare => status(self.bare.call(empty(request))),
                _ => status(self.jit.call(empty(request))),
            };
            assert_eq!(status, StatusCode::OK);
        }
    }

    fn copied(&mut self, case: Case, rounds: usize) {
        let mut original = request();
        original
            .headers_mut()
            .insert(AUTHORIZATION, self.stranger.clone());
        for _ in 0..rounds {
            let copy = original.clone();
            match case {
                Case::BareCopy => assert_eq!(status(self.bare.call(empty(copy))), StatusCode::OK),
                _ => assert_eq!(status(self.jit.call(empty(copy))), StatusCode::FORBIDDEN),
            }
        }
    }
}

/// Records an admitted request, as a part of its way. The layer does so by itself when a request ends.
fn record(gate: &Gate, verdict: &Verdict, head: &Parts) {
    if let Verdict::Admit(admission) = verdict {
        gate.record_admitted(admission, head);
    }
}

fn credential(n: u32) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    HeaderValue::try_from(format!("Bearer {}", token(n as usize)))
}

/// The head of a request of the requester with this number.
///
/// # Panics
/// Never: it is a good request.
pub fn head(n: u32) -> Parts {
    let mut request = request();
    request
        .headers_mut()
        .insert(AUTHORIZATION, credential(n).expect("a good token"));
    request.into_parts().0
}

/// The request, with a body that is at its end.
fn empty(request: Request<()>) -> Request<Empty<Bytes>> {
    request.map(|()| Empty::new())
}

/// What an answer that is there at once says.
fn status<B>(answer: impl Future<Output = Result<Response<B>, Infallible>>) -> StatusCode {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => black_box(response).status(),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => panic!("a look-up was needed"),
    }
}

/// A request as a browser with much luggage sends it, without a credential.
fn request() -> Request<()> {
    let fields = [
        ("host", HOST),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        (
            "cookie",
            "theme=dark; lang=en; consent=yes; _ga=GA1.2.1234567890.1700000000; last=/admin/queues",
        ),
        ("referer", "https://app.example.com/admin/queues"),
        ("cache-control", "no-cache"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
        ("x-request-id", "018f5c6e-7e0a-7c1b-b6a5-3f1d2c4b5a69"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    let mut request = Request::builder().uri("/admin/queues/importer?page=2");
    for (name, value) in fields {
        request = request.header(name, value);
    }
    // One more comes with the credential.
    for n in fields.len()..FIELDS - 1 {
        let kind = if n % 2 == 0 { "x-app" } else { "app" };
        request = request.header(format!("{kind}-context-{n}"), format!("value-{n:020}"));
    }
    request.body(()).expect("a good request")
}
