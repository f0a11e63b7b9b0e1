//! What `append` does and refuses.

use std::sync::Arc;

use super::{assert_conflict, at, batch, everything, found, loaded, log, put, request, verified, write};
use crate::approval::state::State;
use crate::broker::store::{BATCH_MAX, Batch, Draft, Facets, Store, StoreError, StreamId, Write};
use crate::id::Digest;

/// A stream that did not exist has version 1 after its first write, with the state, facets and record that were written.
pub async fn append_creates_at_version_1<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let stream = request(1);
    let written = write(&stream, 0);
    let records = put(&*store, [written.clone()]).await;

    assert_eq!(records.len(), 1);
    assert_eq!(records[0].stream, stream);
    assert_eq!((records[0].position, records[0].version), (1, 1));
    assert_eq!(records[0].body, written.events[0].body);
    assert_eq!(records[0].previous, Digest::ZERO);
    let snapshot = loaded(&*store, &stream).await;
    assert_eq!((snapshot.stream, snapshot.version), (stream, 1));
    assert_eq!((snapshot.state, snapshot.facets), (written.state, written.facets));
    assert_eq!(log(&*store).await, records, "the feed shows what append answered");
}

/// `append` checks each `expected` version and says what it found.
pub async fn a_wrong_expected_version_is_a_conflict_that_names_the_actual_one<G>(
    make: &impl AsyncFn() -> (G, Arc<dyn Store>),
) {
    let (_guard, store) = make().await;
    let stream = request(1);
    for version in 0..3 {
        put(&*store, [write(&stream, version)]).await;
    }
    for (expected, actual) in [(0, 3), (2, 3), (4, 3), (u64::from(u32::MAX), 3)] {
        let refused = store.append(batch([write(&stream, expected)])).await;
        assert_conflict(refused, expected, actual);
    }
    assert_conflict(store.append(batch([write(&request(2), 1)])).await, 1, 0);
}

/// One transaction: after a conflict there is no event, no state, and no position is used up.
pub async fn a_conflict_keeps_nothing<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let stream = request(1);
    put(&*store, [write(&stream, 0)]).await;
    let (snapshot, records) = (loaded(&*store, &stream).await, log(&*store).await);

    let mut late = write(&stream, 0);
    late.facets = Facets::default();
    assert_conflict(store.append(batch([late])).await, 0, 1);

    assert_eq!(loaded(&*store, &stream).await, snapshot);
    assert_eq!(log(&*store).await, records);
    let next = put(&*store, [write(&stream, 1)]).await;
    assert_eq!(next[0].position, 2, "the conflict used a position up");
    verified(&*store).await;
}

/// An `expected` of 0 means "must not exist".
pub async fn creating_what_exists_is_a_conflict<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    put(&*store, [write(&StreamId::Lockdowns, 0)]).await;
    assert_conflict(store.append(batch([write(&StreamId::Lockdowns, 0)])).await, 0, 1);
}

/// `append` checks each `unchanged` version, and keeps nothing if one differs.
pub async fn a_changed_unchanged_stream_is_a_conflict<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    put(&*store, [write(&StreamId::Lockdowns, 0)]).await;
    for (seen, actual) in [(0, 1), (2, 1)] {
        let stale = Batch {
            writes: vec![write(&request(1), 0)],
            unchanged: vec![(StreamId::Lockdowns, seen)],
        };
        assert_conflict(store.append(stale).await, seen, actual);
    }
    assert_eq!(store.load(&request(1)).await.expect("a load"), None);
    assert_eq!(log(&*store).await.len(), 1);

    let fresh = Batch {
        writes: vec![write(&request(1), 0)],
        unchanged: vec![(StreamId::Lockdowns, 1)],
    };
    store
        .append(fresh)
        .await
        .expect("an append that read the newest version");
    assert_eq!(
        loaded(&*store, &StreamId::Lockdowns).await.version,
        1,
        "unchanged means unchanged"
    );
}

/// A decision may rest on a stream that does not exist yet: it has version 0, and is not made by looking at it.
pub async fn an_absent_unchanged_stream_is_at_version_0<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let on_nothing = |n| Batch {
        writes: vec![write(&request(n), 0)],
        unchanged: vec![(StreamId::Lockdowns, 0)],
    };
    store
        .append(on_nothing(1))
        .await
        .expect("an append on an absent stream");
    assert_eq!(store.load(&StreamId::Lockdowns).await.expect("a load"), None);
    put(&*store, [write(&StreamId::Lockdowns, 0)]).await;
    assert_conflict(store.append(on_nothing(2)).await, 0, 1);
}

