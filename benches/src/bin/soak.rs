//! A crowd at the layer while its grants are made, released, revoked and run out, checked against an oracle.
//!
//! Run with `cargo run --profile bench -p benches --bin soak -- --minutes 10`. It ends with status 1 if a request was admitted that had no
//! grant from before it began until after it was answered, or refused although it had one, if a stream went on after its grant, or if memory
//! or file descriptors grew. The store is SQLite, in a folder of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use benches::house::{BoxError, Crowd, HOST, requester, subject, token};
use benches::timing::{Stopwatch, percentile};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use jit_core::approval::ask::{Actor, Ask};
use jit_core::approval::person::Limits;
use jit_core::approval::state::State;
use jit_core::broker::Broker;
use jit_core::clock::{Clock, SystemClock};
use jit_core::gate::Gate;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::id::{Digest, Principal, RequestId, Timestamp};
use jit_core::policy::{Format, Policy};
use jit_core::span::Span;
use jit_store_sqlite::SqliteStore;
use jit_tower::{JitLayer, RequestBody};
use tokio::task::JoinSet;
use tower_layer::Layer as _;
use tower_service::Service;

const USERS: usize = 200;
/// Tasks that send requests, and tasks that hold a stream open.
const SENDERS: usize = 4;
const STREAMS: usize = 200;
/// Those who make grants and take them back.
const MAKERS: usize = 4;
/// How many others ask once before it begins, and how many of them at a time. Each writes two streams: the store's writer remembers 65,536,
/// and forgets all when it is full. Memory is compared from then on.
const BEFORE: usize = 33_000;
const BEFORE_AT_ONCE: usize = 64;
/// How late a stream may be cut on a machine whose processors are all busy.
const LATE_MAX: Duration = Duration::from_millis(500);
/// How much memory may grow between the second quarter of the time and the last one: allocators and caches settle.
const GROWTH_MAX: f64 = 1.15;

const POLICY: &str = r#"
[control]
revokers = ["sre-lead"]

[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]

[[policies]]
name = "admin-for-sre"
resources = ["admin"]
requesters = { roles = ["sre"] }
duration = { default = "2s", max = "5s" }
approval = "automatic"
"#;

/// What is known of one user's grant.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// There is none.
    Off,
    /// Something is being changed, and nothing is known.
    Changing,
    /// There is one, until then.
    Until(Timestamp),
}

struct Oracle {
    /// Each user's state, and how often it changed.
    users: Vec<Mutex<(u64, Known)>>,
}

impl Oracle {
    fn read(&self, user: usize) -> (u64, Known) {
        *self.users[user].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, user: usize, known: Known) {
        let mut state = self.users[user].lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0 + 1, known);
    }
}

#[derive(Default)]
struct Counts {
    admitted: AtomicU64,
    refused: AtomicU64,
    undecided: AtomicU64,
    made: AtomicU64,
    taken: AtomicU64,
    ran_out: AtomicU64,
    cut: AtomicU64,
    wrong: AtomicU64,
    over: AtomicBool,
}

impl Counts {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn wrong(&self, what: &str) {
        Self::add(&self.wrong);
        eprintln!("WRONG: {what}");
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

struct World {
    broker: Broker,
    gate: Gate,
    clock: Arc<SystemClock>,
    oracle: Oracle,
    counts: Counts,
    lateness: Mutex<Vec<f64>>,
}

/// Answers at once, but for `/admin/stream`: that never ends.
#[derive(Debug, Clone)]
struct Application;

#[derive(Debug)]
struct Endless(bool);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0 { Poll::Pending } else { Poll::Ready(None) }
    }
}

impl Service<Request<RequestBody<Empty<Bytes>>>> for Application {
    type Response = Response<Endless>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Endless>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Empty<Bytes>>>) -> Self::Future {
        std::future::ready(Ok(Response::new(Endless(
            request.uri().path() == "/admin/stream",
        ))))
    }
}

fn request(user: usize, path: &str) -> Result<Request<Empty<Bytes>>, BoxError> {
    let request = Request::get(path)
        .header("host", HOST)
        .header("authorization", format!("Bearer {}", token(user)));
    Ok(request.body(Empty::new())?)
}

/// A number below `most`, from a small generator: which one it is decides nothing.
fn below(seed: &mut u64, most: usize) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 16).unwrap_or(0) % most
}

