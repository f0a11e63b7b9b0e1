//! `cargo xtask mutants`: plants each bug of `xtask/mutants.toml` in turn and sees whether the named test notices.
//!
//! It works on a copy in `target/mutants`, which it keeps so that a next run builds only what changed. A bug counts as caught
//! when a test that its filter names fails, and by nothing else: not when it does not compile, not when the tests hang or die.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::Result;
use crate::args::Args;
use crate::mutants::bench::{Bench, Run};
use crate::mutants::copy::Copy;
use crate::mutants::table::Mutant;
use crate::tally::Tally;
use crate::test::{ON_PINGORA, PINGORA, WITHOUT};
use crate::workspace::{Workspace, stopwatch};

mod bench;
mod copy;
mod table;

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "mutants",
    usage: "[--only NAME,…] [--every N] [--list]",
    about: "Plants each bug of xtask/mutants.toml in a copy of the workspace; the test that it names must fail. --every N: each Nth of them.",
    // All of them take some twenty minutes: run that before a release, and after changing what tests say.
    in_test: Some(&["--every", "4"]),
    run,
};

/// What became of one planted bug.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// This test failed.
    Caught(String),
    /// The tests that the filter names passed.
    Missed,
    DidNotCompile,
    TimedOut,
    /// The test process ended without a verdict.
    Died,
}

