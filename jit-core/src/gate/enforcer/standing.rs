//! What someone holds, kept with whoever asks often: a check by it reads nothing that all threads share but one number.
//!
//! 1. It is stamped with the version of what it is a copy of, read before that was. It counts while that version is the present one; whoever
//!    changes what is held counts the version up afterwards. A standing that is kept too long is never used.
//! 2. What changes under way (whether a grant is shut, when it was last used) is not copied: copies share it.
//! 3. It admits and never refuses: what a refusal says depends on more than what is live.

use std::sync::Arc;

use super::heard::Lives;
use super::{Enforcer, VERSIONS};
use crate::broker::directory::Person;
use crate::gate::authenticate::Subject;
use crate::gate::live::Live;
use crate::gate::sync::atomic::{AtomicU64, Ordering};

/// Most live grants that a standing is made of. Whoever holds more is looked up for every request.
const GRANTS_MAX: usize = 16;

/// The live grants of one subject who is one person.
#[derive(Debug, Clone)]
pub(in crate::gate) struct Standing {
    version: u64,
    pub(super) live: Lives,
}

impl Standing {
    /// The same, in memory of its own.
    pub(in crate::gate) fn copy(&self) -> Self {
        Self {
            version: self.version,
            live: self.live.iter().map(|live| Arc::new(live.copy())).collect(),
        }
    }
}

impl Enforcer {
    /// What `subject`, who is `person`, holds now. `hash` is that of the subject's principal. `None`: nothing, or too much to be kept.
    pub(in crate::gate) fn standing(
        &self,
        subject: &Subject,
        hash: u64,
        person: &Person,
    ) -> Option<Standing> {
        let version = self.version(hash)?.load(Ordering::Acquire);
        let holder = self.holders.get(&subject.principal)?;
        let theirs = |live: &&Arc<Live>| live.is_held_by(&subject.principal, &person.id);
        let live: Lives = holder.live.iter().filter(theirs).cloned().collect();
        (1..=GRANTS_MAX)
            .contains(&live.len())
            .then_some(Standing { version, live })
    }

    /// Whether nothing was changed about what the holder of this hash holds since.
    pub(in crate::gate) fn is_present(&self, standing: &Standing, hash: u64) -> bool {
        self.version(hash)
            .is_some_and(|version| version.load(Ordering::Acquire) == standing.version)
    }

    /// Counts the changes of what the holders hold that a hash puts in one place.
    pub(super) fn version(&self, hash: u64) -> Option<&AtomicU64> {
        self.versions.get(usize::try_from(hash % VERSIONS as u64).ok()?)
    }
}
