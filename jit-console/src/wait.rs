//! Waiting for a request to change, without a caller being able to hold more than a bounded number of places.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jit_core::approval::request::Request;
use jit_core::broker::store::Position;
use jit_core::broker::{Broker, Rejection, View};
use jit_core::id::PersonId;
use jit_core::span::Span;
use tokio::sync::watch;
use tokio::time::{self, Interval, MissedTickBehavior};

use crate::extract::Caller;

/// Longest wait.
pub(crate) const WAIT_MAX: Span = Span::minutes(1);
/// Wake-ups are hints: without any, look again after this.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);
/// Every write to any request wakes all waiters: one waiter looks at most this often.
const PACE: Duration = Duration::from_millis(200);

/// A bounded number of places, in all and for one person.
#[derive(Clone)]
pub(crate) struct Seats(Arc<Room>);

struct Room {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    each: HashMap<PersonId, usize>,
}

impl Room {
    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        // Nothing in here can panic half-way, so a poisoned count is still right.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self(Arc::new(Room {
            all,
            each,
            taken: Mutex::default(),
        }))
    }

    /// A place for `person`, or `None` if there is none left. It is given back when dropped.
    pub(crate) fn take(&self, person: &PersonId) -> Option<Seat> {
        let mut taken = self.0.taken();
        let own = taken.each.get(person).copied().unwrap_or(0);
        if taken.all >= self.0.all || own >= self.0.each {
            return None;
        }
        taken.all += 1;
        taken.each.insert(person.clone(), own + 1);
        Some(Seat {
            room: Arc::clone(&self.0),
            person: person.clone(),
        })
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seats")
            .field("all", &self.0.all)
            .field("each", &self.0.each)
            .finish_non_exhaustive()
    }
}

/// One place taken.
#[must_use = "the place is given back when this is dropped"]
pub(crate) struct Seat {
    room: Arc<Room>,
    person: PersonId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all = taken.all.saturating_sub(1);
        match taken.each.get_mut(&self.person) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.each.remove(&self.person);
            }
        }
    }
}

/// Ticks for one waiter: at once after a quiet time, then no faster than [`PACE`].
pub(crate) fn pace() -> Interval {
    let mut pace = time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// Whether waiting on `request` can bring anything.
pub(crate) fn is_settled(request: &Request) -> bool {
    let in_debt = request
        .break_glass
        .as_ref()
        .is_some_and(|debt| debt.review.is_none());
    request.state.is_terminal() && !in_debt
}

/// Waits until `view` is no longer how things stand, at most `wait`; answers how they stand then.
///
/// `changes`, of requests at least, must have been subscribed to before `view` was read. Who waits is looked up again before the answer:
/// someone who has lost sight of the request meanwhile gets the refusal.
pub(crate) async fn until_changed(
    broker: &Broker,
    caller: &Caller,
    view: View,
    mut changes: watch::Receiver<Position>,
    wait: Span,
) -> Result<View, Rejection> {
    let id = view.request.id;
    let seen = (view.version, view.request.state);
    let mut current = view;
    let watching = async {
        let mut pace = pace();
        loop {
            let now = broker.now();
            let nap = current
                .request
                .next_deadline(current.used)
                .and_then(|end| Span::between(now, end))
                .map_or(LOOK_ANYWAY, |left| left.as_std().min(LOOK_ANYWAY));
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    // The broker is shutting down: nothing more will be heard.
                    return Ok(());
                },
                () = time::sleep(nap) => {}
            }
            pace.tick().await;
            changes.mark_unchanged();
            current = broker.view(&caller.actor, id).await?;
            if (current.version, current.request.state) != seen {
                return Ok(());
            }
        }
    };
    if let Ok(Err(rejection)) = time::timeout(wait.as_std(), watching).await {
        return Err(rejection);
    }
    let actor = broker.identify(&caller.subject).await?;
    broker.view(&actor, id).await
}

#[cfg(test)]
mod tests {
    use jit_core::approval::request::BreakGlassDebt;
    use jit_core::approval::state::State;

    use super::*;
    use crate::sample::{active, at, person};

    #[test]
    fn places_are_bounded_and_given_back() {
        let seats = Seats::new(3, 2);
        let (alice, bob) = (person("alice"), person("bob"));
        let first = seats.take(&alice).unwrap();
        let _second = seats.take(&alice).unwrap();
        assert!(seats.take(&alice).is_none(), "one person's bound");
        let _third = seats.take(&bob).unwrap();
        assert!(seats.take(&bob).is_none(), "the bound of all");
        drop(first);
        let again = seats.take(&alice).unwrap();
        drop(again);
        drop(_second);
        drop(_third);
        let taken = seats.0.taken();
        assert_eq!((taken.all, taken.each.len()), (0, 0), "nobody is remembered");
    }

    #[test]
    fn only_an_end_without_debt_is_settled() {
        let mut view = active();
        assert!(!is_settled(&view.request));
        view.request.state = State::Expired;
        assert!(is_settled(&view.request));
        view.request.break_glass = Some(BreakGlassDebt {
            review_by: at(100),
            review: None,
        });
        assert!(!is_settled(&view.request));
    }
}
