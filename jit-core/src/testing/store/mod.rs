//! The laws of [`Store`].
//!
//! Each law takes `make`, an async function that answers a fresh, empty store and a guard, which is dropped when the law is done
//! (a temporary folder, a schema, or `()`).
//!
//! ```
//! # #[cfg(feature = "testing")] mod laws {
//! use std::sync::Arc;
//!
//! use jit_core::broker::store::Store;
//! use jit_core::memory::MemoryStore;
//!
//! async fn fresh() -> ((), Arc<dyn Store>) {
//!     ((), Arc::new(MemoryStore::new()))
//! }
//!
//! jit_core::store_laws!(fresh);
//! # }
//! ```

mod append;
mod cells;
mod durable;
mod races;
mod read;

pub use append::*;
pub use cells::*;
pub use durable::*;
pub use races::*;
pub use read::*;

use crate::approval::audit::{self, Tail};
use crate::approval::state::State;
use crate::broker::store::{
    Batch, Draft, Facets, PAGE_MAX, Position, Query, Record, Snapshot, Store, StoreError, StreamId, Version,
    Write,
};
use crate::id::{PersonId, RequestId, ResourceName, Timestamp};

/// Makes one `#[tokio::test]` of each law of [`Store`](crate::broker::store::Store).
///
/// `$make` is the path of an `async fn() -> (guard, Arc<dyn Store>)`, or a closure that is one, and answers a fresh store each time.
/// Use it inside a module whose name says which store is on trial.
#[macro_export]
macro_rules! store_laws {
    ($make:expr) => {
        $crate::store_laws!(@each $make;
            append_creates_at_version_1
            a_wrong_expected_version_is_a_conflict_that_names_the_actual_one
            a_conflict_keeps_nothing
            creating_what_exists_is_a_conflict
            a_changed_unchanged_stream_is_a_conflict
            an_absent_unchanged_stream_is_at_version_0
            several_streams_change_together
            a_conflict_in_the_last_write_undoes_the_first
            positions_have_no_gaps
            the_chain_verifies
            records_come_back_byte_for_byte
            state_comes_back_byte_for_byte
            timestamps_keep_microseconds
            a_write_without_events_moves_version_and_state_only
            a_batch_without_writes_only_checks
            a_stream_twice_in_a_batch_is_invalid
            too_many_writes_are_invalid
            a_full_batch_is_kept
            find_selects_by_every_facet
            find_pages_newest_first
            find_follows_a_change_of_facets
            live_pages_oldest_first
            a_stream_leaves_live_when_it_ends
            the_feed_pages_in_order
            the_tail_is_the_last_record
            an_empty_store_answers_emptily
            pages_are_clamped
            reads_see_acknowledged_writes
            streams_of_different_kinds_do_not_meet
            one_of_64_rivals_wins
            all_of_64_strangers_win
            the_feed_never_shows_a_gap
            a_read_never_shows_half_a_batch
            an_absent_cell_is_at_version_0
            a_cell_compares_and_sets
            a_cell_keeps_its_value_byte_for_byte
            an_oversized_cell_is_refused
            concurrent_increments_lose_nothing
            cells_and_streams_share_no_names
        );
    };
    (@each $make:expr; $($law:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                $crate::testing::store::$law(&$make).await;
            }
        )*
    };
}

/// Makes one `#[tokio::test]` of each law for stores that outlive their process.
///
/// `$place` is an `async fn() -> P` that answers a fresh place to keep content in, `$open` an `async fn(&P) -> S` that opens the store
/// there, and `$close` an `async fn(S)` that ends it so that it can be opened again. `P` is dropped when the law is done: a
/// temporary folder can be its own guard.
#[macro_export]
macro_rules! durable_store_laws {
    ($place:expr, $open:expr, $close:expr) => {
        $crate::durable_store_laws!(@each ($place, $open, $close);
            reopening_keeps_everything
            reopening_continues_the_chain
            reopening_remembers_versions
        );
    };
    (@each ($place:expr, $open:expr, $close:expr); $($law:ident)*) => {
        $(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                $crate::testing::store::$law(&$place, &$open, &$close).await;
            }
        )*
    };
}

