//! How long an acknowledged append takes, beside the disk's own sync in the same run.
//!
//! Run with `cargo bench -p jit-store-sqlite`; `TMPDIR` chooses the disk. Numbers are only worth comparing within one run.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jit_core::approval::state::State;
use jit_core::broker::store::{Batch, Draft, Facets, Store, StreamId, Write};
use jit_core::id::{PersonId, RequestId, ResourceName, Timestamp};
use jit_store_sqlite::SqliteStore;

/// One decision: a record of some 256 bytes.
fn batch(stream: u128, expected: u64) -> Batch {
    let facets = Facets {
        state: Some(State::Pending),
        resource: ResourceName::new("admin").ok(),
        requester: PersonId::new("ada").ok(),
    };
    let events = vec![Draft {
        at: Timestamp::UNIX_EPOCH,
        body: format!("{{\"reason\":\"{}\"}}", "x".repeat(240)),
    }];
    let (stream, state) = (StreamId::Request(RequestId::from_u128(stream)), "{}".repeat(128));
    Batch {
        writes: vec![Write {
            stream,
            expected,
            events,
            state,
            facets,
        }],
        unchanged: Vec::new(),
    }
}

fn report(what: &str, count: usize, total: Duration, mut each: Vec<Duration>) {
    each.sort();
    let at = |percent: usize| each.get(each.len() * percent / 100).copied().unwrap_or_default();
    let rate = count as f64 / total.as_secs_f64();
    println!(
        "{what:<44} p50 {:>8.1?}  p99 {:>8.1?}  {rate:>8.0}/s",
        at(50),
        at(99)
    );
}

fn sync_alone(
    folder: &std::path::Path,
    rounds: usize,
    bytes: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let (mut file, data) = (File::create(folder.join("raw"))?, vec![7; bytes]);
    let (start, mut each) = (Instant::now(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        file.write_all(&data)?;
        file.sync_data()?;
        each.push(begun.elapsed());
    }
    report(
        &format!("write {bytes} B and fdatasync"),
        rounds,
        start.elapsed(),
        each,
    );
    Ok(())
}

async fn one_by_one(
    store: Arc<SqliteStore>,
    what: &'static str,
    rounds: usize,
    ids: fn(usize) -> (u128, u64),
) {
    let (start, mut each) = (Instant::now(), Vec::new());
    for n in 0..rounds {
        let (stream, version) = ids(n);
        let begun = Instant::now();
        store.append(batch(stream, version)).await.expect("an append");
        each.push(begun.elapsed());
    }
    report(what, rounds, start.elapsed(), each);
}

async fn at_once(store: &Arc<SqliteStore>, writers: usize, rounds: usize, what: &str) {
    let (start, mut tasks) = (Instant::now(), tokio::task::JoinSet::new());
    for writer in 0..writers {
        let store = store.clone();
        tasks.spawn(async move {
            let mut each = Vec::with_capacity(rounds);
            for version in 0..rounds {
                let begun = Instant::now();
                let batch = batch(1 << 100 | writer as u128, version as u64);
                store.append(batch).await.expect("an append");
                each.push(begun.elapsed());
            }
            each
        });
    }
    let each: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    report(what, writers * rounds, start.elapsed(), each);
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path().join("jit.db")).await?);
    for bytes in [256, 2 * 4096, 6 * 4096] {
        sync_alone(folder.path(), 2000, bytes)?;
    }
    tokio::spawn(one_by_one(
        store.clone(),
        "append, a new stream each",
        2000,
        |n| (n as u128, 0),
    ))
    .await?;
    tokio::spawn(one_by_one(store.clone(), "append, one stream", 2000, |n| {
        (1 << 90, n as u64)
    }))
    .await?;
    at_once(&store, 64, 400, "append, 64 at once").await;
    sync_alone(folder.path(), 2000, 256)?;
    store.close().await;
    Ok(())
}
