//! A store of passkeys that can be held up.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jit_core::broker::passkeys::{News, Passkey, PasskeyStore, Passkeys, StoredPasskeys};
use jit_core::broker::store::{Store, StoreError, Version};
use jit_core::id::PersonId;
use tokio::sync::oneshot::{self, Receiver, Sender};

/// Keeps passkeys in the house's store.
#[derive(Debug)]
pub(crate) struct Halting {
    kept: StoredPasskeys,
    next: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Halting {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            kept: StoredPasskeys::new(store),
            next: Mutex::default(),
        }
    }

    /// Holds up whoever reads next. Says when they are there, and is told to let them go on.
    pub(crate) fn halt(&self) -> (Receiver<()>, Sender<()>) {
        let (there, reached) = oneshot::channel();
        let (go_on, gone_on) = oneshot::channel();
        *self.next.lock().unwrap() = Some((there, gone_on));
        (reached, go_on)
    }
}

#[async_trait]
impl PasskeyStore for Halting {
    async fn of(&self, person: &PersonId) -> Result<Passkeys, StoreError> {
        let halt = self.next.lock().unwrap().take();
        if let Some((there, gone_on)) = halt {
            there.send(()).unwrap();
            gone_on.await.unwrap();
        }
        self.kept.of(person).await
    }

    async fn put(
        &self,
        person: &PersonId,
        expected: Version,
        items: &[Passkey],
        news: Option<&News>,
    ) -> Result<(), StoreError> {
        self.kept.put(person, expected, items, news).await
    }
}
