//! What this store promises beyond the laws.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jit_core::approval::audit::{self, Tail};
use jit_core::approval::state::State;
use jit_core::broker::store::{Batch, Draft, Facets, Put, Query, Record, Store, StoreError, StreamId, Write};
use jit_core::id::{PersonId, RequestId, ResourceName, Timestamp};
use jit_store_sqlite::{LogFile, OpenError, Options, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, SqlitePool};

use super::{folder, open};

pub(super) fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("jit.db")
}

pub(super) fn batch(expected: u64, body: &str) -> Batch {
    let at = Timestamp::from_timestamp_micros(1_767_225_600_000_000).unwrap();
    Batch {
        writes: vec![Write {
            stream: StreamId::Control,
            expected,
            events: vec![Draft {
                at,
                body: body.to_owned(),
            }],
            state: "{}".to_owned(),
            facets: Facets::default(),
        }],
        unchanged: Vec::new(),
    }
}

pub(super) async fn log(store: &SqliteStore) -> Vec<Record> {
    store.feed(0, 1000).await.unwrap()
}

/// Someone who writes to the file past the store.
pub(super) async fn outsider(path: &Path, sql: &str) -> Result<(), sqlx::Error> {
    let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await?;
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
    connection.close().await?;
    done.map(drop)
}

/// A file of mode 0600, as `from_pool` wants it.
pub(super) fn private(path: &Path) -> SqliteConnectOptions {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .unwrap();
    SqliteConnectOptions::new().filename(path)
}

#[tokio::test]
async fn a_second_open_is_refused_and_told_who_has_it() {
    let folder = folder().await;
    let store = open(&folder).await;
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    for same in [file(&folder), folder.path().join("sub/../jit.db")] {
        let error = SqliteStore::open(same).await.unwrap_err();
        assert!(
            matches!(&error, OpenError::InUse { pid: Some(pid), .. } if *pid == std::process::id()),
            "{error}"
        );
    }
    store.close().await;
    assert!(
        matches!(
            store.append(batch(0, "{}")).await,
            Err(StoreError::Unavailable { .. })
        ),
        "closed"
    );
    open(&folder).await.append(batch(0, "{}")).await.unwrap();
}

#[tokio::test]
async fn nothing_is_answered_after_the_end() {
    let folder = folder().await;
    let options = private(&file(&folder)).journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    store.append(batch(0, "{}")).await.unwrap();
    // In memory, from the write and from a read.
    store.load(&StreamId::Control).await.unwrap().unwrap();
    store.load(&StreamId::Lockdowns).await.unwrap();
    store.close().await;

    // The file is another's now.
    let next = SqliteStore::from_pool(pool).await.unwrap();
    next.append(batch(1, "{}")).await.unwrap();
    let put = Put {
        expected: 0,
        value: "v".to_owned(),
    };
    for (call, error) in [
        ("append", store.append(batch(1, "{}")).await.err()),
        ("load, written", store.load(&StreamId::Control).await.err()),
        ("load, none", store.load(&StreamId::Lockdowns).await.err()),
        ("find", store.find(&Query::default()).await.err()),
        ("live", store.live(0, 10).await.err()),
        ("feed", store.feed(0, 10).await.err()),
        ("tail", store.tail().await.err()),
        ("cell", store.cell("cell", None).await.err()),
        ("cell, put", store.cell("cell", Some(put)).await.err()),
    ] {
        assert!(
            matches!(error, Some(StoreError::Unavailable { .. })),
            "{call}: {error:?}"
        );
    }
    assert_eq!(log(&next).await.len(), 2);
}

