//! Somebody who got past the lock writes to the file while the store has it.

use jit_core::approval::audit::{self, Tail};
use jit_core::approval::state::State;
use jit_core::broker::store::{Batch, Put, Store, StoreError, StreamId};

use super::promises::{batch, file, log, outsider, request};
use super::{folder, open};

#[tokio::test]
async fn a_record_slipped_in_by_another_process_shows_in_the_chain() {
    let folder = folder().await;
    let store = open(&folder).await;
    store.append(batch(0, "{}")).await.unwrap();
    let slip = "INSERT INTO events VALUES (2, 'control', 2, 0, '{}', zeroblob(32), zeroblob(32))";
    outsider(&file(&folder), slip).await.unwrap();
    assert_eq!(
        store.append(batch(1, "{}")).await.unwrap()[0].position,
        3,
        "the end was read again"
    );
    assert_eq!(
        audit::verify(Tail::START, &log(&store).await)
            .unwrap_err()
            .position,
        2
    );
}

#[tokio::test]
async fn what_another_process_has_moved_is_a_conflict() {
    let folder = folder().await;
    let store = open(&folder).await;
    store.append(batch(0, "{}")).await.unwrap();
    for (slip, now) in [
        (
            "UPDATE streams SET version = 2; UPDATE streams SET version = 3",
            3_u64,
        ),
        ("DELETE FROM streams", 0),
        ("UPDATE streams SET version = 9", 9),
    ] {
        let expected = store.load(&StreamId::Control).await.unwrap().unwrap().version;
        outsider(&file(&folder), slip).await.unwrap();
        // A write to another stream rests on this one, too.
        let beside = Batch {
            writes: vec![request(now.into(), 0, State::Pending, 100)],
            unchanged: vec![(StreamId::Control, expected)],
        };
        for decided in [beside, batch(expected, "{}")] {
            let refused = store.append(decided).await;
            assert!(
                matches!(&refused, Err(StoreError::Conflict { actual, .. }) if *actual == now),
                "{slip}: {refused:?}"
            );
        }
        let loaded = store.load(&StreamId::Control).await.unwrap();
        assert_eq!(loaded.map_or(0, |stream| stream.version), now, "{slip}");
        store.append(batch(now, "{}")).await.unwrap();
    }
    audit::verify(Tail::START, &log(&store).await).unwrap();
}

#[tokio::test]
async fn a_cell_that_another_process_has_put_is_not_overwritten() {
    let folder = folder().await;
    let store = open(&folder).await;
    let put = |expected, value: &str| {
        let value = value.to_owned();
        store.cell("budget", Some(Put { expected, value }))
    };
    put(0, "1 left").await.unwrap();
    outsider(
        &file(&folder),
        "UPDATE cells SET version = 2, value = 'none left'",
    )
    .await
    .unwrap();
    let refused = put(1, "none left").await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { actual: 2, .. })),
        "{refused:?}"
    );
    assert_eq!(store.cell("budget", None).await.unwrap().value, "none left");
    put(2, "refilled").await.unwrap();
}