/// All writes of a batch are kept, in order of `writes` and of their events.
pub async fn several_streams_change_together<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let (one, two) = (request(1), StreamId::Person(super::person("ada")));
    put(&*store, [write(&two, 0)]).await;
    let mut first = write(&one, 0);
    first.events.push(Draft {
        at: at(1),
        body: r#"{"second":true}"#.to_owned(),
    });
    let records = put(&*store, [first, write(&two, 1)]).await;

    let shape = records
        .iter()
        .map(|record| (record.position, record.stream.clone(), record.version));
    assert_eq!(
        shape.collect::<Vec<_>>(),
        [(2, one.clone(), 1), (3, one.clone(), 1), (4, two.clone(), 2)]
    );
    assert_eq!(loaded(&*store, &one).await.version, 1);
    assert_eq!(loaded(&*store, &two).await.version, 2);
    verified(&*store).await;
}

/// Every write of the batch, or nothing.
pub async fn a_conflict_in_the_last_write_undoes_the_first<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    put(&*store, [write(&request(9), 0)]).await;
    let refused = store
        .append(batch([
            write(&request(1), 0),
            write(&request(2), 0),
            write(&request(9), 0),
        ]))
        .await;
    assert_conflict(refused, 0, 1);
    for absent in [request(1), request(2)] {
        assert_eq!(store.load(&absent).await.expect("a load"), None);
    }
    assert_eq!(found(&*store, &everything()).await, [request(9)]);
    assert_eq!(log(&*store).await.len(), 1);
}

/// Positions have no gaps, whatever was refused between.
pub async fn positions_have_no_gaps<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    for n in 0..20 {
        let mut many = write(&request(n), 0);
        let draft = many.events[0].clone();
        many.events = vec![draft; usize::try_from(n % 4).expect("a small number")];
        put(&*store, [many]).await;
        assert_conflict(store.append(batch([write(&request(n), 0)])).await, 0, 1);
    }
    let positions: Vec<_> = log(&*store).await.iter().map(|record| record.position).collect();
    assert_eq!(positions, (1..=30).collect::<Vec<_>>());
}

/// Positions and hashes are those of [`crate::approval::audit::link`].
pub async fn the_chain_verifies<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let mut last = Digest::ZERO;
    for n in 0..10 {
        let records = put(
            &*store,
            [
                write(&request(n), 0),
                write(&StreamId::Control, n.try_into().expect("small")),
            ],
        )
        .await;
        assert_eq!(records[0].previous, last);
        last = records[1].hash;
    }
    let tail = verified(&*store).await;
    assert_eq!((tail.position, tail.hash), (20, last));
}

/// Texts that a store could be tempted to trim, escape, re-encode or cut.
fn awkward() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        r#"{"b":1,"a":2,  "a":2.50}"#,
        r#"'; drop table events; -- " \ \\ \" \n \u0041 %s {} $1 ?"#,
        "tab\t, newline\n, return\r, backspace\u{8}, escape\u{1b}, delete\u{7f}, unit\u{1f}",
        "e\u{301} is not \u{e9}; \u{1f5dd}\u{fe0f} \u{202e}right to left\u{202c} \u{2028}\u{2029}",
        "\u{feff}\u{fffd}\u{fffe}\u{10ffff}\u{e000}",
        "1e999",
        "00123",
    ]
    .map(str::to_owned)
    .into();
    texts.push("x".repeat(64 * 1024));
    texts.push("\u{1f511}\"".repeat(64 * 1024 / 5));
    texts
}

/// `body` comes back byte for byte, up to 64 KiB and more than ASCII. A body is JSON: the character NUL is not among its bytes.
pub async fn records_come_back_byte_for_byte<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let drafts = awkward().into_iter().map(|body| Draft { at: at(0), body });
    let written = Write {
        events: drafts.collect(),
        ..write(&request(1), 0)
    };
    let answered = put(&*store, [written]).await;
    let read = log(&*store).await;
    assert_eq!(answered, read);
    for (record, text) in read.iter().zip(awkward()) {
        assert!(
            record.body == text,
            "{:?} became {:?}",
            abridged(&text),
            abridged(&record.body)
        );
    }
    verified(&*store).await;
}

