//! Runs a corpus file against a door, or against any server.
//!
//! Run with
//!
//! ```not_rust
//! cargo run --release -p gate-target --bin corpus -- gate-target/corpus/requests.jsonl --door axum
//! cargo run --release -p gate-target --bin corpus -- FILE --address 127.0.0.1:8080 --grants admin
//! ```
//!
//! Exit code 0: nothing is hard. 1: something is. 2: it could not run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gate_target::corpus::{FORWARD_AUTH, Report, Wire, parse, run};
use gate_target::door::Door;
use gate_target::house::{ALICE, Grants};

/// Sends the requests of a corpus file and grades the answers.
#[derive(Debug, Parser)]
struct Args {
    /// The corpus: one JSON object a line.
    file: PathBuf,
    /// axum, hyper, authz, pingora (a feature), or a balancer: nginx, haproxy, haproxy-2.8, envoy, envoy-grpc, caddy, traefik.
    #[arg(long, default_value = "axum")]
    door: Door,
    /// Only rows of these grants: none, admin, other_path, expired, other_user, with commas in between.
    #[arg(long, value_delimiter = ',')]
    grants: Vec<Grants>,
    /// A server that listens already, instead of a door; it must hold the one kind of grant that --grants names.
    #[arg(long)]
    address: Option<SocketAddr>,
    /// What {{TOKEN}} stands for at that server.
    #[arg(long, default_value = ALICE)]
    token: String,
    /// How long to wait for an answer, in milliseconds.
    #[arg(long, default_value_t = 700)]
    wait: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match report(Args::parse()).await {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(report.tally().hard > 0))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

async fn report(args: Args) -> Result<Report, Box<dyn std::error::Error + Send + Sync>> {
    let name = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file).map_err(|error| format!("{name}: {error}"))?;
    let rows = parse(&name, &text)?;
    let wait = Duration::from_millis(args.wait);
    let Some(address) = args.address else {
        let grants = if args.grants.is_empty() {
            Grants::ALL.to_vec()
        } else {
            args.grants
        };
        return Report::of_door(args.door, &rows, &grants, wait).await;
    };
    let [grants] = args.grants[..] else {
        return Err("with --address, name with --grants the one kind of grant that the server holds".into());
    };
    let mut wire = Wire::new(address, &args.token);
    wire.wait = wait;
    let mut report = Report::default();
    for row in &rows {
        if row.grant != grants {
            report.skip(row, "another grant");
        } else if row.group == FORWARD_AUTH {
            report.skip(row, "only for the door authz");
        }
    }
    let rows: Vec<_> = rows.into_iter().filter(|row| row.grant == grants).collect();
    report.add(run(&rows, &wire).await?);
    Ok(report)
}
