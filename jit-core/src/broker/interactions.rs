//! Writing down what admitted requests did, and reading it.
//!
//! 1. [`Broker::flush_interactions`] takes the records out of memory in batches and appends them to the log: an event holds up to
//!    [`ROWS_MAX`] records of one grant, in the stream `interactions/` and the grant's id. They are part of the chain like everything else.
//! 2. Records of one grant stand in the order in which the requests ended, as far as one flush has seen them.
//! 3. What could not be written stays here and is tried again, once: a write whose outcome is not known is looked for before it is
//!    repeated. Meanwhile the rest stays where the gate keeps it, and that is bounded.
//! 4. What was lost is an event of its own, with the number.
//! 5. A request that went on under another grant stands under both, and each names the other.
//!
//! A log knows no streams, only positions: the stream's state tells after which position each of its writes stands ([`index`]).

mod entry;
mod index;
mod reading;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::approval::event::ControlEvent;
use crate::broker::loading::encode;
use crate::broker::store::{Batch, Draft, Facets, StoreError, StreamId, Write};
use crate::broker::sweeper::every;
use crate::broker::{Broker, Rejection};
use crate::gate::interactions::Interactions;

pub use entry::{Ended, Interaction};
pub use reading::InteractionPage;

use writer::Writer;

/// Most records in one event.
pub(super) const ROWS_MAX: usize = 200;
/// How often a lost compare-and-set is tried again.
const TRIES: usize = 64;
/// How many records are taken out of memory at once.
const DRAIN: usize = 16_384;
/// What is recorded is written down at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How often the memory is looked at, so that it is not full before the next flush.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where the records come from, and what was taken out and is not written down yet.
#[derive(Debug)]
pub(super) struct Logbook {
    source: Arc<Interactions>,
    writer: Mutex<Writer>,
}

impl Logbook {
    pub(super) fn new(source: Arc<Interactions>) -> Self {
        Self {
            source,
            writer: Mutex::default(),
        }
    }
}

impl Broker {
    /// Writes down what admitted requests did. Answers how many records. Without [`Builder::interactions`](super::Builder::interactions)
    /// it does nothing.
    ///
    /// Call it once more when the last request has ended: what is in memory is lost with the process.
    ///
    /// # Errors
    /// The store's: what is not written down is kept for the next call.
    pub async fn flush_interactions(&self) -> Result<u64, Rejection> {
        let Some(Logbook { source, writer }) = &self.inner.interactions else {
            return Ok(0);
        };
        let mut writer = writer.lock().await;
        let mut written = 0;
        // Not for ever, where records come as fast as they are written: others wait for this call.
        let most = source.places().saturating_mul(2).max(DRAIN) as u64;
        loop {
            writer.take_in(source, DRAIN)?;
            if writer.is_idle() || written > most {
                return Ok(written);
            }
            written += writer.write(self, source).await?;
        }
    }

    /// What to do when there is no room is the policy's to say.
    pub(super) fn rule_interactions(&self) {
        let on_full = self.policy().on_full();
        match &self.inner.interactions {
            Some(logbook) => logbook.source.set_on_full(on_full),
            None if on_full == crate::policy::terms::OnFull::Refuse => {
                tracing::warn!(
                    "the policy wants every request recorded, and nothing is: no interactions were given to the broker"
                );
            }
            None => {}
        }
    }

    pub(super) async fn record_forever(&self) {
        let Some(Logbook { source, .. }) = &self.inner.interactions else {
            return;
        };
        let mut look = every(LOOK_EVERY);
        let mut idle = Duration::ZERO;
        loop {
            look.tick().await;
            idle += LOOK_EVERY;
            if idle < FLUSH_EVERY && source.waiting() < source.places() / 8 {
                continue;
            }
            idle = Duration::ZERO;
            if let Err(error) = self.flush_interactions().await {
                tracing::warn!(%error, "interactions could not be written down; it is tried again");
                sleep(FLUSH_EVERY).await;
            }
        }
    }

    /// Writes down that records were lost of grants that nobody can name any more.
    async fn record_lost(&self, count: u64) -> Result<(), Rejection> {
        let store = &self.inner.store;
        for _ in 0..TRIES {
            let before = store.load(&StreamId::Control).await?;
            let news = Draft {
                at: self.now(),
                body: encode(&ControlEvent::InteractionsLost { count })?,
            };
            let write = Write {
                stream: StreamId::Control,
                expected: before.as_ref().map_or(0, |snapshot| snapshot.version),
                events: vec![news],
                state: match before {
                    Some(snapshot) => snapshot.state,
                    None => encode(&self.policy().digest())?,
                },
                facets: Facets::default(),
            };
            let batch = Batch {
                writes: vec![write],
                unchanged: Vec::new(),
            };
            match store.append(batch).await {
                Err(StoreError::Conflict { .. }) => {}
                other => return other.map(|_| ()).map_err(Rejection::from),
            }
        }
        Err(StoreError::unavailable("too many others write to the log of the control plane").into())
    }
}
