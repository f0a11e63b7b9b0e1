//! How fast what is in flight ends: 10,000 open streams of one grant that is revoked, and 2000 of grants that run out one after another.
//!
//! Run with `cargo run --profile bench -p benches --bin cuts`. Each stream is a task that waits for its flight to be cut, as a door does
//! for each body. How late an end comes is told by the gate's own clock.

use std::sync::Arc;
use std::time::Duration;

use benches::figures::{figure, quick};
use benches::house::{BoxError, House, requester};
use benches::path::head;
use benches::timing::{Stopwatch, median, percentile};
use chrono::TimeDelta;
use jit_core::approval::request::Request;
use jit_core::gate::cut::Cut;
use jit_core::gate::flight::Flight;
use jit_core::gate::{Gate, Verdict};
use jit_core::id::RequestId;
use jit_core::memory::MemoryStore;
use tokio::task::JoinSet;

const STREAMS: u32 = 10_000;
const ROUNDS: usize = 9;
const ROUNDS_QUICK: usize = 3;
/// Grants that run out, one every millisecond.
const ENDING: u32 = 2_000;
/// How long before the first of them does: until then every stream waits.
const AHEAD: TimeDelta = TimeDelta::milliseconds(1_500);

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let rounds = if quick() { ROUNDS_QUICK } else { ROUNDS };
    let (mut last, mut late) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let house = House::on(Arc::new(MemoryStore::new())).await?;
        let request = house.ask(0).await?;
        let real = house.approve(&request).await?.request;
        house.synced();
        last.push(revoked(&house, &real).await?);
        late.append(&mut ending(&house, &real).await?);
    }
    let (worst, p50, p99) = (
        last.iter().copied().fold(0.0, f64::max),
        percentile(&mut late, 50),
        percentile(&mut late, 99),
    );
    let last = median(&mut last);
    println!("{rounds} rounds");
    println!(
        "{STREAMS} streams of one grant, revoked: the last is told {last:.1} ms after; {worst:.1} ms in the worst round"
    );
    println!("{ENDING} grants that run out: told p50 {p50:.2} ms, p99 {p99:.2} ms after the end");
    figure("cut_10k_streams_ms", last);
    figure("expiry_cut_p99_ms", p99);
    Ok(())
}

/// The flight of an admitted request of the requester with this number.
async fn flight(gate: &Gate, n: u32) -> Result<Arc<Flight>, BoxError> {
    let head = head(n);
    let mut verdict = gate.decide(&head, None);
    if let Verdict::Lookup(lookup) = verdict {
        verdict = gate.resolve(&head, None, lookup).await;
    }
    match verdict {
        Verdict::Admit(admission) => Ok(Flight::begin(gate, &admission, &head)),
        other => Err(format!("not admitted: {other:?}").into()),
    }
}

/// Milliseconds from the revocation until the last stream was told.
async fn revoked(house: &House, real: &Request) -> Result<f64, BoxError> {
    let gate = house.gate(1)?;
    let watch = Stopwatch::start();
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let flight = flight(&gate, 0).await?;
        streams.spawn(async move {
            let cut = flight.cut().await;
            (cut, watch.elapsed())
        });
    }
    // Until every one of them waits.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = watch.elapsed();
    house.broker.enforcer().shut(real.id.into(), Cut::Revoked);
    let mut last = begun;
    while let Some(told) = streams.join_next().await {
        let (cut, at) = told?;
        if cut != Cut::Revoked {
            return Err(format!("cut because of {cut:?}").into());
        }
        last = last.max(at);
    }
    Ok((last - begun).as_secs_f64() * 1e3)
}

/// Milliseconds from each grant's end until its stream was told.
async fn ending(house: &House, real: &Request) -> Result<Vec<f64>, BoxError> {
    let first = house.broker.now() + AHEAD;
    for n in 1..=ENDING {
        let mut copy = real.clone();
        copy.id = RequestId::from_u128(u128::from(n));
        copy.requester.principal = requester(n as usize)?;
        copy.requester.person = format!("u{n}").parse()?;
        let grant = copy.grant.as_mut().ok_or("there is no grant")?;
        grant.id = copy.id.into();
        grant.holder = copy.requester.principal.clone();
        grant.person = copy.requester.person.clone();
        grant.not_after = first + TimeDelta::milliseconds(i64::from(n));
        house.broker.enforcer().publish(1, &copy);
    }
    let gate = house.gate(ENDING as usize + 1)?;
    let mut streams = JoinSet::new();
    for n in 1..=ENDING {
        let (flight, gate) = (flight(&gate, n).await?, gate.clone());
        streams.spawn(async move {
            let cut = flight.cut().await;
            (cut, gate.now() - flight.permit().not_after())
        });
    }
    if house.broker.now() >= first {
        return Err("the first grant ended before every stream was open".into());
    }
    let mut late = Vec::new();
    while let Some(told) = streams.join_next().await {
        let (cut, after) = told?;
        if cut != Cut::Expired || after < TimeDelta::zero() {
            return Err(format!("cut because of {cut:?}, {after} after the end").into());
        }
        late.push(after.num_microseconds().unwrap_or(i64::MAX) as f64 / 1e3);
    }
    Ok(late)
}
