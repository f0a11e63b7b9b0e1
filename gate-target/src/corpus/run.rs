//! Sending rows, and the report of what came back.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::grade::{Got, Grade};
use super::reply::{Reply, read_replies, requests};
use super::row::{FORWARD_AUTH, Row};
use crate::door::{Door, Target};
use crate::house::Grants;

/// Most bytes of an answer that are read.
const ANSWER_MAX: usize = 1024 * 1024;

/// Where and how rows are sent.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever sends rows elsewhere says all of it"
)]
pub struct Wire {
    /// The server.
    pub address: SocketAddr,
    /// What `{{TOKEN}}` stands for.
    pub token: String,
    /// What `{{FWD}}` stands for. With it only the rows of the group `fwdauth` are sent; without it, all others.
    pub forward: Option<String>,
    /// How long to wait for an answer, and for the connection to end.
    pub wait: Duration,
    /// How many rows at once.
    pub at_once: usize,
}

impl Wire {
    /// With the wait that the corpus is made for, 0.7 s, and 32 rows at once.
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self {
            address,
            token: token.to_owned(),
            forward: None,
            wait: Duration::from_millis(700),
            at_once: 32,
        }
    }

    fn sends(&self, row: &Row) -> bool {
        (row.group == FORWARD_AUTH) == self.forward.is_some()
    }

    fn bytes(&self, row: &Row) -> Vec<u8> {
        let forward = self.forward.as_deref().unwrap_or_default();
        let text = row
            .raw
            .replace("{{TOKEN}}", &self.token)
            .replace("{{FWD}}", forward);
        // Every character is below 256: `parse` has seen to it, and token and path are ASCII.
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
            .collect()
    }
}

/// What came of one row.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The row.
    pub row: Row,
    /// The final responses, in order.
    pub replies: Vec<Reply>,
    /// What the last request came to.
    pub got: Got,
    /// How good that is.
    pub grade: Grade,
    /// Whether a request reached the protected handler while nobody held a grant for it.
    pub leaked: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Soft => "soft",
            Grade::Hard => "HARD",
        };
        let Row {
            id,
            grant,
            expect,
            why,
            ..
        } = &self.row;
        write!(
            f,
            "{grade} {id} (grant {grant}): expected {expect}, got {} ({why})",
            self.got
        )
    }
}

/// Sends those of `rows` that the wire is for, each on a connection of its own, and grades the answers. The house behind the address
/// must hold the grant of each row. Outcomes are in the order of the rows.
///
/// # Errors
/// None of a row: whatever happens to it is its outcome. Connecting is not one of these; a server that can't be reached is an error.
pub async fn run(rows: &[Row], wire: &Wire) -> std::io::Result<Vec<Outcome>> {
    let sent = rows.iter().filter(|row| wire.sends(row)).enumerate();
    let sending = sent.map(async |(place, row)| (place, send(row, wire).await));
    let sending = futures_util::stream::iter(sending).buffer_unordered(wire.at_once.max(1));
    let mut outcomes: Vec<_> = sending.collect().await;
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

async fn send(row: &Row, wire: &Wire) -> std::io::Result<Outcome> {
    let bytes = wire.bytes(row);
    let answer = exchange(&bytes, wire).await?;
    let methods = requests(&bytes);
    let replies = read_replies(&answer, &methods);
    let answer_of = |reply: &&Reply| Got::of(Some(*reply));
    // An answer to a request that nobody sent counts if a handler gave it.
    let smuggled = replies
        .iter()
        .skip(methods.len())
        .find(|reply| matches!(answer_of(reply), Got::Admin | Got::Public));
    // A request that was never answered got nothing.
    let got = Got::of(smuggled.or_else(|| replies.get(methods.len().max(1) - 1)));
    // Where nobody holds the protected path, no request of the row may reach it.
    let nobody = matches!(row.grant, Grants::None | Grants::Expired | Grants::OtherUser);
    let admin = nobody && replies.iter().any(|reply| answer_of(&reply) == Got::Admin);
    let grade = Grade::of(row.expect, got, admin, row.group == "baseline");
    Ok(Outcome {
        row: row.clone(),
        replies,
        got,
        grade,
        leaked: admin,
    })
}

/// Sends all of it at once, without closing its half, and reads until the end or until the wait is over.
async fn exchange(bytes: &[u8], wire: &Wire) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(wire.address).await?;
    let mut answer = Vec::new();
    let talk = async {
        // A server may have answered and gone before it has read everything; what it said still counts.
        let _ = stream.write_all(bytes).await;
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            answer.extend_from_slice(piece.get(..read).unwrap_or_default());
            if answer.len() > ANSWER_MAX {
                return;
            }
        }
    };
    // The end of the wait is an end like any other.
    let _ = tokio::time::timeout(wire.wait, talk).await;
    Ok(answer)
}

