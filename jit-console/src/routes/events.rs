//! The audit log: by page, or followed as it grows (server-sent events, WHATWG HTML §9.2).
//!
//! 1. Auditors only. A follower's right is looked up again at least once a minute; without it the stream ends.
//! 2. A stream lives until its credential ends, at most a quarter of an hour: the client comes back by itself with `Last-Event-ID` and
//!    is authenticated anew.
//! 3. What is sent can be verified: each item holds the very text that the chain of hashes is over.
//! 4. A stream that ends for a reason ends with an event named `end`, which holds the problem.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use futures_util::stream;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue};
use jit_core::approval::ask::Actor;
use jit_core::approval::refused::Refused;
use jit_core::broker::store::{Position, Record};
use jit_core::gate::authenticate::Subject;
use jit_core::id::Timestamp;
use jit_core::span::Span;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{self, Interval};
use utoipa::{IntoParams, ToSchema};

use super::requests::page_limit;
use crate::extract::{Caller, Params, position};
use crate::json::Json;
use crate::problem::Problem;
use crate::settings::Shared;
use crate::view::{Page, Time, text};
use crate::wait::{self, Seat};

/// Records on one page, when the caller names no number, and in one read of a follower.
const PAGE_DEFAULT: usize = 100;
/// Most records on one page. A record can hold a whole request.
const PAGE_MAX: usize = 1000;
/// Most bytes of events on one page. A record of what was done under a grant can be long.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Wake-ups are hints: without any, look again after this.
const LOOK_ANYWAY: Duration = Duration::from_secs(15);
/// A right older than this is looked up again before anything more is sent. With [`LOOK_ANYWAY`] that is well within a minute.
const RIGHT_AGE: TimeDelta = TimeDelta::seconds(30);
/// Longest life of a stream.
const LIFE: Span = Span::minutes(15);

/// One record of the audit log.
///
/// `hash` is SHA-256 over these parts, each led by its length in 8 bytes, big-endian: the text `jit-audit-1`, `position` (8 bytes,
/// big-endian), `previous` (32 bytes), `stream`, `version` (8 bytes), `at` as microseconds since 1970 (8 bytes), `body`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRecord)]
pub(crate) struct EventItem {
    /// Its place: one more than the record before.
    position: Position,
    at: Time,
    /// What it happened to: `request/req_…`, `person/…` (passkeys are told there), `lockdowns` or `control`; or `interactions/grt_…`, what
    /// was done under a grant.
    stream: String,
    /// The stream's version after the write.
    version: u64,
    /// The event's type; `null` only if the body can't be read. There can be new ones in time: pass over what you don't know.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The event, read from `body`.
    #[schema(value_type = Object)]
    event: serde_json::Value,
    /// The event as the exact text that `hash` is over.
    body: String,
    /// The record before: its `hash`; all zeros for the first.
    previous: String,
    hash: String,
}

impl From<Record> for EventItem {
    fn from(record: Record) -> Self {
        // A body that can't be read is shown all the same: it is what an auditor must see.
        let event = serde_json::from_str(&record.body).unwrap_or(serde_json::Value::Null);
        Self {
            position: record.position,
            at: Time(record.at),
            stream: text(&record.stream),
            version: record.version,
            kind: event.get("type").and_then(|kind| kind.as_str()).map(text),
            event,
            body: record.body,
            previous: text(record.previous),
            hash: text(record.hash),
        }
    }
}

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// After this position; from the first if absent.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
    /// How many on the page, from 1 to 1000; 100 if absent. Not for a stream.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
}

