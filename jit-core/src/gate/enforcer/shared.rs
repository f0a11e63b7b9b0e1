//! What many grants have in common, held once.
//!
//! Two definitions that are equal become one while anybody holds it, rules among them: then that a grant is of what governs a request is
//! seen by where both are in memory. Nothing is kept alive from here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::id::ResourceName;
use crate::policy::terms::ResourceDef;

/// Definitions of resources, by their names. Taken after any other lock, and held for no other.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<HashMap<ResourceName, Vec<Weak<ResourceDef>>>>);

impl Shared {
    /// What everybody holds in place of `def`. `make` puts it into memory where nobody does.
    pub(super) fn one(&self, def: &ResourceDef, make: impl FnOnce() -> Arc<ResourceDef>) -> Arc<ResourceDef> {
        let mut known = self.lock();
        if let Some(all) = known.get_mut(&def.name) {
            if let Some(one) = all.iter().filter_map(Weak::upgrade).find(|one| **one == *def) {
                return one;
            }
            all.retain(is_held);
        }
        let one = make();
        known
            .entry(def.name.clone())
            .or_default()
            .push(Arc::downgrade(&one));
        one
    }

    /// Forgets what nobody holds any more.
    pub(super) fn sweep(&self) {
        self.lock().retain(|_, all| {
            all.retain(is_held);
            !all.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ResourceName, Vec<Weak<ResourceDef>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_held(def: &Weak<ResourceDef>) -> bool {
    def.strong_count() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixtures::resource;

    #[test]
    fn equals_are_one_while_anybody_holds_it() {
        let shared = Shared::default();
        let one = |path| {
            let def = resource("admin", path);
            shared.one(&def, || Arc::new(def.clone()))
        };
        let (first, again, other) = (one("/admin"), one("/admin"), one("/other"));
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
        assert_eq!(
            (&*first, &*other),
            (&resource("admin", "/admin"), &resource("admin", "/other"))
        );
        drop((first, again));
        shared.sweep();
        assert_eq!(shared.lock().values().map(Vec::len).sum::<usize>(), 1);
        assert!(Arc::ptr_eq(&one("/other"), &other));
        drop(other);
        shared.sweep();
        assert!(shared.lock().is_empty());
        assert_eq!(*one("/admin"), resource("admin", "/admin"));
    }
}