fn request(n: u128) -> StreamId {
    StreamId::Request(RequestId::from_u128(n))
}

fn person(name: &str) -> PersonId {
    PersonId::new(name).expect("a person id")
}

fn resource(name: &str) -> ResourceName {
    ResourceName::new(name).expect("a resource name")
}

/// 2026-01-01T00:00:00Z and `micros` more.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_timestamp_micros(1_767_225_600_000_000 + micros).expect("a moment")
}

fn facets(state: State) -> Facets {
    Facets {
        state: Some(state),
        resource: Some(resource("admin")),
        requester: Some(person("ada")),
    }
}

/// A write of one event to `stream`, which then is pending.
fn write(stream: &StreamId, expected: Version) -> Write {
    Write {
        stream: stream.clone(),
        expected,
        events: vec![Draft {
            at: at(0),
            body: format!(r#"{{"wrote":{}}}"#, expected + 1),
        }],
        state: format!(r#"{{"version":{}}}"#, expected + 1),
        facets: facets(State::Pending),
    }
}

fn batch(writes: impl IntoIterator<Item = Write>) -> Batch {
    Batch {
        writes: writes.into_iter().collect(),
        unchanged: Vec::new(),
    }
}

async fn put(store: &dyn Store, writes: impl IntoIterator<Item = Write>) -> Vec<Record> {
    store
        .append(batch(writes))
        .await
        .expect("an append that should succeed")
}

async fn loaded(store: &dyn Store, stream: &StreamId) -> Snapshot {
    let found = store.load(stream).await.expect("a load");
    found.expect("a stream that was written")
}

/// The whole log, page by page.
async fn log(store: &dyn Store) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let after = records.last().map_or(0, |record| record.position);
        let page = store.feed(after, PAGE_MAX).await.expect("a feed");
        if page.is_empty() {
            return records;
        }
        records.extend(page);
    }
}

/// Asserts that the whole log is one chain, and answers its end.
async fn verified(store: &dyn Store) -> Tail {
    audit::verify(Tail::START, &log(store).await).expect("a chain that verifies")
}

async fn found(store: &dyn Store, query: &Query) -> Vec<StreamId> {
    let page = store.find(query).await.expect("a find");
    page.into_iter().map(|snapshot| snapshot.stream).collect()
}

async fn live(store: &dyn Store, after: Position) -> Vec<StreamId> {
    let page = store.live(after, PAGE_MAX).await.expect("a list of what is live");
    page.into_iter().map(|snapshot| snapshot.stream).collect()
}

fn everything() -> Query {
    Query {
        limit: PAGE_MAX,
        ..Query::default()
    }
}

/// Asserts that `result` is a conflict between these versions.
fn assert_conflict<T: std::fmt::Debug>(result: Result<T, StoreError>, expected: Version, actual: Version) {
    match result {
        Err(StoreError::Conflict {
            expected: e,
            actual: a,
            ..
        }) => {
            assert_eq!((e, a), (expected, actual), "(expected, actual) of the conflict");
        }
        other => panic!("should be a conflict of {expected} with {actual}, is {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    /// A law that the macros forgot would prove nothing.
    #[test]
    fn every_law_is_in_a_macro() {
        let macros = include_str!("mod.rs");
        let laws = [
            include_str!("append.rs"),
            include_str!("cells.rs"),
            include_str!("durable.rs"),
            include_str!("races.rs"),
            include_str!("read.rs"),
        ];
        let names = laws.iter().flat_map(|file| file.split("\npub async fn ").skip(1));
        let mut count = 0;
        for name in names.filter_map(|rest| rest.split('<').next()) {
            assert!(
                macros.contains(&format!("            {name}\n")),
                "{name} is in no macro"
            );
            count += 1;
        }
        assert_eq!(count, 42);
    }
}
