//! Files of other versions, and of other programs.

use std::sync::Arc;

use jit_core::approval::state::State;
use jit_core::broker::passkeys::{Passkey, PasskeyStore, StoredPasskeys};
use jit_core::broker::store::{Batch, Store, StoreError, StreamId};
use jit_core::id::{PersonId, RequestId, Timestamp};
use jit_store_sqlite::{OpenError, SqliteStore};
use sqlx::SqlitePool;

use super::promises::{file, outsider, private, request};
use super::{folder, open};

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let folder = folder().await;
    drop(private(&file(&folder)));
    outsider(&file(&folder), "CREATE TABLE theirs (a)").await.unwrap();
    let error = SqliteStore::open(file(&folder)).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    let pool = SqlitePool::connect(file(&folder).to_str().unwrap())
        .await
        .unwrap();
    let tables: Vec<(String,)> = sqlx::query_as("SELECT name FROM sqlite_schema")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(tables, [("theirs".to_owned(),)]);
    pool.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = folder().await;
    open(&folder).await.close().await;
    let newer = "INSERT INTO _jit_migrations VALUES (999, 'later', 0, true, x'00', 0)";
    outsider(&file(&folder), newer).await.unwrap();
    let error = SqliteStore::open(file(&folder)).await.unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::NewerSchema {
                found: 999,
                known: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_of_the_first_schema_is_brought_up_to_date() {
    let folder = folder().await;
    let store = open(&folder).await;
    for (n, state) in (0..).zip(State::ALL) {
        let writes = vec![request(n, 0, state, 100)];
        let unchanged = Vec::new();
        store.append(Batch { writes, unchanged }).await.unwrap();
    }
    let live = store.live(0, 100).await.unwrap();
    assert!(live.iter().all(|stream| stream.facets.is_live()) && !live.is_empty());
    store.close().await;
    let back = "DROP INDEX streams_live; ALTER TABLE streams DROP COLUMN live; ALTER TABLE streams DROP COLUMN slack; \
        CREATE INDEX streams_live ON streams (created) WHERE state_kind IN ('pending', 'scheduled', 'active'); \
        DELETE FROM _jit_migrations WHERE version > 1";
    outsider(&file(&folder), back).await.unwrap();

    let store = open(&folder).await;
    assert_eq!(store.live(0, 100).await.unwrap(), live);
    let writes = vec![request(0, 1, State::Expired, 100)];
    let unchanged = Vec::new();
    store.append(Batch { writes, unchanged }).await.unwrap();
    let first = StreamId::Request(RequestId::from_u128(0));
    let left: Vec<_> = live.into_iter().filter(|stream| stream.stream != first).collect();
    assert_eq!(store.live(0, 100).await.unwrap(), left);
}

#[tokio::test]
async fn passkeys_that_were_cells_are_streams_after_an_upgrade() {
    let folder = folder().await;
    let store = Arc::new(open(&folder).await);
    let passkeys = StoredPasskeys::new(store.clone());
    let [ada, bob, cy] = ["ada", "bob", "cy"].map(|name| PersonId::new(name).unwrap());
    let key = |id: &str| Passkey {
        id: id.to_owned(),
        name: "phone".to_owned(),
        added_at: Timestamp::from_timestamp_micros(1_767_225_600_000_000).unwrap(),
        used_at: None,
        data: "{}".to_owned(),
    };
    passkeys.put(&ada, 0, &[key("a1")], None).await.unwrap();
    passkeys
        .put(&ada, 1, &[key("a1"), key("a2")], None)
        .await
        .unwrap();
    passkeys.put(&bob, 0, &[key("b")], None).await.unwrap();
    passkeys.put(&cy, 0, &[key("c")], None).await.unwrap();
    passkeys.put(&cy, 1, &[], None).await.unwrap();
    let mut before = Vec::new();
    for person in [&ada, &bob, &cy] {
        before.push(passkeys.of(person).await.unwrap());
    }
    store.close().await;
    // As it was: in cells, and bob has had another passkey before, which the stream is newer than.
    let back = "INSERT INTO cells SELECT id, version, state FROM streams WHERE id IN ('passkeys/ada', 'passkeys/cy'); \
        INSERT INTO cells VALUES ('passkeys/bob', 7, '[]'); \
        DELETE FROM streams WHERE id IN ('passkeys/ada', 'passkeys/cy'); \
        DELETE FROM _jit_migrations WHERE version = 3";
    outsider(&file(&folder), back).await.unwrap();

    let store = Arc::new(open(&folder).await);
    let passkeys = StoredPasskeys::new(store.clone());
    for (person, before) in [&ada, &bob, &cy].into_iter().zip(&before) {
        assert_eq!(passkeys.of(person).await.unwrap(), *before, "{person}");
        let cell = store.cell(&format!("passkeys/{person}"), None).await.unwrap();
        assert_eq!(cell.version, 0, "{person}");
    }
    passkeys.put(&ada, 2, &[key("a2")], None).await.unwrap();
    let taken = passkeys.put(&bob, 1, &[key("a2")], None).await;
    assert!(matches!(taken, Err(StoreError::Invalid { .. })), "{taken:?}");
}
