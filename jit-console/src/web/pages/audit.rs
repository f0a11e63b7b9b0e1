//! The audit log for people: page by page in sentences, one access from its beginning to its end, and all of it as it is chained.

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::stream;
use jit_core::approval::refused::Refused;
use jit_core::broker::store::{PAGE_MAX, Position, Record, StreamId};
use jit_core::broker::{Rejection, View};
use jit_core::id::{RequestId, Timestamp};
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::chronicle::{Teller, Told};
use super::form::filled;
use super::grants::Deed;
use super::words::{self, encoded};
use crate::extract::{Id, Params, position};
use crate::problem::Problem;
use crate::routes::events::EventItem;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::visitor::Visitor;

/// Records that one page reads.
const PAGE: u64 = 100;
/// Records that one page reads when it looks for something.
const SEARCHED: u64 = 1000;
/// Records that are looked through for the story of one request, at most.
const STORY_MAX: usize = 20 * PAGE_MAX;
/// How much earlier than a request was asked its first record may say, by clocks that differ.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(1);
/// What was done, as far as the story tells it; the rest has pages of its own.
const DEEDS: usize = 100;
/// Records in one read of a download.
const CHUNK: usize = 500;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuditParams {
    /// Only records before this position.
    before: Option<String>,
    person: String,
    resource: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    records: Vec<Told>,
    person: String,
    resource: String,
    kind: String,
    /// How far this page has read.
    read: String,
    next: Option<String>,
}

fn auditor(visitor: &Visitor) -> Result<(), Problem> {
    if visitor.powers.auditor {
        Ok(())
    } else {
        Err(Refused::NotEligible.into())
    }
}

/// The position of the newest record. The log is asked for single records further and further on, so that its length hardly matters.
async fn newest(console: &Console, visitor: &Visitor) -> Result<Position, Rejection> {
    let broker = &console.0.broker;
    let mut known = *broker.changes().borrow();
    let mut step = 1_u64;
    loop {
        let there = !broker
            .events(&visitor.actor, known.saturating_add(step).saturating_sub(1), 1)
            .await?
            .is_empty();
        if there {
            known = known.saturating_add(step);
            step = step.saturating_mul(2);
        } else if step == 1 {
            return Ok(known);
        } else {
            step = 1.max(step / 4);
        }
    }
}

/// The log, newest first.
pub(super) async fn audit(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    auditor(&visitor)?;
    let params: AuditParams = params.read()?;
    let end = match &params.before {
        Some(before) => position("before", before)?.saturating_sub(1),
        None => newest(&console, &visitor).await?,
    };
    let wanted = [&params.person, &params.resource, &params.kind].map(|text| filled(&clean(text)));
    let searches = wanted.iter().any(Option::is_some);
    let many = if searches { SEARCHED } else { PAGE };
    let after = end.saturating_sub(many);
    let limit = usize::try_from(end.saturating_sub(after)).unwrap_or(PAGE_MAX);
    let broker = &console.0.broker;
    let mut records = if limit == 0 {
        Vec::new()
    } else {
        broker.events(&visitor.actor, after, limit).await?
    };
    records.reverse();
    let now = broker.now();
    let mut teller = Teller::new(&console, &visitor);
    let mut told = Vec::new();
    let [person, resource, kind] = wanted;
    for record in &records {
        let one = teller.tell(record, now).await;
        let fits = person.as_ref().is_none_or(|wanted| one.people.contains(wanted))
            && resource.as_ref().is_none_or(|wanted| one.resource == *wanted)
            && kind.as_ref().is_none_or(|wanted| one.kind == *wanted);
        if fits {
            told.push(one);
        }
    }
    let search = [("person", &person), ("resource", &resource), ("type", &kind)]
        .into_iter()
        .filter_map(|(name, wanted)| Some(format!("&{name}={}", encoded(wanted.as_ref()?))))
        .collect::<String>();
    page(&AuditPage {
        frame: visitor.frame("audit", "Audit"),
        records: told,
        read: match records.last() {
            Some(last) => format!("Records {} to {end}", last.position),
            None => "The log is empty here".to_owned(),
        },
        next: (after > 0).then(|| format!("/audit?before={}{search}", after + 1)),
        person: person.unwrap_or_default(),
        resource: resource.unwrap_or_default(),
        kind: kind.unwrap_or_default(),
    })
}

