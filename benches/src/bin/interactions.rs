//! What it costs to record a request, and to write the records down: chained, in SQLite, on the disk.
//!
//! Run with `cargo run --profile bench -p benches --bin interactions`; `TMPDIR` chooses the disk.

use std::hint::black_box;
use std::sync::Arc;

use benches::house::{BoxError, HOST, House, token};
use benches::timing::{Stopwatch, cpu_time, median};
use http::Request;
use jit_core::gate::flight::Flight;
use jit_core::gate::interactions::{Interactions, PLACES};
use jit_core::gate::{Admission, Verdict};
use jit_store_sqlite::SqliteStore;

const ROUNDS: usize = 21;
const EACH: usize = PLACES / 4;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path().join("interactions.db")).await?);
    let interactions = Arc::new(Interactions::new());
    let house = House::recording(store.clone(), interactions.clone()).await?;
    house.approve(&house.ask(0).await?).await?;
    house.synced();
    let gate = house.gate(1)?;
    let (head, ()) = Request::builder()
        .uri("/admin/users/42?tab=audit")
        .header("host", HOST)
        .header("authorization", format!("Bearer {}", token(0)))
        .body(())?
        .into_parts();
    let verdict = match gate.decide(&head, None) {
        Verdict::Lookup(lookup) => gate.resolve(&head, None, lookup).await,
        verdict => verdict,
    };
    let Verdict::Admit(admission) = verdict else {
        return Err("not admitted".into());
    };
    let begin = |admission: &Admission| Flight::begin(&gate, admission, &head);
    let (mut copied, mut recorded, mut flown, mut a_second) = (vec![], vec![], vec![], vec![]);
    let (mut computed, mut all) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        let watch = Stopwatch::start();
        for _ in 0..EACH {
            black_box((head.method.clone(), head.uri.clone()));
        }
        copied.push(watch.elapsed().as_nanos() as f64 / EACH as f64);
        let watch = Stopwatch::start();
        for _ in 0..EACH {
            gate.record_admitted(&admission, &head);
        }
        recorded.push(watch.elapsed().as_nanos() as f64 / EACH as f64);
        let watch = Stopwatch::start();
        for _ in 0..EACH {
            drop(begin(&admission));
        }
        flown.push(watch.elapsed().as_nanos() as f64 / EACH as f64);
        let (before, watch) = (cpu_time(), Stopwatch::start());
        let written = house.broker.flush_interactions().await? as f64;
        a_second.push(written / watch.elapsed().as_secs_f64());
        computed += cpu_time() - before;
        all += written;
    }
    if interactions.lost() > 0 {
        return Err("records were lost".into());
    }
    println!("{ROUNDS} rounds of {} records; medians over them", 2 * EACH);
    println!(
        "record an admitted request       {:>9.0} ns",
        median(&mut recorded)
    );
    println!(
        "  copy and drop method and target {:>9.0} ns",
        median(&mut copied)
    );
    println!("begin a flight, end and record it {:>8.0} ns", median(&mut flown));
    println!("chained and durable, a second    {:>9.0}", median(&mut a_second));
    println!("likewise for a second of processor {:>7.0}", all / computed * 1e6);
    store.close().await;
    Ok(())
}
