//! What a durable store keeps over a restart.

use super::{assert_conflict, batch, everything, live, loaded, log, put, request, verified, write};
use crate::broker::store::{Put, Store, StreamId};

/// Acknowledged is durable: records, streams, what is live, and cells are the same after reopening.
pub async fn reopening_keeps_everything<P, S: Store>(
    place: &impl AsyncFn() -> P,
    open: &impl AsyncFn(&P) -> S,
    close: &impl AsyncFn(S),
) {
    let place = place().await;
    let store = open(&place).await;
    for n in 0..5 {
        put(
            &store,
            [
                write(&request(n), 0),
                write(&StreamId::Control, n.try_into().expect("small")),
            ],
        )
        .await;
    }
    let value = "kept".to_owned();
    store
        .cell("cursor", Some(Put { expected: 0, value }))
        .await
        .expect("a put");
    let records = log(&store).await;
    let streams = store.find(&everything()).await.expect("a find");
    let (alive, cell) = (
        live(&store, 0).await,
        store.cell("cursor", None).await.expect("a cell"),
    );
    close(store).await;

    let store = open(&place).await;
    assert_eq!(log(&store).await, records);
    assert_eq!(store.find(&everything()).await.expect("a find"), streams);
    assert_eq!(live(&store, 0).await, alive);
    assert_eq!(store.cell("cursor", None).await.expect("a cell"), cell);
    close(store).await;
}

/// Positions, hashes and the order of creation go on where they ended.
pub async fn reopening_continues_the_chain<P, S: Store>(
    place: &impl AsyncFn() -> P,
    open: &impl AsyncFn(&P) -> S,
    close: &impl AsyncFn(S),
) {
    let place = place().await;
    for round in 0..4 {
        let store = open(&place).await;
        let tail = verified(&store).await;
        let records = put(&store, [write(&request(round), 0)]).await;
        assert_eq!(
            (records[0].position, records[0].previous),
            (tail.position + 1, tail.hash)
        );
        let newest_first: Vec<_> = (0..=round).rev().map(request).collect();
        assert_eq!(super::found(&store, &everything()).await, newest_first);
        close(store).await;
    }
    let store = open(&place).await;
    assert_eq!(verified(&store).await.position, 4);
    close(store).await;
}

/// Compare-and-set holds across a restart: an old version is a conflict, for streams and cells.
pub async fn reopening_remembers_versions<P, S: Store>(
    place: &impl AsyncFn() -> P,
    open: &impl AsyncFn(&P) -> S,
    close: &impl AsyncFn(S),
) {
    let place = place().await;
    let store = open(&place).await;
    for version in 0..3 {
        put(&store, [write(&request(1), version)]).await;
        let value = version.to_string();
        store
            .cell(
                "cursor",
                Some(Put {
                    expected: version,
                    value,
                }),
            )
            .await
            .expect("a put");
    }
    close(store).await;

    let store = open(&place).await;
    assert_conflict(store.append(batch([write(&request(1), 2)])).await, 2, 3);
    let stale = Put {
        expected: 2,
        value: "late".to_owned(),
    };
    assert_conflict(store.cell("cursor", Some(stale)).await, 2, 3);
    put(&store, [write(&request(1), 3)]).await;
    assert_eq!(loaded(&store, &request(1)).await.version, 4);
    close(store).await;
}
