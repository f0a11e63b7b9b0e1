//! How long an acknowledged write takes, beside the disk's own sync in the same round.
//!
//! Run with `cargo bench -p benches --bench store`; `TMPDIR` chooses the disk. Numbers are only worth comparing within one run.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use benches::figures::{figure, quick};
use benches::house::{BoxError, House};
use benches::timing::{Stopwatch, cpu_time, median, micros, percentile};
use jit_core::approval::request::Request;
use jit_core::approval::state::State;
use jit_core::broker::store::{Batch, Draft, Facets, Store, StreamId, Write};
use jit_core::id::{PersonId, RequestId, ResourceName, Timestamp};
use jit_store_sqlite::SqliteStore;
use tokio::task::JoinSet;

const ROUNDS: usize = 7;
const ROUNDS_QUICK: usize = 2;
/// How many writes one after the other.
const ALONE: usize = 500;
/// How many at once, and how often each.
const CROWD: usize = 64;
const EACH: usize = 100;
/// How many approvals each: what waits for one is still in the store's memory, as it is where people answer within the hour.
const APPROVALS_EACH: usize = 25;

/// How long each took in microseconds, and how many there were a second.
struct Taken {
    each: Vec<f64>,
    rate: f64,
    /// Of the whole process, in microseconds for each.
    cpu: f64,
}

impl Taken {
    fn new(each: Vec<f64>, watch: Stopwatch, cpu_before: f64) -> Self {
        let count = each.len() as f64;
        let rate = count / watch.elapsed().as_secs_f64();
        let cpu = (cpu_time() - cpu_before) / count;
        Self { each, rate, cpu }
    }
}

/// One line of the table.
#[derive(Default)]
struct Row {
    p50: Vec<f64>,
    p99: Vec<f64>,
    rate: Vec<f64>,
    cpu: Vec<f64>,
    syncs: Vec<f64>,
}

impl Row {
    /// `sync` is what the disk's own took in this round, in microseconds.
    fn add(&mut self, mut taken: Taken, sync: f64) {
        let p50 = percentile(&mut taken.each, 50);
        self.p50.push(p50);
        self.p99.push(percentile(&mut taken.each, 99));
        self.rate.push(taken.rate);
        self.cpu.push(taken.cpu);
        self.syncs.push(p50 / sync);
    }

    fn print(&mut self, what: &str) {
        println!(
            "{what:<36} {:>9.0} {:>9.0} {:>11.0} {:>10.2} {:>9.0}",
            median(&mut self.p50),
            median(&mut self.p99),
            median(&mut self.rate),
            median(&mut self.syncs),
            median(&mut self.cpu)
        );
    }
}

fn sync_alone(folder: &Path) -> Result<Taken, BoxError> {
    let (mut file, data) = (File::create(folder.join("raw"))?, [7; 256]);
    let (cpu, watch) = (cpu_time(), Stopwatch::start());
    let mut each = Vec::with_capacity(ALONE);
    for _ in 0..ALONE {
        let begun = Stopwatch::start();
        file.write_all(&data)?;
        file.sync_data()?;
        each.push(micros(begun.elapsed()));
    }
    Ok(Taken::new(each, watch, cpu))
}

/// Runs `count` tasks that each do `work` for every one of their numbers.
async fn timed<F>(
    jobs: Vec<Vec<u128>>,
    work: impl Fn(u128) -> F + Clone + Send + 'static,
) -> Result<Taken, BoxError>
where
    F: Future<Output = Result<(), BoxError>> + Send,
{
    let (cpu, watch, mut tasks) = (cpu_time(), Stopwatch::start(), JoinSet::new());
    for job in jobs {
        let work = work.clone();
        tasks.spawn(async move {
            let mut each = Vec::with_capacity(job.len());
            for n in job {
                let begun = Stopwatch::start();
                work(n).await?;
                each.push(micros(begun.elapsed()));
            }
            Ok::<_, BoxError>(each)
        });
    }
    let mut each = Vec::new();
    for done in tasks.join_all().await {
        each.extend(done?);
    }
    Ok(Taken::new(each, watch, cpu))
}

/// Numbers from `first`, for `tasks` tasks with `each` of them.
fn numbers(first: u128, tasks: usize, each: usize) -> Vec<Vec<u128>> {
    let range = |task: usize| (0..each).map(move |n| first + (task * each + n) as u128);
    (0..tasks).map(|task| range(task).collect()).collect()
}

