//! What the gate costs a request, in nanoseconds.
//!
//! Run with `cargo bench -p benches --bench gate`.

use std::time::Duration;

use benches::draws::Turns;
use benches::figures::{figure, quick};
use benches::house::BoxError;
use benches::path::{Case, Road};
use benches::timing::{Stopwatch, median, time};

const ROUNDS: usize = 21;
const ROUNDS_QUICK: usize = 5;
const REQUESTS: usize = 20_000;
/// Where users are drawn at random, a round has to come by many of them.
const REQUESTS_DRAWN: usize = 100_000;

/// A session lives for a minute, and a round takes less than the rest of it.
const REFRESH: Duration = Duration::from_secs(20);

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let rounds = if quick() { ROUNDS_QUICK } else { ROUNDS };
    println!("{rounds} rounds; medians, in ns per request\n");
    for (what, grants, turns, name) in [
        ("1 grant", 1, Turns::One, None),
        ("1k grants, one holder", 1_000, Turns::One, Some("hot")),
        ("1k grants, every holder in turn", 1_000, Turns::Each, None),
        ("100k grants, one holder", 100_000, Turns::One, None),
        ("100k grants, every holder in turn", 100_000, Turns::Each, None),
        (
            "1M grants, holders by Zipf",
            1_000_000,
            Turns::Zipf,
            Some("1m_zipf"),
        ),
        (
            "1M grants, any holder",
            1_000_000,
            Turns::Uniform,
            Some("1m_uniform"),
        ),
    ] {
        if quick() && name.is_none() {
            continue;
        }
        let mut road = runtime.block_on(Road::build(grants, turns))?;
        let requests = match turns {
            Turns::One | Turns::Each => REQUESTS,
            Turns::Uniform | Turns::Zipf => REQUESTS_DRAWN,
        };
        let mut times = Case::ALL.map(|_| Vec::with_capacity(rounds));
        let mut refreshed = Stopwatch::start();
        for _ in 0..rounds {
            if refreshed.elapsed() > REFRESH {
                runtime.block_on(road.refresh())?;
                refreshed = Stopwatch::start();
            }
            for (case, times) in Case::ALL.into_iter().zip(&mut times) {
                let took = time(|| road.run(case, requests));
                times.push(took.as_secs_f64() * 1e9 / requests as f64);
                runtime.block_on(road.drain())?;
            }
        }
        let [bare, layer, read, decide, check, caller, copy, refused] =
            times.map(|mut times| median(&mut times));
        let allow = decide - read;
        println!("{what}");
        println!(
            "  layer over the bare service   {:>7.0}   ({layer:.0} - {bare:.0})",
            layer - bare
        );
        println!("  Gate::decide over reading     {allow:>7.0}   ({decide:.0} - {read:.0})");
        println!("  Caller::check alone           {caller:>7.0}");
        println!("  Enforcer::check alone         {check:>7.0}");
        println!(
            "  403 over the bare service     {:>7.0}   ({refused:.0} - {copy:.0})\n",
            refused - copy
        );
        if let Some(name) = name {
            figure(&format!("allow_path_ns_{name}"), allow);
        }
        if name == Some("hot") {
            figure("decision_ns", caller);
            figure("decision_by_name_ns", check);
            figure("layer_ns_hot", layer - bare);
        }
    }
    Ok(())
}
