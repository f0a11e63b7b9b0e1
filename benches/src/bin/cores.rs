//! Whether two cores that serve the same user get into each other's way.
//!
//! Run with `cargo run --profile bench -p benches --bin cores`. Two threads do the same at once, in short samples; one counts only if the
//! other thread got as far meanwhile, so that a thread which was put aside by the system makes neither a good nor a bad number.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use benches::draws::Turns;
use benches::figures::{figure, quick};
use benches::house::BoxError;
use benches::path::{Road, head};
use benches::timing::{Stopwatch, median};
use jit_core::gate::{Gate, Verdict};

/// Requests of one sample: far less time than a thread runs before it may be put aside.
const SAMPLE: usize = 100;
const SAMPLES: usize = 2_000;
const ROUNDS: usize = 15;
const ROUNDS_QUICK: usize = 3;

/// One thread's progress, on a cache line of its own and clear of its neighbour's prefetching.
#[derive(Debug, Default)]
#[repr(align(256))]
struct Progress(AtomicUsize);

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    println!("ns per request on each thread, medians\n");
    println!(
        "{:<40} {:>8} {:>8} {:>8} {:>8}",
        "", "1 thread", "2", "ratio", "samples"
    );
    let rounds = if quick() { ROUNDS_QUICK } else { ROUNDS };
    for (what, people) in [("the same user", [0, 0]), ("two users", [0, 1])] {
        let mut road = runtime.block_on(Road::build(2, Turns::Each))?;
        let (mut alone, mut both, mut ratios, mut counted) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for _ in 0..rounds {
            runtime.block_on(road.refresh())?;
            let gate = road.gate();
            let mut one = samples(gate, &people[..1]);
            let mut two = samples(gate, &people);
            if one.is_empty() || two.is_empty() {
                continue;
            }
            counted += two.len();
            let (one, two) = (median(&mut one), median(&mut two));
            alone.push(one);
            both.push(two);
            // Within a round: from one round to the next the processor's pace can change.
            ratios.push(two / one);
        }
        if ratios.is_empty() {
            println!("Gate::decide, {what}: the threads never ran at the same time");
            continue;
        }
        let ratio = median(&mut ratios);
        println!(
            "{:<40} {:>8.0} {:>8.0} {ratio:>8.2} {counted:>8}",
            format!("Gate::decide, {what}"),
            median(&mut alone),
            median(&mut both),
        );
        if people == [0, 0] {
            figure("two_core_slowdown", ratio);
        }
    }
    Ok(())
}

/// Nanoseconds per request of every sample that counts, with one thread for each of `people`.
fn samples(gate: &Gate, people: &[u32]) -> Vec<f64> {
    let progress: [Progress; 2] = Default::default();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (people.iter().enumerate())
            .map(|(me, person)| {
                let (progress, over) = (&progress, &over);
                let others = people.len() > 1;
                scope.spawn(move || sample(gate, *person, me, progress, over, others))
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    })
}

fn sample(
    gate: &Gate,
    person: u32,
    me: usize,
    progress: &[Progress; 2],
    over: &AtomicBool,
    others: bool,
) -> Vec<f64> {
    let head = head(person);
    let other = &progress[1 - me].0;
    let mine = &progress[me].0;
    mine.store(1, Ordering::Release);
    while others && other.load(Ordering::Acquire) == 0 {
        spin_loop();
    }
    let mut taken = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let before = other.load(Ordering::Relaxed);
        let watch = Stopwatch::start();
        for _ in 0..SAMPLE {
            let verdict = black_box(gate.decide(&head, None));
            assert!(matches!(verdict, Verdict::Admit(_)), "{verdict:?}");
            mine.fetch_add(1, Ordering::Relaxed);
        }
        let took = watch.elapsed();
        let along = other.load(Ordering::Relaxed) - before;
        if !others || (SAMPLE / 2..SAMPLE * 2).contains(&along) {
            taken.push(took.as_secs_f64() * 1e9 / SAMPLE as f64);
        }
    }
    over.store(true, Ordering::Relaxed);
    taken
}