/// Read the audit log, or follow it with `Accept: text/event-stream`.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "read_events",
    params(
        EventParams,
        ("Last-Event-ID" = Option<String>, Header, description = "For a stream: goes on after this position, whatever `after` says."),
    ),
    responses((status = 200, description = "One page, or a stream with one record in each event, whose id is the position.", content(
        (Page<EventItem> = "application/json"),
        (EventItem = "text/event-stream"),
    ))))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    // The broker decides again; this only keeps the caller's input out of it until the caller may read the log at all.
    if !shared.broker.powers(&caller.actor).auditor {
        return Err(Refused::NotEligible.into());
    }
    let params: EventParams = params.read()?;
    let after = params.after.map_or(Ok(0), |after| position("after", &after))?;
    if wants_stream(&headers) {
        if params.limit.is_some() {
            return Err(Problem::invalid("limit", "does not go with a stream"));
        }
        return follow(&shared, caller, last_event_id(&headers)?.unwrap_or(after)).await;
    }
    let limit = page_limit(params.limit.as_deref(), PAGE_DEFAULT, PAGE_MAX)?;
    let mut records = shared.broker.events(&caller.actor, after, limit).await?;
    let full = records.len() >= limit;
    let cut = fitting(records.iter().map(|record| record.body.len()));
    let more = full || cut < records.len();
    records.truncate(cut);
    let next = records.last().filter(|_| more).map(|last| text(last.position));
    let items: Vec<EventItem> = records.into_iter().map(Into::into).collect();
    Ok(Json(Page { items, next }).into_response())
}

/// How many of the records with bodies of these lengths go on one page: at least one.
fn fitting(lengths: impl Iterator<Item = usize>) -> usize {
    let sums = lengths.scan(0_usize, |sum, length| {
        *sum = sum.saturating_add(length);
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= PAGE_BYTES).count().max(1)
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let (essence, parameters) = range.split_once(';').unwrap_or((range, ""));
        let weightless = matches!(parameters.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        essence.trim().eq_ignore_ascii_case("text/event-stream") && !weightless
    })
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    const NAME: &str = "Last-Event-ID";
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    position(NAME, id.to_str().unwrap_or_default()).map(Some)
}

async fn follow(shared: &Shared, caller: Caller, after: Position) -> Result<Response, Problem> {
    let now = shared.broker.now();
    let seat = (shared.followers.take(&caller.actor.person.id))
        .ok_or_else(|| Problem::too_many("Too many streams follow the log already; end one.", now))?;
    // Refused before the stream begins, where it can still be a status.
    let changes = shared.broker.changes();
    let first = shared.broker.events(&caller.actor, after, PAGE_DEFAULT).await?;
    let follower = Follower {
        shared: shared.clone(),
        ends_at: caller
            .subject
            .expires_at
            .map_or(LIFE.after(now), |end| end.min(LIFE.after(now))),
        subject: caller.subject,
        actor: caller.actor,
        checked_at: now,
        after,
        ready: first.into(),
        changes,
        pace: wait::pace(),
        _seat: seat,
    };
    let events = stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next().await {
            Ok(Some(record)) => Some((record_event(record), Some(follower))),
            Ok(None) => None,
            Err(problem) => Some((end_event(&problem, &follower.shared), None)),
        }
    });
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(LOOK_ANYWAY));
    // NGINX would otherwise collect the events before it passes them on.
    let unbuffered = [(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    )];
    Ok((unbuffered, events).into_response())
}

fn record_event(record: Record) -> Result<Event, Infallible> {
    let item = EventItem::from(record);
    let data = serde_json::to_string(&item).unwrap_or_default();
    Ok(Event::default().id(text(item.position)).data(data))
}

fn end_event(problem: &Problem, shared: &Shared) -> Result<Event, Infallible> {
    let data = serde_json::to_string(&problem.body(&shared.settings)).unwrap_or_default();
    Ok(Event::default().event("end").data(data))
}

struct Follower {
    shared: Shared,
    subject: Subject,
    actor: Actor,
    checked_at: Timestamp,
    ends_at: Timestamp,
    after: Position,
    ready: VecDeque<Record>,
    changes: watch::Receiver<Position>,
    pace: Interval,
    _seat: Seat,
}

impl Follower {
    /// The next record; `None` when the stream's life is over.
    async fn next(&mut self) -> Result<Option<Record>, Problem> {
        loop {
            let now = self.shared.broker.now();
            let Some(left) = Span::between(now, self.ends_at) else {
                return Ok(None);
            };
            self.check_right(now).await?;
            if let Some(record) = self.ready.pop_front() {
                self.after = record.position;
                return Ok(Some(record));
            }
            self.pace.tick().await;
            self.changes.mark_unchanged();
            let records = self
                .shared
                .broker
                .events(&self.actor, self.after, PAGE_DEFAULT)
                .await?;
            self.ready = records.into();
            if self.ready.is_empty() {
                tokio::select! {
                    changed = self.changes.changed() => if changed.is_err() {
                        return Ok(None);
                    },
                    () = time::sleep(LOOK_ANYWAY.min(left.as_std())) => {}
                }
            }
        }
    }

