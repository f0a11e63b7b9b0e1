//! What the gate costs a request, in nanoseconds.
//!
//! Run with `cargo bench -p benches --bench gate`.

use std::time::Duration;

use benches::house::BoxError;
use benches::path::{Case, Road};
use benches::timing::{Stopwatch, median, time};

const ROUNDS: usize = 21;
const REQUESTS: usize = 20_000;

/// A session lives for a minute, and a round takes less than the rest of it.
const REFRESH: Duration = Duration::from_secs(20);

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    println!("{ROUNDS} rounds of {REQUESTS} requests; medians, in ns per request\n");
    for (what, grants, holders) in [
        ("1 grant", 1, 1),
        ("1k grants, one holder", 1_000, 1),
        ("1k grants, every holder in turn", 1_000, 1_000),
        ("100k grants, one holder", 100_000, 1),
        ("100k grants, every holder in turn", 100_000, 100_000),
    ] {
        let mut road = runtime.block_on(Road::build(grants, holders))?;
        let mut times = Case::ALL.map(|_| Vec::with_capacity(ROUNDS));
        let mut refreshed = Stopwatch::start();
        for _ in 0..ROUNDS {
            if refreshed.elapsed() > REFRESH {
                runtime.block_on(road.refresh())?;
                refreshed = Stopwatch::start();
            }
            for (case, times) in Case::ALL.into_iter().zip(&mut times) {
                let took = time(|| road.run(case, REQUESTS));
                times.push(took.as_secs_f64() * 1e9 / REQUESTS as f64);
            }
        }
        let [bare, layer, decide, check, copy, refused] = times.map(|mut times| median(&mut times));
        println!("{what}");
        println!(
            "  layer over the bare service   {:>7.0}   ({layer:.0} - {bare:.0})",
            layer - bare
        );
        println!("  Gate::decide alone            {decide:>7.0}");
        println!("  Enforcer::check alone         {check:>7.0}");
        println!(
            "  403 over the bare service     {:>7.0}   ({refused:.0} - {copy:.0})\n",
            refused - copy
        );
    }
    Ok(())
}