async fn make(world: Arc<World>, maker: usize) -> Result<(), BoxError> {
    let mut seed = 0x9e37_79b9_7f4a_7c15 ^ (maker as u64 + 1);
    let lead = world
        .broker
        .identify(&subject(Principal::new("bench", "lead")?))
        .await?;
    let mut live: Vec<Option<RequestId>> = vec![None; USERS];
    while !world.counts.is_over() {
        let user = below(&mut seed, USERS / MAKERS) * MAKERS + maker;
        let actor = world.broker.identify(&subject(requester(user)?)).await?;
        match (world.oracle.read(user).1, live[user]) {
            (Known::Until(end), Some(_)) if world.clock.now() >= end => {
                live[user] = None;
                Counts::add(&world.counts.ran_out);
                world.oracle.set(user, Known::Off);
            }
            (Known::Until(_), Some(id)) if below(&mut seed, 4) == 0 => {
                world.oracle.set(user, Known::Changing);
                let taken = if below(&mut seed, 2) == 0 {
                    world.broker.release(&actor, id, "").await
                } else {
                    world.broker.revoke(&lead, id, "a drill").await
                };
                // One that ended by itself meanwhile is off just the same.
                if taken.is_ok() {
                    Counts::add(&world.counts.taken);
                }
                live[user] = None;
                world.oracle.set(user, Known::Off);
            }
            (Known::Off, _) => {
                world.oracle.set(user, Known::Changing);
                live[user] = ask(&world, &actor, user).await?;
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Fills what the store remembers.
async fn fill(world: &Arc<World>) -> Result<(), BoxError> {
    let mut asking: JoinSet<Result<(), BoxError>> = JoinSet::new();
    for n in USERS..USERS + BEFORE {
        if asking.len() == BEFORE_AT_ONCE
            && let Some(done) = asking.join_next().await
        {
            done??;
        }
        let world = world.clone();
        asking.spawn(async move {
            let actor = world.broker.identify(&subject(requester(n)?)).await?;
            world.broker.ask(&actor, wanted()?, None).await?;
            Ok(())
        });
    }
    while let Some(done) = asking.join_next().await {
        done??;
    }
    Ok(())
}

fn wanted() -> Result<Ask, BoxError> {
    let ask = serde_json::json!({ "resource": "admin", "reason": "soak" });
    Ok(serde_json::from_value(ask)?)
}

async fn ask(world: &World, actor: &Actor, user: usize) -> Result<Option<RequestId>, BoxError> {
    let asked = world.broker.ask(actor, wanted()?, None).await?.view.request;
    let grant = asked.grant.as_ref().filter(|_| asked.state == State::Active);
    let grant = grant.ok_or_else(|| format!("asked for a grant and got {}", asked.state))?;
    Counts::add(&world.counts.made);
    world.oracle.set(user, Known::Until(grant.not_after));
    Ok(Some(asked.id))
}

async fn send(world: Arc<World>, sender: usize) -> Result<(), BoxError> {
    let mut seed = 0x1234_5678_9abc_def1 ^ (sender as u64 + 1);
    let mut service = JitLayer::new(world.gate.clone()).layer(Application);
    while !world.counts.is_over() {
        for _ in 0..64 {
            let user = below(&mut seed, USERS);
            let request = request(user, "/admin/users")?;
            let (before, began) = (world.oracle.read(user), world.clock.now());
            let status = service.call(request).await?.status();
            let (after, ended) = (world.oracle.read(user), world.clock.now());
            let counts = &world.counts;
            Counts::add(if status == StatusCode::OK {
                &counts.admitted
            } else {
                &counts.refused
            });
            match (before.1, status) {
                _ if before.0 != after.0 => Counts::add(&counts.undecided),
                (Known::Off, StatusCode::OK) => counts.wrong("admitted without a grant"),
                (Known::Until(end), StatusCode::OK) if began >= end => counts.wrong("admitted after the end"),
                (Known::Until(end), StatusCode::FORBIDDEN) if ended < end => {
                    counts.wrong("refused under a live grant");
                }
                (_, StatusCode::OK | StatusCode::FORBIDDEN) => {}
                (_, other) => counts.wrong(&format!("answered {other}")),
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn stream(world: Arc<World>, n: usize) -> Result<(), BoxError> {
    let mut service = JitLayer::new(world.gate.clone()).layer(Application);
    while !world.counts.is_over() {
        let response = service.call(request(n % USERS, "/admin/stream")?).await?;
        if response.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let mut body = response.into_body();
        let end = async {
            match body.frame().await {
                Some(Err(_)) => true,
                other => {
                    world.counts.wrong(&format!("a stream came to {other:?}"));
                    false
                }
            }
        };
        // A grant lasts 5 s at most.
        match tokio::time::timeout(Duration::from_secs(6), end).await {
            Ok(true) => Counts::add(&world.counts.cut),
            Ok(false) => {}
            Err(_) => world.counts.wrong("a stream goes on after its grant"),
        }
        // Where the end was its window's, how late it came is known.
        if let Known::Until(end) = world.oracle.read(n % USERS).1 {
            let late = world.clock.now().signed_duration_since(end);
            if let Ok(late) = late.to_std() {
                let mut lateness = world.lateness.lock().unwrap_or_else(PoisonError::into_inner);
                lateness.push(late.as_secs_f64() * 1e3);
                if late > LATE_MAX {
                    drop(lateness);
                    world.counts.wrong(&format!("a stream was cut {late:?} late"));
                }
            }
        }
    }
    Ok(())
}

/// Resident memory in KiB (proc(5), `statm`, pages of 4 KiB), and open file descriptors.
fn footprint() -> Result<(f64, usize), BoxError> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = statm
        .split_whitespace()
        .nth(1)
        .ok_or("statm has another form")?
        .parse()?;
    Ok((pages * 4.0, std::fs::read_dir("/proc/self/fd")?.count()))
}

async fn world(db: &std::path::Path) -> Result<Arc<World>, BoxError> {
    let clock = Arc::new(SystemClock::new());
    let policy = Policy::parse(POLICY, Format::Toml, "soak.toml")?;
    let rules = RuleSet::compile(policy.resources(), policy.open())?;
    let mut limits = Limits::default();
    (limits.per_minute, limits.burst) = (u32::MAX, u32::MAX);
    limits.cooldown = Span::seconds(1)?;
    let broker = Broker::builder(Arc::new(SqliteStore::open(db).await?), Arc::new(Crowd), policy)
        .clock(clock.clone())
        .limits(limits)
        .build()
        .await?;
    let mut tokens = Vec::new();
    for n in 0..USERS {
        tokens.push((Digest::plain(token(n).as_bytes()), requester(n)?));
    }
    let gate = Gate::builder(
        rules,
        broker.enforcer().clone(),
        Arc::new(ApiTokens::new(tokens)?),
        Arc::new(Crowd),
        clock.clone(),
    );
    Ok(Arc::new(World {
        broker,
        gate: gate.build(),
        clock,
        oracle: Oracle {
            users: (0..USERS).map(|_| Mutex::new((0, Known::Off))).collect(),
        },
        counts: Counts::default(),
        lateness: Mutex::default(),
    }))
}

fn minutes() -> Result<f64, BoxError> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (None, None) => Ok(1.0),
        (Some("--minutes"), Some(minutes)) => Ok(minutes.parse()?),
        _ => Err("usage: soak [--minutes N]".into()),
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<ExitCode, BoxError> {
    let seconds = minutes()? * 60.0;
    let folder = tempfile::tempdir()?;
    let world = world(&folder.path().join("soak.db")).await?;
    let running = world.broker.clone();
    let loops = tokio::spawn(async move { running.run().await });
    fill(&world).await?;
    let mut tasks = JoinSet::new();
    for n in 0..MAKERS {
        tasks.spawn(make(world.clone(), n));
    }
    for n in 0..SENDERS {
        tasks.spawn(send(world.clone(), n));
    }
    for n in 0..STREAMS {
        tasks.spawn(stream(world.clone(), n));
    }
    let watch = Stopwatch::start();
    let mut footprints = Vec::new();
    while watch.elapsed().as_secs_f64() < seconds {
        tokio::time::sleep(Duration::from_secs_f64((seconds / 60.0).min(5.0))).await;
        footprints.push(footprint()?);
        if let Some(done) = tasks.try_join_next() {
            done??;
        }
    }
    world.counts.over.store(true, Ordering::Relaxed);
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    loops.abort();
    Ok(report(&world, &footprints))
}

fn report(world: &World, footprints: &[(f64, usize)]) -> ExitCode {
    let counts = &world.counts;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} requests admitted, {} refused, {} of them while something changed; {} wrong",
        read(&counts.admitted),
        read(&counts.refused),
        read(&counts.undecided),
        read(&counts.wrong)
    );
    println!(
        "{} grants made, {} taken back, {} ran out; {} streams cut",
        read(&counts.made),
        read(&counts.taken),
        read(&counts.ran_out),
        read(&counts.cut)
    );
    let mut lateness = world.lateness.lock().unwrap_or_else(PoisonError::into_inner);
    println!(
        "streams whose grant ran out: cut p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms late",
        percentile(&mut lateness, 50),
        percentile(&mut lateness, 99),
        percentile(&mut lateness, 100)
    );
    let quarter = footprints.len() / 4;
    let most = |part: &[(f64, usize)]| {
        let memory = part.iter().map(|(memory, _)| *memory).fold(0.0, f64::max);
        (
            memory,
            part.iter().map(|(_, files)| *files).max().unwrap_or_default(),
        )
    };
    let (early, late) = (
        most(footprints.get(quarter..2 * quarter).unwrap_or_default()),
        most(footprints.get(3 * quarter..).unwrap_or_default()),
    );
    println!(
        "memory {:.1} MiB in the second quarter, {:.1} MiB in the last; descriptors {} and {}",
        early.0 / 1024.0,
        late.0 / 1024.0,
        early.1,
        late.1
    );
    let flat = late.0 <= early.0 * GROWTH_MAX && late.1 <= early.1 + 5;
    if !flat {
        println!("it grows");
    }
    if read(&counts.wrong) == 0 && flat && read(&counts.admitted) > 0 && read(&counts.cut) > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