    async fn check_right(&mut self, now: Timestamp) -> Result<(), Problem> {
        if now.signed_duration_since(self.checked_at) < RIGHT_AGE {
            return Ok(());
        }
        self.actor = self.shared.broker.identify(&self.subject).await?;
        if !self.shared.broker.powers(&self.actor).auditor {
            return Err(Refused::NotEligible.into());
        }
        self.checked_at = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jit_core::approval::audit::{Tail, link};
    use jit_core::broker::store::{Draft, StreamId};
    use jit_core::id::{Digest, RequestId};

    use super::*;
    use crate::sample::at;

    fn record(body: &str) -> Record {
        let mut tail = Tail {
            position: 41,
            hash: Digest::plain(b"before"),
        };
        let moment = at(0) + TimeDelta::microseconds(123_456);
        let draft = Draft {
            at: moment,
            body: body.to_owned(),
        };
        link(&mut tail, &StreamId::Request(RequestId::from_u128(7)), 3, draft)
    }

    #[test]
    fn a_client_can_verify_the_chain_from_what_it_reads() {
        let body = "{ \"type\" : \"activated\" }";
        let item = serde_json::to_value(EventItem::from(record(body))).unwrap();
        assert_eq!(item["position"], 42);
        assert_eq!(item["type"], "activated");
        assert_eq!(item["event"]["type"], "activated");
        assert_eq!(item["body"], body);
        // By the words of the documentation alone, from the JSON alone.
        let said = |name: &str| item[name].as_str().unwrap().to_owned();
        let moment: Timestamp = said("at").parse().unwrap();
        let previous: Digest = said("previous").parse().unwrap();
        let due = Digest::of([
            b"jit-audit-1".as_slice(),
            &42_u64.to_be_bytes(),
            previous.as_bytes(),
            said("stream").as_bytes(),
            &3_u64.to_be_bytes(),
            &moment.timestamp_micros().to_be_bytes(),
            said("body").as_bytes(),
        ]);
        assert_eq!(said("hash"), due.to_string());
    }

    #[test]
    fn a_page_ends_where_it_would_be_too_long() {
        for (lengths, fit) in [
            (vec![], 1),
            (vec![PAGE_BYTES + 1, 1], 1),
            (vec![PAGE_BYTES, 1], 1),
            (vec![PAGE_BYTES - 1, 1, 1], 2),
            (vec![1; 1000], 1000),
            (vec![usize::MAX, usize::MAX], 1),
        ] {
            assert_eq!(fitting(lengths.iter().copied()), fit, "{:?}", lengths.len());
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_is_shown() {
        for body in ["", "not json", "[1]", "{\"type\":7}"] {
            let item = serde_json::to_value(EventItem::from(record(body))).unwrap();
            assert_eq!(item["body"], body);
            assert!(item["type"].is_null(), "{body}");
        }
    }

    #[test]
    fn a_stream_is_sent_to_those_who_want_one() {
        for (accept, wanted) in [
            (Some("text/event-stream"), true),
            (Some("application/json, Text/Event-Stream;q=0.5"), true),
            (Some("text/event-stream; q=0"), false),
            (Some("application/json"), false),
            (Some("*/*"), false),
            (None, false),
        ] {
            let pair = accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept)));
            assert_eq!(wants_stream(&pair.into_iter().collect()), wanted, "{accept:?}");
        }
    }

    #[test]
    fn a_stream_goes_on_after_the_last_event() {
        for (id, position) in [
            (None, Some(None)),
            (Some("7"), Some(Some(7))),
            (Some("x"), None),
            (Some(""), None),
        ] {
            let name = HeaderName::from_static("last-event-id");
            let pair = id.map(|id| (name, HeaderValue::from_static(id)));
            assert_eq!(
                last_event_id(&pair.into_iter().collect()).ok(),
                position,
                "{id:?}"
            );
        }
    }
}
