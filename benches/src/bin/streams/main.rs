//! How late streams of every kind are cut over real connections, at a grant's end and at a revocation, by axum, hyper and pingora.
//!
//! Run with `cargo run --profile bench -p benches --bin streams`, and with `--features pingora` for that door too. Doors that are named on
//! the command line are all that is measured. Clients and server share one process and one clock: lateness is what a client sees, from the
//! grant's `not_after` (or the call that revokes) until the stream has ended at its end of the connection.

use std::sync::Arc;

use benches::house::{BoxError, House};
use benches::timing::percentile;
use jit_core::gate::Gate;
use jit_core::memory::MemoryStore;
use tokio::net::TcpListener;

mod application;
mod clients;
mod doors;
#[cfg(feature = "pingora")]
mod pingora;

use clients::{AT_ONCE, Bench, CONNECTIONS, EACH, Kind, STREAMS};

/// Those that this build has.
const DOORS: &[&str] = &[
    "axum",
    "hyper",
    #[cfg(feature = "pingora")]
    "pingora",
];

async fn open(door: &str, listener: TcpListener, gate: Gate) -> Result<(), BoxError> {
    match door {
        "axum" => tokio::spawn(doors::over_axum(listener, gate)),
        "hyper" => tokio::spawn(doors::over_hyper(listener, gate)),
        #[cfg(feature = "pingora")]
        "pingora" => {
            let behind = TcpListener::bind("127.0.0.1:0").await?;
            let application = behind.local_addr()?;
            tokio::spawn(pingora::application(behind));
            tokio::spawn(pingora::over_pingora(listener, gate, application))
        }
        _ => return Err(format!("no door {door:?}; there are {}", DOORS.join(", ")).into()),
    };
    Ok(())
}

fn print(door: &str, what: &str, mut late: Vec<f64>) {
    let [p50, p99, most] = [50, 99, 100].map(|percent| percentile(&mut late, percent));
    println!("{door:<10} {what:<28} {p50:>8.2} {p99:>8.2} {most:>8.2}");
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    let mut doors: Vec<String> = std::env::args().skip(1).collect();
    if doors.is_empty() {
        doors = DOORS.iter().map(|door| (*door).to_owned()).collect();
    }
    println!("ms late, as the client sees it; {EACH} of each kind at their grant's end\n");
    println!("{:<10} {:<28} {:>8} {:>8} {:>8}", "", "", "p50", "p99", "most");
    let mut ids = 1_000_000;
    for door in &doors {
        let house = House::on(Arc::new(MemoryStore::new())).await?;
        let real = house.approve(&house.ask(0).await?).await?.request;
        let gate = house.gate(AT_ONCE + 1)?;
        house.synced();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        open(door, listener, gate.clone()).await?;
        let bench = Arc::new(Bench {
            house,
            gate,
            real,
            address,
        });
        for kind in Kind::ALL {
            bench.house.synced();
            let (late, missed) = bench.at_expiry(kind, &mut ids).await?;
            print(door, kind.name(), late);
            if missed > 0 {
                println!("{door:<10} {missed} more came after their grants' ends");
            }
        }
        bench.house.synced();
        ids += 1;
        let what = format!("{} HTTP/2, one revoked", CONNECTIONS * STREAMS);
        print(door, &what, bench.at_revocation(ids).await?);
    }
    Ok(())
}
