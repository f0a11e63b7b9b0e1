//! `cargo xtask schedules`: runs the enforcer's threads in many orders, and checks what must hold in each.
//!
//! The orders and what must hold are in jit-core's `gate/schedules.rs`. They are unit tests of a build of their own, with what threads share
//! replaced by shuttle's: `--cfg shuttle` is in no other build, and has its own folder in `target`.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::Result;
use crate::args::Args;
use crate::workspace::{Workspace, cargo, stopwatch};

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "schedules",
    usage: "[--count N] [--only TEST] [--replay SCHEDULE]",
    about: "Runs the enforcer's threads in N orders (200000) and checks what must hold in each; --replay: in the one that the failed TEST printed.",
    in_test: Some(&["--count", "20000"]),
    run,
};

/// The features of jit-core that its unit tests need; others only take time to build.
pub(crate) const FEATURES: &str = "testing,totp";
/// How many orders each test runs, where it is read.
const EACH: &str = "JIT_SCHEDULES";
/// The one order to run instead.
const REPLAY: &str = "JIT_SCHEDULE";
/// Where the tests are.
const TESTS: &str = "gate::schedules::";

fn run(mut args: Args) -> Result<ExitCode> {
    let count = args.value::<usize>("--count")?.unwrap_or(200_000);
    let only: Option<String> = args.value("--only")?;
    let replay: Option<String> = args.value("--replay")?;
    args.finish()?;
    if replay.is_some() && only.is_none() {
        return Err("--replay needs --only: a schedule is of one test".into());
    }
    let only = format!("{TESTS}{}", only.unwrap_or_default());
    let workspace = Workspace::load()?;
    let target = workspace.target.join("schedules");

    let (list, built) = tell(&mut tests(&target, &only, "--list"))?;
    if !built {
        return Err("the schedules did not build".into());
    }
    let number = listed(&list);
    if number == 0 {
        return Err(format!("no schedules are named {only:?}").into());
    }
    let time = stopwatch();
    let each = count.div_ceil(number);
    let mut command = tests(&target, &only, "--show-output");
    command.env(EACH, each.to_string());
    if let Some(schedule) = &replay {
        command.env(REPLAY, schedule);
    }
    let (output, success) = tell(&mut command)?;
    let ran: usize = output.lines().filter_map(counted).sum();
    if !success {
        print!("{output}");
    }
    println!(
        "schedules: {ran} in {number} tests, {:.1} s, {}",
        time.elapsed().as_secs_f64(),
        if success { "all hold" } else { "FAILED" }
    );
    if success && replay.is_none() && ran < count {
        return Err(format!("only {ran} of {count} schedules were run").into());
    }
    Ok(if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Has cargo build with what threads share instrumented, in a folder that no other copy of the workspace is built in.
pub(crate) fn instrument(command: &mut Command, target: &Path) {
    command
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "--cfg shuttle")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
}

/// The tests that `only` names, with an option for their harness.
fn tests(target: &Path, only: &str, option: &str) -> Command {
    let mut command = cargo();
    command.args(["test", "--quiet", "-p", "jit-core", "--lib"]);
    command.args(["--features", FEATURES, only, "--", option]);
    instrument(&mut command, target);
    command
}

/// What it printed, and whether it succeeded.
fn tell(command: &mut Command) -> Result<(String, bool)> {
    let output = command.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((text, output.status.success()))
}

/// How many tests are in a list of them.
fn listed(list: &str) -> usize {
    list.lines().filter(|line| line.ends_with(": test")).count()
}

/// The number in a line that says how many schedules there were.
fn counted(line: &str) -> Option<usize> {
    let (count, _) = line.split_once(" schedules of ")?;
    count.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tests_say_is_counted() {
        let list = "gate::schedules::checks::shut: test\ngate::schedules::limits::places: test\n\n2 tests, 0 benchmarks\n";
        assert_eq!(listed(list), 2);
        let output =
            "running 2 tests\n---- a stdout ----\n400 schedules of a\n1200 schedules of b\n9 schedules\n";
        assert_eq!(output.lines().filter_map(counted).sum::<usize>(), 1600);
    }
}
