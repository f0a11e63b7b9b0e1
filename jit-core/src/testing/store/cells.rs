//! What `cell` does.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{assert_conflict, log, put, write};
use crate::broker::store::{CELL_MAX, Cell, Put, Store, StoreError, StreamId, Version};

async fn set(store: &dyn Store, name: &str, expected: Version, value: &str) -> Result<Cell, StoreError> {
    let value = value.to_owned();
    store.cell(name, Some(Put { expected, value })).await
}

async fn get(store: &dyn Store, name: &str) -> Cell {
    store.cell(name, None).await.expect("a cell")
}

/// A cell that was never put has version 0 and no value, and reading it does not make it.
pub async fn an_absent_cell_is_at_version_0<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    assert_eq!(get(&*store, "cursor").await, Cell::default());
    assert_eq!(get(&*store, "cursor").await, Cell::default());
    assert_conflict(set(&*store, "cursor", 1, "x").await, 1, 0);
    assert_eq!(get(&*store, "cursor").await, Cell::default());
}

/// A put is kept if the version is the expected one, and answers the new cell; else it is a conflict that names the actual version.
pub async fn a_cell_compares_and_sets<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    for (expected, value) in [(0, "a"), (1, ""), (2, "c"), (3, "c")] {
        let want = Cell {
            version: expected + 1,
            value: value.to_owned(),
        };
        assert_eq!(
            set(&*store, "cursor", expected, value).await.expect("a put"),
            want
        );
        assert_eq!(get(&*store, "cursor").await, want);
    }
    for stale in [0, 3, 5] {
        assert_conflict(set(&*store, "cursor", stale, "late").await, stale, 4);
    }
    assert_eq!(
        get(&*store, "cursor").await,
        Cell {
            version: 4,
            value: "c".to_owned()
        }
    );
    assert_eq!(
        get(&*store, "Cursor").await,
        Cell::default(),
        "names are compared byte for byte"
    );
    assert_eq!(log(&*store).await, [], "a cell leaves no record");
}

/// A value comes back byte for byte, up to [`CELL_MAX`].
pub async fn a_cell_keeps_its_value_byte_for_byte<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let long = "\u{e9}".repeat(CELL_MAX / 2);
    for (version, value) in (0..).zip([" 007 ", "'\"\\\n\t\u{1f511}", "{\"a\" : 1.0}", &long]) {
        set(&*store, "odd 'name' \u{1f511}", version, value)
            .await
            .expect("a put");
        let read = get(&*store, "odd 'name' \u{1f511}").await;
        assert!(read.value == value, "of version {version}");
    }
}

/// A value longer than [`CELL_MAX`] is invalid, and nothing of it is kept.
pub async fn an_oversized_cell_is_refused<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let refused = set(&*store, "cursor", 0, &"x".repeat(CELL_MAX + 1)).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    assert_eq!(get(&*store, "cursor").await, Cell::default());
}

/// Of puts on one version one is kept: counting up from several tasks loses nothing.
pub async fn concurrent_increments_lose_nothing<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    const TASKS: u64 = 8;
    const EACH: u64 = 10;
    let (_guard, store) = make().await;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..EACH {
                loop {
                    let cell = get(&*store, "budget").await;
                    let next = cell.value.parse::<u64>().unwrap_or(0) + 1;
                    match set(&*store, "budget", cell.version, &next.to_string()).await {
                        Ok(_) => break,
                        Err(StoreError::Conflict { .. }) => tokio::task::yield_now().await,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        });
    }
    tasks.join_all().await;
    let total = TASKS * EACH;
    assert_eq!(
        get(&*store, "budget").await,
        Cell {
            version: total,
            value: total.to_string()
        }
    );
}

/// A cell may be named like a stream, and neither changes the other.
pub async fn cells_and_streams_share_no_names<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let stream = StreamId::Lockdowns;
    put(&*store, [write(&stream, 0)]).await;
    let name = stream.to_string();
    assert_eq!(get(&*store, &name).await, Cell::default());
    set(&*store, &name, 0, "cell").await.expect("a put");
    put(&*store, [write(&stream, 1)]).await;
    assert_eq!(
        get(&*store, &name).await,
        Cell {
            version: 1,
            value: "cell".to_owned()
        }
    );
    assert_eq!(super::loaded(&*store, &stream).await.version, 2);
}
