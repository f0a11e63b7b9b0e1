//! `cargo xtask crash`: kills the quickstart at random moments and checks that nothing it had acknowledged is lost.
//!
//! Eight clients ask, approve, withdraw and revoke over HTTP without a pause, and keep what they were answered, here, in another process
//! than the server's. The server is killed with SIGKILL while they do, started again on the same file, and asked for everything:
//! - the audit log goes on from where the last check ended, and its chain holds;
//! - every acknowledged asking exists, every acknowledged approval, withdrawal and revocation stands;
//! - nothing was granted without an approval by somebody else;
//! - folding each request's events gives the state that the server shows.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use jit_core::approval::audit::{self, Tail};
use jit_core::approval::event::Event;
use jit_core::approval::fold;
use jit_core::approval::request::Request;
use jit_core::approval::review::Decision;
use jit_core::approval::state::State;
use jit_core::broker::store::{Record, StreamId};
use jit_core::id::RequestId;
use serde_json::{Value, json};

use crate::Result;
use crate::args::Args;
use crate::http::call;
use crate::workspace::{Workspace, cargo, stopwatch};

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "crash",
    usage: "[--cycles N] [--seed S]",
    about: "Kills the quickstart N times (50) under load and checks that nothing it acknowledged is lost.",
    in_test: Some(&["--cycles", "50"]),
    run,
};

const CLIENTS: usize = 8;
/// Requesters for each client: the pace limit is for each person, so that many are needed to keep a client busy.
const PEOPLE_EACH: usize = 100;
/// Reviewers for each client, likewise.
const LEADS_EACH: usize = 10;

/// What the clients were answered.
#[derive(Debug, Default)]
struct Acknowledged {
    /// The last thing that was answered about each request.
    requests: BTreeMap<RequestId, Answered>,
    approvals: usize,
    answers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    Asked,
    Approved,
    Withdrawn,
    Revoked,
}

/// What has been read back and checked so far.
struct Story {
    tail: Tail,
    requests: BTreeMap<RequestId, Request>,
    approved_by_others: BTreeMap<RequestId, bool>,
}

fn run(mut args: Args) -> Result<ExitCode> {
    let cycles = args.value::<u32>("--cycles")?.unwrap_or(50);
    let seed = args
        .value::<u64>("--seed")?
        .unwrap_or_else(|| u64::from(std::process::id()));
    args.finish()?;
    let workspace = Workspace::load()?;
    let built = cargo()
        .args(["build", "--quiet", "-p", "quickstart"])
        .current_dir(&workspace.root)
        .status()?;
    if !built.success() {
        return Err("the quickstart did not build".into());
    }
    let folder = workspace.target.join("crash");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("people.toml"), people())?;
    let binary = workspace.target.join("debug").join("quickstart");

    println!("crash: {cycles} cycles, {CLIENTS} clients, seed {seed}");
    let time = stopwatch();
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    let mut story = Story {
        tail: Tail::START,
        requests: BTreeMap::new(),
        approved_by_others: BTreeMap::new(),
    };
    let mut dice = Dice(seed | 1);
    for cycle in 1..=cycles {
        let mut server = Server::start(&binary, &folder)?;
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (stop, acknowledged, at) = (Arc::clone(&stop), Arc::clone(&acknowledged), server.at);
                let dice = Dice(dice.roll() | 1);
                thread::spawn(move || client(n, cycle, at, dice, &stop, &acknowledged))
            })
            .collect();
        thread::sleep(Duration::from_micros(20_000 + dice.roll() % 280_000));
        server.kill()?;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| "a client panicked")?;
        }
        let server = Server::start(&binary, &folder)?;
        let acknowledged = acknowledged.lock().map_err(|_| "a client panicked")?;
        story
            .read(server.at)
            .map_err(|problem| format!("cycle {cycle}, seed {seed}: {problem}"))?;
        story
            .check(&acknowledged, server.at)
            .map_err(|problem| format!("cycle {cycle}, seed {seed}: {problem}"))?;
    }
    let acknowledged = acknowledged.lock().map_err(|_| "a client panicked")?;
    println!(
        "crash: {cycles} kills in {:.0} s, {} answers kept ({} askings, {} approvals), {} records verified each time, nothing lost",
        time.elapsed().as_secs_f64(),
        acknowledged.answers,
        acknowledged.requests.len(),
        acknowledged.approvals,
        story.tail.position,
    );
    if acknowledged.approvals < cycles as usize {
        return Err("too few approvals were acknowledged for the kills to have hit any".into());
    }
    Ok(ExitCode::SUCCESS)
}

/// One client: asks as one of its people, and mostly has it approved; sometimes withdraws or revokes.
fn client(
    n: usize,
    cycle: u32,
    at: SocketAddr,
    mut dice: Dice,
    stop: &AtomicBool,
    kept: &Mutex<Acknowledged>,
) {
    let mut turn = cycle as usize * 7;
    let keep = |id: RequestId, answered: Answered| {
        if let Ok(mut kept) = kept.lock() {
            kept.requests.insert(id, answered);
            kept.answers += 1;
            kept.approvals += usize::from(answered == Answered::Approved);
        }
    };
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let who = format!("demo-asker-{n}-{}", turn % PEOPLE_EACH);
        let lead = format!("demo-lead-{n}-{}", turn % LEADS_EACH);
        let asking = json!({ "resource": "admin", "reason": format!("cycle {cycle}") });
        let Some((201, request)) = call(at, "POST", "/_jit/v1/requests", &who, Some(&asking)) else {
            continue;
        };
        let (Some(id), Some(digest)) = (request["id"].as_str(), request["digest"].as_str()) else {
            continue;
        };
        let Ok(parsed) = id.parse::<RequestId>() else {
            continue;
        };
        keep(parsed, Answered::Asked);
        let path = |verb: &str| format!("/_jit/v1/requests/{id}/{verb}");
        let reason = json!({ "reason": "done" });
        if dice.roll().is_multiple_of(5) {
            if let Some((200, _)) = call(at, "POST", &path("withdraw"), &who, Some(&reason)) {
                keep(parsed, Answered::Withdrawn);
            }
            continue;
        }
        let review = json!({ "decision": "approve", "digest": digest });
        let Some((200, _)) = call(at, "POST", &path("review"), &lead, Some(&review)) else {
            continue;
        };
        keep(parsed, Answered::Approved);
        if let Some((200, _)) = call(at, "POST", &path("revoke"), &lead, Some(&reason)) {
            keep(parsed, Answered::Revoked);
        }
    }
}

