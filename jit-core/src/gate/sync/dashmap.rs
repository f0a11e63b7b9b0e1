//! Stands in for dashmap, as far as it is used here: a lock for each of a few shards, held by whatever refers into the shard.
//!
//! A thread that takes a shard's lock twice panics, which in dashmap is a deadlock as soon as a writer waits.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};

use shuttle::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Few, so that keys share one; several, so that the order in which they are locked counts.
pub(in crate::gate) const SHARDS: usize = 4;

/// In the order of insertion: what runs does not depend on how a hash falls.
type Shard<K, V> = Vec<(K, V)>;

pub(in crate::gate) struct DashMap<K, V, S = BuildHasherDefault<DefaultHasher>> {
    shards: Vec<RwLock<Shard<K, V>>>,
    hasher: S,
}

impl<K, V, S> fmt::Debug for DashMap<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DashMap").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash, V, S: BuildHasher + Default> Default for DashMap<K, V, S> {
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K: Eq + Hash, V> DashMap<K, V> {
    pub(in crate::gate) fn new() -> Self {
        Self::default()
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> DashMap<K, V, S> {
    pub(in crate::gate) fn with_hasher(hasher: S) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::new(Vec::new())).collect();
        Self { shards, hasher }
    }

    fn shard(&self, key: &K) -> &RwLock<Shard<K, V>> {
        let number = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap();
        &self.shards[number]
    }

    pub(in crate::gate) fn get(&self, key: &K) -> Option<Ref<'_, K, V>> {
        let guard = read(self.shard(key));
        let at = guard.iter().position(|(known, _)| known == key)?;
        let shard = Arc::new(guard);
        Some(Ref { shard, at })
    }

    pub(in crate::gate) fn get_mut(&self, key: &K) -> Option<RefMut<'_, K, V>> {
        let shard = write(self.shard(key));
        let at = shard.iter().position(|(known, _)| known == key)?;
        Some(RefMut { shard, at })
    }

    pub(in crate::gate) fn entry(&self, key: K) -> Entry<'_, K, V> {
        let shard = write(self.shard(&key));
        match shard.iter().position(|(known, _)| *known == key) {
            Some(at) => Entry::Occupied(OccupiedEntry(RefMut { shard, at })),
            None => Entry::Vacant(VacantEntry { shard, key }),
        }
    }

    pub(in crate::gate) fn insert(&self, key: K, value: V) -> Option<V> {
        match self.entry(key) {
            Entry::Occupied(mut entry) => Some(std::mem::replace(entry.get_mut(), value)),
            Entry::Vacant(entry) => {
                entry.insert(value);
                None
            }
        }
    }

    pub(in crate::gate) fn remove(&self, key: &K) -> Option<(K, V)> {
        let mut shard = write(self.shard(key));
        let at = shard.iter().position(|(known, _)| known == key)?;
        Some(shard.remove(at))
    }

    pub(in crate::gate) fn iter(&self) -> impl Iterator<Item = Ref<'_, K, V>> {
        self.shards.iter().flat_map(|shard| {
            let shard = Arc::new(read(shard));
            (0..shard.len()).map(move |at| Ref {
                shard: Arc::clone(&shard),
                at,
            })
        })
    }

    pub(in crate::gate) fn retain(&self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for shard in &self.shards {
            write(shard).retain_mut(|(key, value)| keep(key, value));
        }
    }

    pub(in crate::gate) fn clear(&self) {
        self.retain(|_, _| false);
    }

    pub(in crate::gate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).len()).sum()
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

pub(in crate::gate) struct Ref<'a, K, V> {
    /// Shared with the other references of a walk: the lock is held until the last is gone.
    shard: Arc<RwLockReadGuard<'a, Shard<K, V>>>,
    at: usize,
}

impl<K, V> Ref<'_, K, V> {
    pub(in crate::gate) fn key(&self) -> &K {
        &self.shard[self.at].0
    }
}

impl<K, V> Deref for Ref<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.shard[self.at].1
    }
}

pub(in crate::gate) struct RefMut<'a, K, V> {
    shard: RwLockWriteGuard<'a, Shard<K, V>>,
    at: usize,
}

impl<K, V> Deref for RefMut<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.shard[self.at].1
    }
}

impl<K, V> DerefMut for RefMut<'_, K, V> {
    fn deref_mut(&mut self) -> &mut V {
        &mut self.shard[self.at].1
    }
}

pub(in crate::gate) enum Entry<'a, K, V> {
    Occupied(OccupiedEntry<'a, K, V>),
    Vacant(VacantEntry<'a, K, V>),
}

impl<'a, K, V: Default> Entry<'a, K, V> {
    pub(in crate::gate) fn or_default(self) -> RefMut<'a, K, V> {
        match self {
            Self::Occupied(entry) => entry.0,
            Self::Vacant(entry) => entry.insert(V::default()),
        }
    }
}

pub(in crate::gate) struct OccupiedEntry<'a, K, V>(RefMut<'a, K, V>);

impl<K, V> OccupiedEntry<'_, K, V> {
    pub(in crate::gate) fn get(&self) -> &V {
        &self.0
    }

    pub(in crate::gate) fn get_mut(&mut self) -> &mut V {
        &mut self.0
    }

    pub(in crate::gate) fn remove(mut self) -> V {
        self.0.shard.remove(self.0.at).1
    }
}

pub(in crate::gate) struct VacantEntry<'a, K, V> {
    shard: RwLockWriteGuard<'a, Shard<K, V>>,
    key: K,
}

impl<'a, K, V> VacantEntry<'a, K, V> {
    pub(in crate::gate) fn insert(mut self, value: V) -> RefMut<'a, K, V> {
        let at = self.shard.len();
        self.shard.push((self.key, value));
        RefMut {
            shard: self.shard,
            at,
        }
    }
}