fn run(mut args: Args) -> Result<ExitCode> {
    let only: Option<String> = args.value("--only")?;
    let every: Option<usize> = args.value("--every")?;
    let list = args.flag("--list");
    args.finish()?;
    let every = every.unwrap_or(1);
    if every == 0 {
        return Err("--every 0 leaves none: 1 is all of them".into());
    }

    let workspace = Workspace::load()?;
    let file = workspace.root.join("xtask/mutants.toml");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mutants = table::parse(&text).map_err(|error| format!("xtask/mutants.toml: {error}"))?;
    let without = std::env::var(WITHOUT).unwrap_or_default();
    let mutants: Vec<_> = table::select(mutants, only.as_deref())?
        .into_iter()
        .filter(|mutant| can_be_tried(mutant, &without))
        .step_by(every)
        .collect();
    if list {
        for mutant in &mutants {
            println!(
                "{}: {} ({}, test {})",
                mutant.name, mutant.rule, mutant.file, mutant.test
            );
        }
        return Ok(ExitCode::SUCCESS);
    }

    let folder = workspace.target.join("mutants");
    let copy = Copy::sync(&workspace.root, folder.join("work"))?;
    let planted = plan(&copy, &mutants)?;
    let bench = Bench::new(copy.root(), folder.join("target"));

    println!("building the unchanged copy and running the named tests on it");
    check_unchanged(&bench, &mutants)?;

    let mut outcomes = Vec::new();
    for (at, (mutant, (path, bug))) in mutants.iter().zip(planted).enumerate() {
        let started = stopwatch();
        let original = std::fs::read_to_string(&path)?;
        std::fs::write(&path, bug)?;
        let outcome = bench
            .run(&mutant.test.package, &mutant.test.target, &[&mutant.test.filter])
            .map(outcome);
        std::fs::write(&path, original)?;
        let outcome = outcome?;
        println!(
            "[{}/{}] {}: {} ({:.1} s)",
            at + 1,
            mutants.len(),
            mutant.name,
            outcome.verdict(),
            started.elapsed().as_secs_f64()
        );
        outcomes.push(outcome);
    }
    print!("\n{}", report(&mutants, &outcomes));
    let all_caught = outcomes
        .iter()
        .all(|outcome| matches!(outcome, Outcome::Caught(_)));
    Ok(if all_caught {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether its tests can be built without what `cargo xtask test --without` names.
fn can_be_tried(mutant: &Mutant, without: &str) -> bool {
    !(without.split(',').any(|product| product == PINGORA) && ON_PINGORA.contains(&&*mutant.test.package))
}

/// Where each bug goes and the file's text with it in, made before anything is built so that a stale entry shows at once.
fn plan(copy: &Copy, mutants: &[Mutant]) -> Result<Vec<(PathBuf, String)>> {
    let mut plan = Vec::new();
    let mut problems = Vec::new();
    for mutant in mutants {
        let planted = copy.path(&mutant.file).and_then(|path| {
            let bug = mutant.plant(&std::fs::read_to_string(&path)?)?;
            Ok((path, bug))
        });
        match planted {
            Ok(planted) => plan.push(planted),
            Err(problem) => problems.push(format!("{}: {problem}", mutant.name)),
        }
    }
    if problems.is_empty() {
        Ok(plan)
    } else {
        Err(problems.join("\n       ").into())
    }
}

/// Every filter must name a test, and each of those must pass, or a failure later on would prove nothing.
fn check_unchanged(bench: &Bench, mutants: &[Mutant]) -> Result<()> {
    let mut filters: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for Mutant { test, .. } in mutants {
        filters
            .entry((&test.package, &test.target))
            .or_default()
            .push(&test.filter);
    }
    for ((package, target), filters) in filters {
        match bench.run(package, target, &filters)? {
            Run::DidNotCompile(errors) => {
                return Err(
                    format!("the tests of {package} do not compile without any bug:\n{errors}").into(),
                );
            }
            Run::TimedOut => return Err(format!("the tests of {package} hang without any bug").into()),
            Run::Ended(tally) => unchanged_passes(package, &filters, &tally)?,
        }
    }
    Ok(())
}

fn unchanged_passes(package: &str, filters: &[&str], tally: &Tally) -> Result<()> {
    if let Some(test) = tally.failures.first() {
        return Err(format!("test {test} of {package} fails without any bug").into());
    }
    if tally.died() > 0 || tally.failed > 0 {
        return Err(format!("the tests of {package} fail without any bug").into());
    }
    match filters
        .iter()
        .find(|filter| !tally.passes.iter().any(|test| test.contains(**filter)))
    {
        None => Ok(()),
        Some(filter) => Err(format!("no test of {package} is named {filter:?}").into()),
    }
}

fn outcome(run: Run) -> Outcome {
    match run {
        Run::DidNotCompile(_) => Outcome::DidNotCompile,
        Run::TimedOut => Outcome::TimedOut,
        Run::Ended(tally) => match tally.failures.first() {
            Some(test) => Outcome::Caught(test.clone()),
            None if tally.died() > 0 || tally.failed > 0 => Outcome::Died,
            None => Outcome::Missed,
        },
    }
}

impl Outcome {
    fn verdict(&self) -> String {
        match self {
            Self::Caught(test) => return format!("caught by {test}"),
            Self::Missed => "MISSED",
            Self::DidNotCompile => "DID NOT COMPILE",
            Self::TimedOut => "TIMED OUT",
            Self::Died => "TEST PROCESS DIED",
        }
        .to_owned()
    }
}

/// What was not caught, and the line that counts.
fn report(mutants: &[Mutant], outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let mut caught = 0;
    for (mutant, outcome) in mutants.iter().zip(outcomes) {
        if matches!(outcome, Outcome::Caught(_)) {
            caught += 1;
            continue;
        }
        text.push_str(&format!(
            "{}: {} (test {})\n    {}\n",
            mutant.name,
            outcome.verdict(),
            mutant.test,
            mutant.rule
        ));
    }
    text.push_str(&format!("{caught} caught, {} missed\n", outcomes.len() - caught));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(name: &str) -> Mutant {
        let text = format!(
            "[[mutant]]\nname = {name:?}\nrule = 'rule 7'\nfile = 'a.rs'\nfind = 'x'\nreplace = 'y'\n\
             test = {{ package = 'p', target = 'lib', filter = 'self_review' }}"
        );
        table::parse(&text).unwrap().remove(0)
    }

    #[test]
    fn every_bug_of_the_table_has_its_place_in_the_code() {
        let root = Workspace::load().unwrap().root;
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        let stale: Vec<_> = table::parse(&read("xtask/mutants.toml"))
            .unwrap()
            .iter()
            .filter_map(|mutant| {
                Some(format!(
                    "{}: {}",
                    mutant.name,
                    mutant.plant(&read(&mutant.file)).err()?
                ))
            })
            .collect();
        assert!(stale.is_empty(), "{}", stale.join("\n"));
    }

    #[test]
    fn what_needs_pingora_is_left_out_without_it() {
        let (mut on_pingora, other) = (mutant("a"), mutant("b"));
        on_pingora.test.package = "jit-pingora".to_owned();
        for (without, tried) in [("", true), ("nginx", true), ("nginx,pingora", false)] {
            assert_eq!(can_be_tried(&on_pingora, without), tried, "{without}");
            assert!(can_be_tried(&other, without), "{without}");
        }
    }

    #[test]
    fn only_a_failed_test_catches() {
        let end = |output: &str| Run::Ended(Tally::of(output));
        for (run, expected) in [
            (
                end("running 1 test\ntest a ... FAILED\ntest result: FAILED. 0 passed; 1 failed"),
                Outcome::Caught("a".into()),
            ),
            (
                end("running 1 test\ntest a ... ok\ntest result: ok. 1 passed; 0 failed"),
                Outcome::Missed,
            ),
            (end("running 1 test"), Outcome::Died),
            (Run::DidNotCompile("error".into()), Outcome::DidNotCompile),
            (Run::TimedOut, Outcome::TimedOut),
        ] {
            assert_eq!(outcome(run), expected);
        }
    }

    #[test]
    fn the_report_counts_what_is_not_caught_as_missed() {
        let mutants = [mutant("short"), mutant("a-longer-name")];
        let text = report(&mutants, &[Outcome::Caught("t".into()), Outcome::DidNotCompile]);
        assert_eq!(
            text,
            "a-longer-name: DID NOT COMPILE (test self_review of p lib)\n    rule 7\n\
             1 caught, 1 missed\n"
        );
    }

    #[test]
    fn a_filter_without_a_passing_test_proves_nothing() {
        let tally =
            Tally::of("running 1 test\ntest rules::self_review ... ok\ntest result: ok. 1 passed; 0 failed");
        unchanged_passes("p", &["self_review"], &tally).unwrap();
        let error = unchanged_passes("p", &["self_review", "quorum"], &tally).unwrap_err();
        assert_eq!(error.to_string(), "no test of p is named \"quorum\"");
        let tally =
            Tally::of("running 1 test\ntest self_review ... FAILED\ntest result: FAILED. 0 passed; 1 failed");
        unchanged_passes("p", &["self_review"], &tally).unwrap_err();
    }
}
