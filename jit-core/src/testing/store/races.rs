//! What holds while many write at once.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{log, put, request, verified, write};
use crate::approval::audit::{self, Tail};
use crate::broker::store::{Batch, Store, StoreError, StreamId};

/// The versions are checked inside the transaction: of 64 appends on one version exactly one is kept.
pub async fn one_of_64_rivals_wins<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    for version in 0..3 {
        let mut rivals = JoinSet::new();
        for _ in 0..64 {
            let store = store.clone();
            rivals.spawn(async move { store.append(super::batch([write(&request(1), version)])).await });
        }
        let results = rivals.join_all().await;
        assert_eq!(
            results.iter().filter(|result| result.is_ok()).count(),
            1,
            "winners"
        );
        for lost in results.into_iter().filter(Result::is_err) {
            super::assert_conflict(lost, version, version + 1);
        }
    }
    assert_eq!(log(&*store).await.len(), 3);
    verified(&*store).await;
}

/// A conflict is between those who write the same stream: a loser in a group does not spoil it for the others.
pub async fn all_of_64_strangers_win<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    let (_guard, store) = make().await;
    put(&*store, [write(&StreamId::Lockdowns, 0)]).await;
    let mut tasks = JoinSet::new();
    for n in 0..128 {
        let store = store.clone();
        tasks.spawn(async move {
            // Every second one has an old view of the lockdowns.
            let unchanged = vec![(StreamId::Lockdowns, u64::from(n % 2 == 0))];
            let writes = vec![write(&request(n), 0)];
            (n, store.append(Batch { writes, unchanged }).await)
        });
    }
    for (n, result) in tasks.join_all().await {
        match result {
            Ok(records) => assert_eq!((n % 2, records.len()), (0, 1)),
            Err(StoreError::Conflict { .. }) => assert_eq!(n % 2, 1, "{n} had the newest view"),
            Err(other) => panic!("{n}: {other}"),
        }
    }
    assert_eq!(log(&*store).await.len(), 65);
    verified(&*store).await;
}

/// `feed` never shows a record before all records of lower positions, and never takes one back: a reader that follows it while
/// others append sees one chain, and in the end all of it.
pub async fn the_feed_never_shows_a_gap<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    const WRITERS: u128 = 4;
    const EACH: u64 = 40;
    let (_guard, store) = make().await;
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for version in 0..EACH {
                put(
                    &*store,
                    [write(&request(n), version), write(&request(100 + n), version)],
                )
                .await;
            }
        });
    }
    let total = u64::try_from(WRITERS).expect("a small number") * EACH * 2;
    let mut tail = Tail::START;
    while tail.position < total {
        let done = writers.is_empty();
        let page = store.feed(tail.position, 7).await.expect("a feed");
        assert!(
            !(done && page.is_empty()),
            "the feed ends at {} of {total}",
            tail.position
        );
        tail = audit::verify(tail, &page).expect("a feed without gaps");
        while let Some(finished) = writers.try_join_next() {
            finished.expect("a writer that does not panic");
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(
        verified(&*store).await,
        tail,
        "what was read once reads the same again"
    );
}

/// One transaction for readers too: two records of one batch are seen together, and with the state they led to.
pub async fn a_read_never_shows_half_a_batch<G>(make: &impl AsyncFn() -> (G, Arc<dyn Store>)) {
    const ROUNDS: u64 = 60;
    let (_guard, store) = make().await;
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for version in 0..ROUNDS {
                put(
                    &*store,
                    [write(&request(1), version), write(&request(2), version)],
                )
                .await;
            }
        }
    });
    let mut version = 0;
    while version < ROUNDS {
        let finished = writer.is_finished();
        let page = store.find(&super::everything()).await.expect("a find");
        let versions: Vec<_> = page.iter().map(|snapshot| snapshot.version).collect();
        assert!(
            versions.is_empty() || versions.len() == 2 && versions[0] == versions[1],
            "{versions:?}"
        );
        let records = store.feed(0, 1000).await.expect("a feed").len();
        assert_eq!(records % 2, 0, "half a batch in the feed");
        version = versions.first().copied().unwrap_or_default();
        assert!(
            !finished || version == ROUNDS,
            "an acknowledged append is not visible"
        );
        tokio::task::yield_now().await;
    }
    writer.await.expect("a writer that does not panic");
}
