//! Waiting for a flight's end, by its grant's news and by the clock.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::futures::OwnedNotified;
use tokio::time::Sleep;

use crate::gate::cut::Cut;
use crate::gate::flight::Flight;

/// The longest that a flight goes without looking at the clock: a wall clock that is set forward ends grants early.
const LOOK_MAX: Duration = Duration::from_secs(15);
/// The shortest wait. The timer counts in these.
const TICK: Duration = Duration::from_millis(1);

/// Waits for the cut of a flight, in a `poll` function.
#[derive(Debug)]
pub struct Watch {
    flight: Arc<Flight>,
    armed: Option<Armed>,
}

#[derive(Debug)]
struct Armed {
    shorter: Pin<Box<OwnedNotified>>,
    timer: Pin<Box<Sleep>>,
}

impl Watch {
    /// Watches `flight`. Nothing is armed before the first [`Watch::poll_cut`].
    pub const fn new(flight: Arc<Flight>) -> Self {
        Self { flight, armed: None }
    }

    /// The flight that it watches.
    pub const fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// The flight, which nothing waits for in here any more.
    pub fn into_flight(self) -> Arc<Flight> {
        self.flight
    }

    /// Whether something had to be waited for.
    pub const fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    /// Ready when the flight is to be cut; else the task is woken when it may have to be.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        loop {
            match &mut self.armed {
                None => match self.arm() {
                    Ok(armed) => self.armed = Some(armed),
                    Err(cut) => return Poll::Ready(cut),
                },
                Some(armed) => {
                    if armed.shorter.as_mut().poll(cx).is_pending()
                        && armed.timer.as_mut().poll(cx).is_pending()
                    {
                        return Poll::Pending;
                    }
                    self.armed = None;
                }
            }
        }
    }

    fn arm(&self) -> Result<Armed, Cut> {
        // It counts from here on, and the grant is read after that. What goes on under another grant has to wait on that one.
        loop {
            let permit = self.flight.permit();
            let shorter = permit.live().usage().shorter();
            let ends = self.flight.goes_on()?;
            if self.flight.current().grant_id() == permit.grant_id() {
                let left = ends.signed_duration_since(self.flight.gate.now());
                let left = left.to_std().unwrap_or_default().clamp(TICK, LOOK_MAX);
                return Ok(Armed {
                    shorter: Box::pin(shorter),
                    timer: Box::pin(tokio::time::sleep(left)),
                });
            }
        }
    }
}