#[derive(Template)]
#[template(path = "story.html")]
struct StoryPage {
    frame: Frame,
    url: String,
    stands: String,
    records: Vec<Told>,
    /// Whether the log was too long to find all of it.
    cut: bool,
    deeds: Vec<Deed>,
    more_deeds: Option<String>,
}

/// One access from its beginning to its end.
pub(super) async fn story(
    State(console): State<Console>,
    visitor: Visitor,
    id: Result<Id<RequestId>, Problem>,
) -> Result<Response, Failure> {
    auditor(&visitor)?;
    let Id(id) = id?;
    let broker = &console.0.broker;
    let view = broker.view(&visitor.actor, id).await?;
    let (records, cut) = records_of(&console, &visitor, &view).await?;
    let deeds = broker.interactions(&visitor.actor, id, 0, DEEDS).await?;
    let now = broker.now();
    let mut teller = Teller::new(&console, &visitor);
    let mut told = Vec::new();
    for record in &records {
        told.push(teller.tell(record, now).await);
    }
    let request = &view.request;
    page(&StoryPage {
        frame: visitor.frame(
            "audit",
            format!(
                "{} and {}",
                words::name(request, &request.requester.person),
                request.ruling.resource.name
            ),
        ),
        url: format!("/requests/{id}"),
        stands: words::standing(request, now),
        records: told,
        cut,
        deeds: deeds.items.iter().map(|item| Deed::new(item, now)).collect(),
        more_deeds: deeds.next.map(|next| format!("/requests/{id}/done?after={next}")),
    })
}

/// The records of a request, in order, and whether some may be missing. A log knows positions alone: the first is looked for by its time.
async fn records_of(
    console: &Console,
    visitor: &Visitor,
    view: &View,
) -> Result<(Vec<Record>, bool), Rejection> {
    let broker = &console.0.broker;
    let request = &view.request;
    let stream = StreamId::Request(request.id);
    let begins = request.asked_at - CLOCKS_DIFFER;
    let mut after = before(console, visitor, begins).await?;
    let mut found: Vec<Record> = Vec::new();
    let mut read = 0;
    loop {
        let records = broker.events(&visitor.actor, after, PAGE_MAX).await?;
        let last = records.len() < PAGE_MAX;
        read += records.len();
        after = records.last().map_or(after, |record| record.position);
        found.extend(records.into_iter().filter(|record| record.stream == stream));
        if last || found.last().is_some_and(|record| record.version >= view.version) {
            return Ok((found, false));
        }
        if read >= STORY_MAX {
            return Ok((found, true));
        }
    }
}

/// A position after which stands everything that was written down from `moment` on.
async fn before(console: &Console, visitor: &Visitor, moment: Timestamp) -> Result<Position, Rejection> {
    let (mut low, mut high) = (0, newest(console, visitor).await?);
    while low < high {
        let middle = low + (high - low) / 2;
        let records = console.0.broker.events(&visitor.actor, middle, 1).await?;
        match records.first() {
            Some(record) if record.at < moment => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DownloadParams {
    /// Only records after this position.
    after: Option<String>,
}

/// The log as it is chained, one JSON object on a line.
pub(super) async fn download(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    auditor(&visitor)?;
    let params: DownloadParams = params.read()?;
    let after = params.after.map_or(Ok(0), |after| position("after", &after))?;
    let first = chunk(&console, &visitor, after).await?;
    // Whoever gets less than all must see that: a failure ends the connection, not the body.
    let lines = stream::unfold(Some((console, visitor, first)), |state| async {
        let (console, visitor, records) = state?;
        let last = records.last()?.position;
        let lines: Result<Vec<String>, _> = records
            .into_iter()
            .map(|record| serde_json::to_string(&EventItem::from(record)))
            .collect();
        let lines = match lines {
            Ok(lines) => Bytes::from(lines.join("\n") + "\n"),
            Err(error) => return Some((Err(std::io::Error::other(error)), None)),
        };
        match chunk(&console, &visitor, last).await {
            Ok(next) => Some((Ok(lines), Some((console, visitor, next)))),
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    });
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"audit-after-{after}.ndjson\""),
        ),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// Some records, for someone who is still an auditor.
async fn chunk(console: &Console, visitor: &Visitor, after: Position) -> Result<Vec<Record>, Rejection> {
    let broker = &console.0.broker;
    let actor = broker.identify(&visitor.session.subject).await?;
    broker.events(&actor, after, CHUNK).await
}