#[tokio::test]
async fn a_closed_file_is_whole_by_itself() {
    let folder = folder().await;
    let store = open(&folder).await;
    for n in 0..3 {
        store.append(batch(n, "{}")).await.unwrap();
    }
    // Readers that were used are open.
    let all = log(&store).await;
    store.close().await;
    assert!(!folder.path().join("jit.db-wal").exists());
    let copy = folder.path().join("copy.db");
    std::fs::copy(file(&folder), &copy).unwrap();
    let copy = SqliteStore::open(copy).await.unwrap();
    assert_eq!(log(&copy).await, all);
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder().await;
    let store = open(&folder).await;
    store.append(batch(0, "{}")).await.unwrap();
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{entry:?}"
        );
        seen.push(entry.file_name().into_string().unwrap());
    }
    seen.sort();
    assert_eq!(seen, ["jit.db", "jit.db-shm", "jit.db-wal", "jit.db.lock"]);
    store.close().await;

    for mode in [0o640, 0o604, 0o666] {
        std::fs::set_permissions(file(&folder), std::fs::Permissions::from_mode(mode)).unwrap();
        let error = SqliteStore::open(file(&folder)).await.unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{mode:o}: {error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_plain_file_is_refused() {
    let folder = folder().await;
    open(&folder).await.close().await;
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(file(&folder), &link).unwrap();
    for path in [link, folder.path().to_owned(), PathBuf::from("/")] {
        let error = SqliteStore::open(&path).await.unwrap_err();
        assert!(
            matches!(error, OpenError::NotAFile { .. }),
            "{}: {error}",
            path.display()
        );
    }
    let error = SqliteStore::open(folder.path().join("none/jit.db"))
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_pool_that_can_lose_a_write_is_refused() {
    let folder = folder().await;
    let durable = private(&file(&folder)).journal_mode(SqliteJournalMode::Wal);
    for (options, mend) in [
        (SqliteConnectOptions::new().in_memory(true), "give it a file"),
        (SqliteConnectOptions::new().filename(""), "give it a file"),
        (
            durable.clone().journal_mode(SqliteJournalMode::Delete),
            "set journal_mode(Wal)",
        ),
        (
            durable.clone().synchronous(SqliteSynchronous::Off),
            "set synchronous(Full)",
        ),
        (
            durable.clone().synchronous(SqliteSynchronous::Normal),
            "set synchronous(Full)",
        ),
    ] {
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let error = SqliteStore::from_pool(pool.clone())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(mend), "{error}");
        pool.close().await;
    }

    let pool = SqlitePool::connect_with(durable.synchronous(SqliteSynchronous::Extra))
        .await
        .unwrap();
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    store.append(batch(0, "{}")).await.unwrap();
    assert_eq!(log(&store).await.len(), 1);
    store.close().await;
    assert!(!pool.is_closed(), "the pool is its owner's");
}

#[tokio::test]
async fn the_log_is_append_only() {
    let folder = folder().await;
    let store = open(&folder).await;
    for n in 0..3 {
        store.append(batch(n, "{}")).await.unwrap();
    }
    let before = log(&store).await;
    for sql in [
        "UPDATE events SET body = 'other' WHERE position = 2",
        "DELETE FROM events WHERE position = 3",
        "DELETE FROM events",
        "UPDATE streams SET version = 1",
        "UPDATE streams SET version = 9, created = 9",
    ] {
        let error = outsider(&file(&folder), sql).await.unwrap_err().to_string();
        assert!(
            error.contains("append-only") || error.contains("move on"),
            "{sql}: {error}"
        );
    }
    assert_eq!(log(&store).await, before);
}

#[tokio::test]
async fn a_change_past_the_triggers_shows_in_the_chain() {
    let folder = folder().await;
    let store = open(&folder).await;
    for n in 0..3 {
        store.append(batch(n, r#"{"by":"ada"}"#)).await.unwrap();
    }
    let forge = "DROP TRIGGER events_are_never_changed; UPDATE events SET body = '{\"by\":\"bob\"}' WHERE position = 2";
    outsider(&file(&folder), forge).await.unwrap();
    let broken = audit::verify(Tail::START, &log(&store).await).unwrap_err();
    assert_eq!(broken.position, 2);
}

#[tokio::test]
async fn what_no_store_wrote_is_damage() {
    let folder = folder().await;
    let store = open(&folder).await;
    store.append(batch(0, "{}")).await.unwrap();
    store.close().await;
    outsider(
        &file(&folder),
        "UPDATE streams SET version = 2, state_kind = 'granted'",
    )
    .await
    .unwrap();
    let store = open(&folder).await;
    let damaged = store.load(&StreamId::Control).await;
    assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{damaged:?}");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_passes() {
    let folder = folder().await;
    let small = private(&file(&folder))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("max_page_count", "48");
    let pool = SqlitePoolOptions::new()
        .max_connections(2)
        .connect_with(small)
        .await
        .unwrap();
    let store = SqliteStore::from_pool(pool).await.unwrap();
    store.append(batch(0, "{}")).await.unwrap();
    let before = log(&store).await;

    let large = "x".repeat(48 * 4096);
    for _ in 0..2 {
        let refused = store.append(batch(1, &large)).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable { .. })),
            "{refused:?}"
        );
        assert_eq!(log(&store).await, before);
        assert_eq!(store.load(&StreamId::Control).await.unwrap().unwrap().version, 1);
    }
    store.append(batch(1, "{}")).await.unwrap();
    assert_eq!(
        audit::verify(Tail::START, &log(&store).await).unwrap().position,
        2
    );
}

#[tokio::test]
async fn what_a_failed_commit_left_in_the_write_ahead_log_is_gone() {
    let folder = folder().await;
    let small = private(&file(&folder))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("max_page_count", "48");
    let pool = SqlitePool::connect_with(small).await.unwrap();
    let store = SqliteStore::from_pool(pool.clone()).await.unwrap();
    let length = || {
        let log = std::fs::metadata(folder.path().join("jit.db-wal"));
        log.unwrap().len()
    };
    for n in 0..20 {
        store.append(batch(n, "{}")).await.unwrap();
    }
    let before = length();
    store.append(batch(20, &"x".repeat(48 * 4096))).await.unwrap_err();
    store.append(batch(20, "{}")).await.unwrap();
    assert!(length() < before / 4, "{before} bytes, now {}", length());

    // What a crash leaves: the file, and a write-ahead log that nobody has emptied.
    let left = folder.path().join("left.db");
    std::fs::copy(file(&folder), &left).unwrap();
    std::fs::copy(
        folder.path().join("jit.db-wal"),
        folder.path().join("left.db-wal"),
    )
    .unwrap();
    let after = SqliteStore::open(&left).await.unwrap();
    assert_eq!(
        std::fs::metadata(folder.path().join("left.db-wal"))
            .unwrap()
            .len(),
        0
    );
    assert_eq!(log(&after).await, log(&store).await);
}

#[tokio::test]
async fn a_write_without_a_byte_of_text_is_kept() {
    let folder = folder().await;
    let store = open(&folder).await;
    let mut empty = batch(0, "");
    empty.writes[0].state = String::new();
    empty.writes[0].events.clear();
    assert_eq!(store.append(empty).await.unwrap(), []);
    store.close().await;
    let store = open(&folder).await;
    let kept = store.load(&StreamId::Control).await.unwrap().unwrap();
    assert_eq!((kept.version, kept.state.as_str()), (1, ""));
}

/// A write to the request with this number, which is `pending` at first.
pub(super) fn request(n: u128, expected: u64, state: State, length: usize) -> Write {
    Write {
        stream: StreamId::Request(RequestId::from_u128(n)),
        expected,
        events: batch(0, "{}").writes.swap_remove(0).events,
        state: "x".repeat(length),
        facets: Facets {
            state: Some(state),
            resource: ResourceName::new("admin").ok(),
            requester: PersonId::new("ada").ok(),
        },
    }
}

#[tokio::test]
async fn a_request_that_becomes_a_grant_is_overwritten_where_it_lies() {
    let folder = folder().await;
    let store = open(&folder).await;
    let asked = |n| request(n, 0, State::Pending, 1400);
    for first in [0, 50] {
        let writes = (first..first + 50).map(asked).collect();
        let unchanged = Vec::new();
        store.append(Batch { writes, unchanged }).await.unwrap();
    }
    let frames = || std::fs::metadata(folder.path().join("jit.db-wal")).unwrap().len() / 4120;
    let before = frames();
    for n in 0..100 {
        let writes = vec![request(n, 1, State::Active, 2100)];
        let unchanged = Vec::new();
        store.append(Batch { writes, unchanged }).await.unwrap();
    }
    // One page of requests and one of events, and now and then a page of events more.
    let each = (frames() - before) as f64 / 100.0;
    assert!((2.0..2.3).contains(&each), "{each} pages for each");

    // More than there was room for, and less again.
    for (version, length) in [(2, 6000), (3, 9), (4, 2100), (5, 70)] {
        let writes = vec![request(7, version, State::Active, length)];
        let unchanged = Vec::new();
        store.append(Batch { writes, unchanged }).await.unwrap();
        let stream = StreamId::Request(RequestId::from_u128(7));
        let kept = store.load(&stream).await.unwrap().unwrap();
        assert_eq!((kept.version, kept.state.len()), (version + 1, length));
    }
    store.close().await;
    let store = open(&folder).await;
    for n in 0..100 {
        let stream = StreamId::Request(RequestId::from_u128(n));
        let kept = store.load(&stream).await.unwrap().unwrap();
        let want = if n == 7 { (6, 70) } else { (2, 2100) };
        assert_eq!((kept.version, kept.state.len()), want, "{n}");
    }
}

#[tokio::test]
async fn nul_is_refused_before_it_could_cut_a_text() {
    let folder = folder().await;
    let store = open(&folder).await;
    let mut state = batch(0, "{}");
    state.writes[0].state = "a\0b".to_owned();
    for bad in [batch(0, "a\0b"), state] {
        let refused = store.append(bad).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    let put = Put {
        expected: 0,
        value: "a\0b".to_owned(),
    };
    assert!(matches!(
        store.cell("cell", Some(put)).await,
        Err(StoreError::Invalid { .. })
    ));
    assert_eq!(log(&store).await, []);
}

#[tokio::test]
async fn what_was_in_line_at_the_end_is_kept() {
    let folder = folder().await;
    let mut options = Options::default();
    options.readers = 1;
    options.busy_timeout = Duration::from_secs(1);
    let store = SqliteStore::open_with(file(&folder), options).await.unwrap();
    let (first, second, ()) = tokio::join!(
        store.append(batch(0, "{}")),
        store.cell(
            "cell",
            Some(Put {
                expected: 0,
                value: "v".to_owned()
            })
        ),
        store.close(),
    );
    assert_eq!(first.unwrap().len(), 1);
    second.unwrap();
    let store = open(&folder).await;
    assert_eq!(log(&store).await.len(), 1);
    assert_eq!(store.cell("cell", None).await.unwrap().version, 1);
}

#[tokio::test]
async fn the_log_can_be_read_beside_the_store_and_nothing_is_made_for_it() {
    let folder = folder().await;
    let store = open(&folder).await;
    for n in 0..3 {
        store.append(batch(n, "{}")).await.unwrap();
    }
    let beside = LogFile::open(file(&folder)).await.unwrap();
    assert_eq!(beside.feed(0, 1000).await.unwrap(), log(&store).await);
    store.append(batch(3, "{}")).await.unwrap();
    assert_eq!(beside.feed(3, 1000).await.unwrap(), log(&store).await[3..]);
    beside.close().await;
    let all = log(&store).await;
    store.close().await;
    let alone = LogFile::open(file(&folder)).await.unwrap();
    assert_eq!(alone.feed(0, 1000).await.unwrap(), all);
    alone.close().await;
    open(&folder).await.close().await;

    let none = folder.path().join("none.db");
    let missing = LogFile::open(&none).await.unwrap_err();
    assert!(matches!(missing, OpenError::NotAFile { .. }), "{missing}");
    assert!(!none.exists());
    let foreign = folder.path().join("foreign.db");
    drop(private(&foreign));
    outsider(&foreign, "CREATE TABLE theirs (x INTEGER)")
        .await
        .unwrap();
    let foreign = LogFile::open(&foreign).await.unwrap_err();
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");
}
