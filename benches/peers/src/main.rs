//! What others take for the same: a decision whether somebody has access now, and a proof of who asks. Each beside this gate's own, in one run,
//! taking turns.
//!
//! Run with `cargo run --profile bench --manifest-path benches/peers/Cargo.toml`.
//!
//! Everyone is asked about one user of 1000 with access to one resource until some moment, and says yes. What can be made ready before
//! is: policies are compiled, entities and requests built, keys parsed. The gate's own decision is [`Caller::check`] among 1000 live grants, its path
//! `Gate::decide` less the reading of the request, as `cargo bench -p benches --bench gate` has it.
//!
//! [`Caller::check`]: jit_core::gate::enforcer::Caller::check

mod decisions;
mod proofs;

use benches::draws::Turns;
use benches::figures::{figure, quick};
use benches::house::BoxError;
use benches::path::{Case, Road};
use benches::timing::{Stopwatch, median};

/// How many have access.
const CROWD: usize = 1_000;
const ROUNDS: usize = 21;
const ROUNDS_QUICK: usize = 5;
/// How long one case runs in each round, about.
const SLICE: f64 = 0.02;

/// Something that is done again and again.
struct Timed<'w> {
    name: &'static str,
    work: Box<dyn FnMut(usize) + 'w>,
    /// How often in one round.
    times: usize,
    taken: Vec<f64>,
}

impl<'w> Timed<'w> {
    /// `work` does it as often as it is told.
    fn new(name: &'static str, mut work: impl FnMut(usize) + 'w) -> Self {
        // Often enough to fill a slice, from a first taste of it.
        let mut times = 1;
        loop {
            let watch = Stopwatch::start();
            work(times);
            let took = watch.elapsed().as_secs_f64();
            if took > SLICE / 4.0 {
                let fits = SLICE / took * times as f64;
                times = (fits as usize).max(1);
                break;
            }
            times *= 4;
        }
        Self {
            name,
            work: Box::new(work),
            times,
            taken: Vec::new(),
        }
    }

    /// One call after another of what does it once.
    fn each(name: &'static str, mut work: impl FnMut() + 'w) -> Self {
        Self::new(name, move |times| (0..times).for_each(|_| work()))
    }

    fn round(&mut self) {
        let watch = Stopwatch::start();
        (self.work)(self.times);
        self.taken
            .push(watch.elapsed().as_secs_f64() * 1e9 / self.times as f64);
    }
}

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let road = runtime.block_on(Road::build(CROWD, Turns::One))?;
    let road = std::cell::RefCell::new(road);
    let ours = |name, case| {
        let road = &road;
        Timed::new(name, move |times| road.borrow_mut().run(case, times))
    };
    let mut cases = vec![
        ours("caller", Case::Caller),
        ours("check", Case::Check),
        ours("read", Case::Read),
        ours("decide", Case::Decide),
        ours("bare", Case::Bare),
        ours("layer", Case::Layer),
    ];
    cases.extend(decisions::all(&runtime)?);
    cases.extend(proofs::all(&runtime)?);
    let rounds = if quick() { ROUNDS_QUICK } else { ROUNDS };
    let mut refreshed = Stopwatch::start();
    for _ in 0..rounds {
        if refreshed.elapsed().as_secs() > 20 {
            runtime.block_on(road.borrow_mut().refresh())?;
            refreshed = Stopwatch::start();
        }
        for case in &mut cases {
            case.round();
            runtime.block_on(road.borrow().drain())?;
        }
    }
    println!("ns for one, medians of {rounds} rounds\n");
    let mut medians = std::collections::BTreeMap::new();
    for case in &mut cases {
        let ns = median(&mut case.taken);
        println!("{:<24} {ns:>12.1}", case.name);
        medians.insert(case.name, ns);
    }
    let of = |name: &str| medians.get(name).copied().unwrap_or(f64::NAN);
    let (decision, path) = (of("caller"), of("decide") - of("read"));
    println!("\n{:<24} {path:>12.1}\n", "check and record");
    for (name, value) in [
        ("decision_vs_cedar", of("cedar") / decision),
        ("decision_vs_regorus", of("regorus") / decision),
        ("decision_vs_casbin", of("casbin") / decision),
        ("path_vs_hs256", of("jwt-hs256") / path),
        ("path_vs_eddsa", of("jwt-eddsa") / path),
        ("path_vs_axum_login", (of("axum-login") - of("axum")) / path),
        (
            "path_vs_tower_governor",
            (of("tower-governor") - of("no-op")) / path,
        ),
        ("cedar_ns", of("cedar")),
        ("regorus_ns", of("regorus")),
        ("casbin_ns", of("casbin")),
        ("hs256_ns", of("jwt-hs256")),
        ("eddsa_ns", of("jwt-eddsa")),
        ("axum_login_ns", of("axum-login") - of("axum")),
        ("tower_governor_ns", of("tower-governor") - of("no-op")),
    ] {
        figure(name, value);
    }
    Ok(())
}