/// The grades of one group, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// As expected.
    pub ok: usize,
    /// Refused, but not as expected.
    pub soft: usize,
    /// Wrong.
    pub hard: usize,
}

impl Tally {
    fn count(&mut self, grade: Grade) {
        match grade {
            Grade::Ok => self.ok += 1,
            Grade::Soft => self.soft += 1,
            Grade::Hard => self.hard += 1,
        }
    }
}

/// All outcomes, to be printed: what is not ok, then each group, then the sum.
#[derive(Debug, Clone, Default)]
pub struct Report {
    outcomes: Vec<Outcome>,
    skipped: BTreeMap<(String, &'static str), usize>,
}

impl Report {
    /// Takes outcomes in.
    pub fn add(&mut self, outcomes: Vec<Outcome>) {
        self.outcomes.extend(outcomes);
    }

    /// Counts a row that was not sent, and why.
    pub fn skip(&mut self, row: &Row, why: &'static str) {
        *self.skipped.entry((row.group.clone(), why)).or_default() += 1;
    }

    /// The outcomes.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The sum over all groups.
    pub fn tally(&self) -> Tally {
        self.groups()
            .into_values()
            .fold(Tally::default(), |sum, group| Tally {
                ok: sum.ok + group.ok,
                soft: sum.soft + group.soft,
                hard: sum.hard + group.hard,
            })
    }

    /// How many rows got in where nobody holds a grant: what counts for a product that mends requests before it asks about them.
    pub fn leaks(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.leaked).count()
    }

    /// The grades of each group.
    pub fn groups(&self) -> BTreeMap<&str, Tally> {
        let mut groups: BTreeMap<&str, Tally> = BTreeMap::new();
        for outcome in &self.outcomes {
            groups.entry(&outcome.row.group).or_default().count(outcome.grade);
        }
        groups
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for grade in [Grade::Soft, Grade::Hard] {
            for outcome in self.outcomes.iter().filter(|outcome| outcome.grade == grade) {
                writeln!(f, "{outcome}")?;
            }
        }
        for ((group, why), count) in &self.skipped {
            writeln!(f, "{group}: {count} skipped, {why}")?;
        }
        for (group, Tally { ok, soft, hard }) in self.groups() {
            writeln!(f, "{group}: {ok} ok, {soft} soft, {hard} hard")?;
        }
        let Tally { ok, soft, hard } = self.tally();
        write!(
            f,
            "{} rows: {ok} ok, {soft} soft, {hard} hard, {} leaked",
            ok + soft + hard,
            self.leaks()
        )
    }
}

impl Report {
    /// Sends all rows of `rows` whose grants are wanted through doors of their own, one house for each kind of grant.
    ///
    /// # Errors
    /// The door's, or that it can't be reached.
    pub async fn of_door(
        door: Door,
        rows: &[Row],
        grants: &[Grants],
        wait: Duration,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut report = Self::default();
        for row in rows {
            if !grants.contains(&row.grant) {
                report.skip(row, "another grant");
            } else if door.is_inline() && row.group == FORWARD_AUTH {
                report.skip(row, "only for the door authz");
            } else if !door.is_inline() && row.group != FORWARD_AUTH {
                report.skip(row, "not for the door authz");
            } else if let Some(why) = door.excuse(&row.id) {
                report.skip(row, why);
            }
        }
        let kinds = grants.iter().map(async |kind| {
            let wanted: Vec<_> = rows
                .iter()
                .filter(|row| row.grant == *kind && door.excuse(&row.id).is_none())
                .cloned()
                .collect();
            if wanted.is_empty() {
                return Ok(Vec::new());
            }
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let target = Target::start(door, *kind, listen).await?;
            let mut wire = Wire::new(target.address(), target.token());
            wire.wait = wait;
            wire.forward = door.endpoint().map(str::to_owned);
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(run(&wanted, &wire).await?)
        });
        for outcomes in futures_util::future::join_all(kinds).await {
            report.add(outcomes?);
        }
        Ok(report)
    }
}
