//! What the gate costs a request, in instructions and allocations: the difference between two lengths of one loop under valgrind.
//!
//! Run with `cargo run --profile bench -p benches --bin instructions`; it needs valgrind. Unlike times, these numbers are the same on a busy
//! machine. valgrind's processor has no instructions for SHA-256, so hashing the credential counts for more here than it takes.

use std::process::{Command, ExitCode};

use benches::draws::Turns;
use benches::figures::{figure, quick};
use benches::house::BoxError;
use benches::path::{Case, Road};

const SHORT: usize = 1_000;
/// So much longer that what the allocator does with the memory of the start is lost in it.
const LONG: usize = 21_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        [] | ["--quick"] => compare(),
        ["loop", case, grants, rounds] => repeat(case, grants, rounds),
        _ => Err("usage: instructions [--quick | loop <case> <grants> <rounds>]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What valgrind looks at.
fn repeat(case: &str, grants: &str, rounds: &str) -> Result<(), BoxError> {
    let case = Case::named(case).ok_or("there is no such case")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut road = runtime.block_on(Road::build(grants.parse()?, Turns::One))?;
    road.run(case, rounds.parse()?);
    Ok(())
}

fn compare() -> Result<(), BoxError> {
    println!(
        "{:<44} {:>12} {:>12}",
        "per request", "instructions", "allocations"
    );
    let tables: &[usize] = if quick() { &[1_000] } else { &[1_000, 1] };
    for &grants in tables {
        let cost = |case| cost(case, grants);
        let layer = minus(cost(Case::Layer)?, cost(Case::Bare)?);
        let (read, decide) = (cost(Case::Read)?, cost(Case::Decide)?);
        let mut lines = vec![
            ("the layer, over the bare service", layer),
            ("Gate::decide alone", decide),
            ("of which reads the request", read),
            ("of which checks it and records it", minus(decide, read)),
        ];
        if grants == 1_000 {
            figure("allow_path_instructions", minus(decide, read).instructions);
            figure("layer_instructions", layer.instructions);
            figure("decide_instructions", decide.instructions);
        }
        if !quick() {
            lines.push(("Caller::check alone", cost(Case::Caller)?));
            lines.push(("Enforcer::check alone", cost(Case::Check)?));
            let refused = minus(cost(Case::Refused)?, cost(Case::BareCopy)?);
            lines.push(("403, over the bare service", refused));
        }
        for (what, cost) in lines {
            println!(
                "{:<44} {:>12.0} {:>12}",
                format!("{what}, {grants} live"),
                cost.instructions,
                cost.allocations.map_or("–".to_owned(), |n| format!("{n:.2}"))
            );
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    instructions: f64,
    /// Not counted in a short run.
    allocations: Option<f64>,
}

fn minus(one: Cost, other: Cost) -> Cost {
    Cost {
        instructions: one.instructions - other.instructions,
        allocations: one.allocations.zip(other.allocations).map(|(a, b)| a - b),
    }
}

fn cost(case: Case, grants: usize) -> Result<Cost, BoxError> {
    let per_request = |tool: &str, read: fn(&str) -> Option<u64>| -> Result<f64, BoxError> {
        let short = valgrind(tool, case, grants, SHORT, read)?;
        let long = valgrind(tool, case, grants, LONG, read)?;
        Ok((long as f64 - short as f64) / (LONG - SHORT) as f64)
    };
    Ok(Cost {
        instructions: per_request("callgrind", collected)?,
        allocations: (!quick()).then(|| per_request("dhat", blocks)).transpose()?,
    })
}

fn valgrind(
    tool: &str,
    case: Case,
    grants: usize,
    rounds: usize,
    read: fn(&str) -> Option<u64>,
) -> Result<u64, BoxError> {
    let mut command = Command::new("valgrind");
    command
        .args([format!("--tool={tool}"), format!("--{tool}-out-file=/dev/null")])
        .arg(std::env::current_exe()?)
        .args(["loop", case.name(), &grants.to_string(), &rounds.to_string()]);
    let output = command.output().map_err(|error| {
        format!("valgrind can't be run ({error}); install it, for example with: apt-get install valgrind")
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("under valgrind the loop failed:\n{said}").into());
    }
    read(&said).ok_or_else(|| format!("valgrind did not say what it counted:\n{said}").into())
}

/// `==1== Collected : 12345`
fn collected(said: &str) -> Option<u64> {
    number_after(said, "Collected :")
}

/// `==1== Total:     55,488 bytes in 1,234 blocks`
fn blocks(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Total:"))?;
    number_after(line, "bytes in")
}

fn number_after(text: &str, mark: &str) -> Option<u64> {
    let (_, rest) = text.split_once(mark)?;
    rest.split_whitespace().next()?.replace(',', "").parse().ok()
}