/// One decision of some 256 bytes, in a stream of its own.
fn batch(stream: u128) -> Batch {
    let facets = Facets {
        state: Some(State::Pending),
        resource: ResourceName::new("admin").ok(),
        requester: PersonId::new("ada").ok(),
    };
    let event = Draft {
        at: Timestamp::UNIX_EPOCH,
        body: format!("{{\"reason\":\"{}\"}}", "x".repeat(240)),
    };
    Batch {
        writes: vec![Write {
            stream: StreamId::Request(RequestId::from_u128(stream)),
            expected: 0,
            events: vec![event],
            state: "{}".repeat(128),
            facets,
        }],
        unchanged: Vec::new(),
    }
}

async fn appends(
    store: &Arc<SqliteStore>,
    first: u128,
    tasks: usize,
    each: usize,
) -> Result<Taken, BoxError> {
    let store = store.clone();
    let append = move |stream| {
        let store = store.clone();
        async move {
            store.append(batch(stream)).await?;
            Ok(())
        }
    };
    timed(numbers(first, tasks, each), append).await
}

/// Asks are made first and not timed; then each is approved, and is a grant.
async fn approvals(house: &Arc<House>, first: u128, tasks: usize, each: usize) -> Result<Taken, BoxError> {
    let count = tasks * each;
    let (mut asking, first) = (JoinSet::new(), usize::try_from(first)?);
    for task in 0..CROWD {
        let house = house.clone();
        asking.spawn(async move {
            let mut asked = Vec::new();
            for n in (task..count).step_by(CROWD) {
                asked.push((n, house.ask(first + n).await?));
            }
            Ok::<_, BoxError>(asked)
        });
    }
    let mut asked: Vec<(usize, Request)> = Vec::with_capacity(count);
    for part in asking.join_all().await {
        asked.extend(part?);
    }
    asked.sort_by_key(|(n, _)| *n);
    let asked: Arc<[_]> = asked.into_iter().map(|(_, request)| request).collect();
    let house = house.clone();
    let approve = move |n: u128| {
        let (house, asked) = (house.clone(), asked.clone());
        async move {
            let request = asked.get(usize::try_from(n)?).ok_or("not asked")?;
            let view = house.approve(request).await?;
            if view.request.state == State::Active {
                Ok(())
            } else {
                Err("no grant".into())
            }
        }
    };
    timed(numbers(0, tasks, each), approve).await
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path().join("appends.db")).await?);
    let kept = Arc::new(SqliteStore::open(folder.path().join("house.db")).await?);
    let house = Arc::new(House::on(kept.clone()).await?);
    let mut rows: [Row; 5] = Default::default();
    let rounds = if quick() { ROUNDS_QUICK } else { ROUNDS };
    for round in 0..rounds as u128 {
        let before = sync_alone(folder.path())?;
        let first = (round + 1) * 100_000;
        let (append, appends_at_once) = (
            appends(&store, first, 1, ALONE).await?,
            appends(&store, first + 50_000, CROWD, EACH).await?,
        );
        let (approval, approvals_at_once) = (
            approvals(&house, first, 1, ALONE).await?,
            approvals(&house, first + 50_000, CROWD, APPROVALS_EACH).await?,
        );
        let after = sync_alone(folder.path())?;
        let mut both = [before.each.clone(), after.each].concat();
        let sync = median(&mut both);
        for (row, taken) in
            rows.iter_mut()
                .zip([before, append, appends_at_once, approval, approvals_at_once])
        {
            row.add(taken, sync);
        }
    }
    println!("{rounds} rounds; medians over them");
    println!(
        "{:<36} {:>9} {:>9} {:>11} {:>10} {:>9}",
        "", "p50 µs", "p99 µs", "a second", "p50/sync", "cpu µs"
    );
    let names = [
        "write 256 B and fdatasync",
        "append, alone",
        "append, 64 at once",
        "approval, alone",
        "approval, 64 at once",
    ];
    for (row, name) in rows.iter_mut().zip(names) {
        row.print(name);
    }
    let [_, _, _, approval, approvals_at_once] = &mut rows;
    figure("approval_vs_fdatasync", median(&mut approval.syncs));
    figure("approvals_64_per_s", median(&mut approvals_at_once.rate));
    drop(house);
    store.close().await;
    kept.close().await;
    Ok(())
}
