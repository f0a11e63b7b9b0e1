//! The tables behind a decision: what a live grant takes in memory, when a revocation is seen by another core, and how long it takes
//! to find the rule that governs a request.
//!
//! Run with `cargo run --profile bench -p benches --bin table`. Needs some 4 GB of memory for its million grants; `--quick` makes it a
//! fifth of that.

use std::collections::BTreeSet;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use benches::figures::{figure, quick};
use benches::house::{BoxError, Crowd, House, requester, subject};
use benches::path::head;
use benches::timing::{Stopwatch, median, percentile, time};
use http::{Method, Request};
use jit_core::approval::request::Request as Asked;
use jit_core::broker::directory::{Directory, Person};
use jit_core::gate::authenticate::Subject;
use jit_core::gate::cut::Cut;
use jit_core::gate::enforcer::Answer;
use jit_core::gate::rules::{Governed, RuleSet};
use jit_core::gate::target::Target;
use jit_core::id::{GrantId, RequestId};
use jit_core::memory::MemoryStore;
use jit_core::policy::terms::ResourceDef;

const GRANTS: usize = 1_000_000;
const GRANTS_QUICK: usize = 200_000;
/// How many of them are revoked, one after another.
const REVOKED: usize = 2_000;
/// Requests whose rule is looked for, in one round.
const MATCHES: usize = 1_000;
const ROUNDS: usize = 201;

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let house = runtime.block_on(House::on(Arc::new(MemoryStore::new())))?;
    let request = runtime.block_on(house.ask(0))?;
    let real = runtime.block_on(house.approve(&request))?.request;
    let grants = if quick() { GRANTS_QUICK } else { GRANTS };
    let before = resident()?;
    house.crowd(&real, grants)?;
    let each = (resident()? - before) / grants as f64;
    println!(
        "{grants} live grants: {each:.0} bytes of resident memory each, the grant and all that finds it"
    );
    figure("index_bytes_per_grant", each);
    house.synced();

    let people: Vec<_> = (1..=REVOKED)
        .map(|n| someone(&runtime, &house, n))
        .collect::<Result<_, _>>()?;
    let mut seen = revocations(&house, &real, &people)?;
    let (p50, p99) = (percentile(&mut seen, 50), percentile(&mut seen, 99));
    println!("revoked until another core refuses: p50 {p50:.0} ns, p99 {p99:.0} ns, of {REVOKED}");
    figure("revoke_visible_p50_ns", p50);

    let (few, many) = (matching(10, 1)?, matching(10_000, 500)?);
    println!("the governing rule of a request: {few:.0} ns of 10 rules, {many:.0} ns of 10,000 on 500 hosts");
    figure("match_ns_10k_rules", many);
    figure("match_10k_vs_10_rules", many / few);
    Ok(())
}

/// Bytes of this process that are in memory (proc(5), `statm`).
fn resident() -> Result<f64, BoxError> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = text
        .split_whitespace()
        .nth(1)
        .ok_or("statm has another form")?
        .parse()?;
    Ok(pages * 4096.0)
}

fn someone(
    runtime: &tokio::runtime::Runtime,
    house: &House,
    n: usize,
) -> Result<(Subject, Person), BoxError> {
    let principal = requester(n)?;
    let person = runtime.block_on(Crowd.resolve(&principal, house.broker.now()))?;
    Ok((subject(principal), person.ok_or("nobody")?))
}

/// One thread asks for each person's grant until it is refused; this one revokes it meanwhile. Nanoseconds from the call to the first
/// refusal, which includes what a check takes.
fn revocations(house: &House, real: &Asked, people: &[(Subject, Person)]) -> Result<Vec<f64>, BoxError> {
    let watch = Stopwatch::start();
    let nanos = || u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let asking = AtomicUsize::new(0);
    let refused: Vec<AtomicU64> = people.iter().map(|_| AtomicU64::new(0)).collect();
    let enforcer = house.broker.enforcer();
    let (head, now) = (head(0), house.broker.now());
    let target = Target::read(&head).map_err(|bad| bad.to_string())?;
    let mut taken = Vec::with_capacity(people.len());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (n, ((subject, person), refused)) in people.iter().zip(&refused).enumerate() {
                let ask =
                    || enforcer.check(subject, person, &real.ruling.resource, &target, &Method::GET, now);
                // Admitted often enough to have come from this thread's own copies.
                for _ in 0..100 {
                    assert!(matches!(black_box(ask()), Answer::Admit(_)));
                }
                asking.store(n + 1, Ordering::Release);
                while matches!(black_box(ask()), Answer::Admit(_)) {}
                refused.store(nanos(), Ordering::Release);
            }
        });
        for (n, refused) in refused.iter().enumerate().map(|(n, refused)| (n + 1, refused)) {
            while asking.load(Ordering::Acquire) != n {
                spin_loop();
            }
            let begun = nanos();
            enforcer.shut(GrantId::from(RequestId::from_u128(n as u128)), Cut::Revoked);
            let seen = loop {
                match refused.load(Ordering::Acquire) {
                    0 => spin_loop(),
                    seen => break seen,
                }
            };
            taken.push(seen.saturating_sub(begun) as f64);
        }
    });
    Ok(taken)
}

/// Nanoseconds to find the rule of a request, of as many rules on as many hosts.
fn matching(rules: usize, hosts: usize) -> Result<f64, BoxError> {
    let host = |n: usize| format!("app{}.example.com", n % hosts);
    let resources: Result<Vec<_>, BoxError> = (0..rules)
        .map(|n| {
            Ok(ResourceDef {
                name: format!("r{n}").parse()?,
                hosts: BTreeSet::from([host(n)]),
                paths: BTreeSet::from([format!("/team-{n}/console")]),
                methods: BTreeSet::new(),
                tags: BTreeSet::new(),
            })
        })
        .collect();
    let set = RuleSet::compile(&resources?, &[])?;
    // A step that no number of rules divides: neighbours in turn are no neighbours in memory.
    let numbers = (0..MATCHES).map(|turn| turn * 7_919 % rules);
    let heads: Result<Vec<_>, _> = numbers
        .map(|n| {
            let request = Request::get(format!("/team-{n}/console/users/7")).header("host", host(n));
            request.body(()).map(|request| request.into_parts().0)
        })
        .collect();
    let heads = heads?;
    let targets: Result<Vec<_>, _> = heads.iter().map(Target::read).collect();
    let targets = targets.map_err(|bad| bad.to_string())?;
    let mut taken = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let took = time(|| {
            for target in &targets {
                let governed = set.govern(black_box(target), &Method::GET);
                assert!(matches!(
                    black_box(governed),
                    Governed::Protected { exact: true, .. }
                ));
            }
        });
        taken.push(took.as_secs_f64() * 1e9 / MATCHES as f64);
    }
    Ok(median(&mut taken))
}
