//! Stands in for arc-swap: whoever swaps sees what others swapped meanwhile.

use std::sync::{Arc, PoisonError};

use shuttle::sync::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(in crate::gate) struct ArcSwap<T>(Mutex<Arc<T>>);

impl<T> ArcSwap<T> {
    fn lock(&self) -> MutexGuard<'_, Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::gate) fn load(&self) -> Arc<T> {
        Arc::clone(&self.lock())
    }

    /// Others run between the load and the swap, which is tried again if they swapped.
    pub(in crate::gate) fn rcu<R: Into<Arc<T>>>(&self, mut change: impl FnMut(&Arc<T>) -> R) -> Arc<T> {
        loop {
            let before = self.load();
            let after = change(&before).into();
            let mut present = self.lock();
            if Arc::ptr_eq(&present, &before) {
                *present = after;
                return before;
            }
        }
    }
}