impl Story {
    /// Reads the log from where the last check ended: it must go on from there.
    fn read(&mut self, at: SocketAddr) -> std::result::Result<(), String> {
        loop {
            let path = format!("/_jit/v1/events?after={}&limit=1000", self.tail.position);
            let Some((200, page)) = call(at, "GET", &path, "demo-carol", None) else {
                return Err("the log can't be read".to_owned());
            };
            let items = page["items"].as_array().cloned().unwrap_or_default();
            if items.is_empty() {
                return Ok(());
            }
            let records: Vec<Record> = items.iter().map(record).collect::<std::result::Result<_, _>>()?;
            self.tail = audit::verify(self.tail, &records).map_err(|broken| broken.to_string())?;
            for record in &records {
                self.take(record)?;
            }
        }
    }

    fn take(&mut self, record: &Record) -> std::result::Result<(), String> {
        let StreamId::Request(id) = record.stream else {
            return Ok(());
        };
        let event: Event = serde_json::from_str(&record.body).map_err(|error| error.to_string())?;
        let before = self.requests.remove(&id);
        if let (Event::Reviewed { review }, Some(before)) = (&event, &before) {
            let other = review.person != before.requester.person && review.decision == Decision::Approve;
            self.approved_by_others.insert(id, other);
        }
        if matches!(event, Event::Approved { .. }) && self.approved_by_others.get(&id) != Some(&true) {
            return Err(format!("{id} was granted without an approval"));
        }
        let after = fold(before, &event, record.at).map_err(|misfit| format!("{id}: {misfit}"))?;
        self.requests.insert(id, after);
        Ok(())
    }

    /// Holds what was acknowledged against what there is.
    fn check(&self, acknowledged: &Acknowledged, at: SocketAddr) -> std::result::Result<(), String> {
        for (id, answered) in &acknowledged.requests {
            let request = self
                .requests
                .get(id)
                .ok_or_else(|| format!("{id} was acknowledged and is gone"))?;
            let stands = match answered {
                Answered::Asked => true,
                Answered::Approved => request.grant.is_some(),
                Answered::Withdrawn => request.state == State::Withdrawn,
                Answered::Revoked => request.state == State::Revoked,
            };
            if !stands {
                return Err(format!(
                    "{id} was acknowledged as {answered:?} and is {}",
                    request.state
                ));
            }
        }
        let Some((200, grants)) = call(at, "GET", "/_jit/v1/grants", "demo-carol", None) else {
            return Err("the grants can't be read".to_owned());
        };
        for grant in grants["items"].as_array().into_iter().flatten() {
            let id: RequestId = grant["request_id"]
                .as_str()
                .and_then(|id| id.parse().ok())
                .ok_or_else(|| format!("a grant without a request: {grant}"))?;
            let known = self
                .requests
                .get(&id)
                .is_some_and(|request| request.state == State::Active);
            if !known {
                return Err(format!("{id} is live and the log does not say so"));
            }
        }
        Ok(())
    }
}

/// A record, as the API shows it.
fn record(item: &Value) -> std::result::Result<Record, String> {
    let mut fields = serde_json::Map::new();
    for key in ["position", "stream", "version", "at", "body", "previous", "hash"] {
        fields.insert(key.to_owned(), item[key].clone());
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| format!("{error}: {item}"))
}

struct Server {
    child: Child,
    /// Kept open: a server whose output nobody takes would stop on it.
    _stdout: BufReader<ChildStdout>,
    at: SocketAddr,
}

impl Server {
    fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let people: PathBuf = folder.join("people.toml");
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0", "--db"])
            .arg(folder.join("crash.db"))
            .arg("--people")
            .arg(people)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        stdout.read_line(&mut line)?;
        let at = line
            .trim()
            .rsplit("http://")
            .next()
            .and_then(|at| at.parse().ok());
        let server = Self {
            child,
            _stdout: stdout,
            at: at.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        if server.at.port() == 0 {
            return Err(format!("the quickstart did not start: {line:?}").into());
        }
        Ok(server)
    }

    /// `Child::kill` is SIGKILL.
    fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

fn people() -> String {
    let person = |name: &str, roles: &str| {
        format!(
            "[[people]]\nname = \"{name}\"\nprincipals = [\"crash|{name}\"]\nroles = [{roles}]\ntoken = \"demo-{name}\"\n\n"
        )
    };
    let mut all = person("carol", r#""auditor", "security""#);
    for n in 0..CLIENTS {
        for m in 0..LEADS_EACH {
            all += &person(&format!("lead-{n}-{m}"), r#""sre-lead""#);
        }
        for m in 0..PEOPLE_EACH {
            all += &person(&format!("asker-{n}-{m}"), r#""sre""#);
        }
    }
    all
}

/// xorshift64*: the same kills from the same seed, as far as the machine allows.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }
}