/// `state` comes back byte for byte, from every way of reading it.
pub async fn state_comes_back_byte_for_byte<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    for (version, state) in (0..).zip(awkward()) {
        let written = Write {
            state: state.clone(),
            ..write(&request(1), version)
        };
        put(&*store, [written]).await;
        let snapshot = loaded(&*store, &request(1)).await;
        assert!(
            snapshot.state == state,
            "{:?} became {:?}",
            abridged(&state),
            abridged(&snapshot.state)
        );
        assert_eq!(
            store.find(&everything()).await.expect("a find"),
            std::slice::from_ref(&snapshot)
        );
        assert_eq!(
            store.live(0, 10).await.expect("a list of what is live"),
            [snapshot]
        );
    }
}

fn abridged(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Times come in with the events and are kept to the microsecond: the chain is over them.
pub async fn timestamps_keep_microseconds<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    // Before the epoch, out of order, and at odd microseconds: a store has no opinion on time.
    let moments = [
        at(1),
        at(999_999),
        at(123_456),
        at(-1_767_225_600_000_001),
        at(250_000_000_000_000_001),
    ];
    let drafts = moments.map(|at| Draft {
        at,
        body: "{}".to_owned(),
    });
    put(
        &*store,
        [Write {
            events: drafts.into(),
            ..write(&request(1), 0)
        }],
    )
    .await;
    let read: Vec<_> = log(&*store).await.iter().map(|record| record.at).collect();
    assert_eq!(read, moments);
    verified(&*store).await;
}

/// A write may have no events: it then moves version and state, and adds no record.
pub async fn a_write_without_events_moves_version_and_state_only<G>(
    make: &impl AsyncFn() -> (G, Arc<dyn Store>),
) {
    let (_guard, store) = make().await;
    let silent = |n, version| Write {
        events: Vec::new(),
        ..write(&request(n), version)
    };
    for version in 0..3 {
        assert_eq!(put(&*store, [silent(1, version)]).await, []);
        let snapshot = loaded(&*store, &request(1)).await;
        assert_eq!(snapshot.version, version + 1);
        assert_eq!(snapshot.state, silent(1, version).state);
    }
    put(&*store, [silent(2, 0)]).await;
    assert_eq!(log(&*store).await, []);
    assert_eq!(
        found(&*store, &everything()).await,
        [request(2), request(1)],
        "creation has an order without records"
    );
}

/// A batch without writes is a check of versions: it answers no record and changes nothing.
pub async fn a_batch_without_writes_only_checks<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    put(&*store, [write(&request(1), 0)]).await;
    let check = |version| Batch {
        writes: Vec::new(),
        unchanged: vec![(request(1), version)],
    };
    assert_eq!(store.append(check(1)).await.expect("a check that holds"), []);
    assert_conflict(store.append(check(2)).await, 2, 1);
    assert_eq!(store.append(Batch::default()).await.expect("an empty batch"), []);
    assert_eq!(loaded(&*store, &request(1)).await.version, 1);
    assert_eq!(log(&*store).await.len(), 1);
}

/// Each stream at most once in a batch; nothing of it is kept otherwise.
pub async fn a_stream_twice_in_a_batch_is_invalid<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    for second in [0, 1] {
        let twice = batch([
            write(&request(1), 0),
            write(&request(2), 0),
            write(&request(1), second),
        ]);
        let refused = store.append(twice).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    assert_eq!(log(&*store).await, []);
    assert_eq!(store.load(&request(2)).await.expect("a load"), None);
}

/// At most [`BATCH_MAX`] writes in a batch; nothing of it is kept otherwise.
pub async fn too_many_writes_are_invalid<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let refused = store
        .append(batch((0..=BATCH_MAX as u128).map(|n| write(&request(n), 0))))
        .await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    assert_eq!(log(&*store).await, []);
    assert_eq!(found(&*store, &everything()).await, []);
}

/// Exactly [`BATCH_MAX`] writes are fine, and as many streams unchanged.
pub async fn a_full_batch_is_kept<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    let full = BATCH_MAX as u128;
    let read = (0..full).map(|n| (request(1000 + n), 0)).collect();
    let writes = (0..full).map(|n| Write {
        facets: super::facets(State::Active),
        ..write(&request(n), 0)
    });
    let records = store
        .append(Batch {
            writes: writes.collect(),
            unchanged: read,
        })
        .await;
    assert_eq!(records.expect("a full batch").len(), BATCH_MAX);
    assert_eq!(found(&*store, &everything()).await.len(), BATCH_MAX);
    verified(&*store).await;
}
