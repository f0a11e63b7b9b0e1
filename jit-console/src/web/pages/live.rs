//! What tells a page that it is out of date: a stream of events (WHATWG HTML §9.2) that says `changed` once, and ends.
//!
//! 1. A page names what it has shown; whatever changed between that and the stream's begin counts.
//! 2. A stream takes one of a bounded number of places, lives for a minute at most, and says nothing about what has changed: the browser asks
//!    for the page again, and whoever may not see it any more is told so then. It ends with the session, and keeps none alive.
//! 3. Of the new page only parts are shown, and never one with a field: what is typed, the focus and the place on the page stay. The connection
//!    to the stream is one of the parts.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use jit_core::broker::store::Position;
use jit_core::broker::{Broker, View};
use jit_core::id::RequestId;
use serde::Deserialize;

use crate::extract::{Caller, Id, Params, position};
use crate::problem::Problem;
use crate::wait::{self, Seat, WAIT_MAX};
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::Live;
use crate::web::session::Place;
use crate::web::visitor::{Onlooker, Visitor};

/// Lists look again at most this often: every request that anyone writes to changes them.
const PACE: Duration = Duration::from_secs(1);
/// How often a list looks again without scripts, in seconds.
const LIST_LOOKS: u32 = 5;
/// How soon a browser comes again when a stream has ended.
const AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LiveParams {
    seen: String,
}

/// How a request stands, as a page about it names it.
fn mark(view: &View) -> String {
    format!("{}-{}", view.version, view.request.state)
}

/// A page about a request is out of date when that is no longer as it is now.
pub(super) fn change_of(view: &View, page: String, parts: &'static str) -> Live {
    Live {
        url: format!("/requests/{}/live?seen={}", view.request.id, mark(view)),
        page,
        parts,
        forms: None,
        seconds: None,
    }
}

/// A list, found anew at `page`, is out of date when any request or lockdown was written. To be named before the list is made.
pub(super) fn any_change(broker: &Broker, page: &str, before: Option<Position>) -> Live {
    Live {
        url: format!("/live?seen={}", *broker.decisions().borrow()),
        page: match before {
            Some(before) => format!("{page}?before={before}"),
            None => page.to_owned(),
        },
        parts: "#list",
        forms: None,
        seconds: Some(LIST_LOOKS),
    }
}

fn seat(console: &Console, visitor: &Visitor) -> Result<Seat, Failure> {
    let person = &visitor.actor.person.id;
    let seat = console.0.watchers.take(person);
    seat.ok_or_else(|| {
        let now = console.0.broker.now();
        Problem::too_many(
            "Too many pages of yours look for changes already; close one.",
            now,
        )
        .into()
    })
}

/// Says when a request is no longer as it was seen.
pub(super) async fn one(
    State(console): State<Console>,
    Onlooker(visitor): Onlooker,
    Id(id): Id<RequestId>,
    params: Params,
) -> Result<impl IntoResponse, Failure> {
    let seat = seat(&console, &visitor)?;
    let seen = params.read::<LiveParams>()?.seen;
    let changes = console.0.broker.decisions();
    let view = console.0.broker.view(&visitor.actor, id).await?;
    let caller = Caller {
        actor: visitor.actor.clone(),
        subject: visitor.session.subject.clone(),
        credential: None,
    };
    let broker = console.0.broker.clone();
    let changed = async move {
        let _seat = seat;
        if mark(&view) != seen {
            return true;
        }
        match wait::until_changed(&broker, &caller, view, changes, WAIT_MAX).await {
            Ok(now) => mark(&now) != seen,
            // Out of sight, or not to be had: the page says which.
            Err(_) => true,
        }
    };
    Ok(said(signed_in(console, visitor, changed)))
}

/// Says when any request or lockdown was written since a list was made.
pub(super) async fn any(
    State(console): State<Console>,
    Onlooker(visitor): Onlooker,
    params: Params,
) -> Result<impl IntoResponse, Failure> {
    let seat = seat(&console, &visitor)?;
    let seen = position("seen", &params.read::<LiveParams>()?.seen)?;
    let mut changes = console.0.broker.decisions();
    let changed = async move {
        let _seat = seat;
        tokio::time::sleep(PACE).await;
        let changed = changes.wait_for(|newest| *newest != seen);
        tokio::time::timeout(WAIT_MAX.as_std(), changed).await.is_ok()
    };
    Ok(said(signed_in(console, visitor, changed)))
}

/// Whether `changed` comes true while the visitor is signed in, or they are not any longer: the page says that.
async fn signed_in(console: Console, visitor: Visitor, changed: impl Future<Output = bool> + Send) -> bool {
    let (sessions, broker) = (&console.0.sessions, &console.0.broker);
    let cookie = &visitor.cookie;
    let left = visitor.session.left(broker.now());
    let changed = tokio::select! {
        changed = changed => changed,
        () = sessions.ended(cookie) => true,
        () = tokio::time::sleep(left) => false,
    };
    changed || sessions.look(cookie, Place::Console, broker.now()).is_none()
}

/// A stream that says `changed` if that comes true, and ends.
fn said(changed: impl Future<Output = bool> + Send + 'static) -> impl IntoResponse {
    let events = stream::once(async move {
        let event = Event::default().retry(AGAIN);
        // Browsers drop an event without data.
        Ok::<_, Infallible>(if changed.await {
            event.event("changed").data("look again")
        } else {
            event.comment("nothing yet")
        })
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(10)))
}
