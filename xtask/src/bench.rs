//! `cargo xtask bench`: runs the measurements of `benches/` and writes down what they came to.
//!
//! Each measurement is a program of its own that prints what it likes and, between that, lines `figure <name> <value>`. This command
//! builds them with the bench profile, runs them one after another, and collects those lines. What a program could not measure is
//! missing, and this command says so.
//!
//! 1. A full run writes `benches/RESULTS.md` and `benches/results.svg`.
//! 2. `--json FILE` writes every figure by its name besides: one flat object of numbers, with `null` for what is missing.
//! 3. `--quick` takes fewer rounds and leaves the two files as they are: its figures are for comparing, not for keeping.

mod figures;
mod report;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::Result;
use crate::args::Args;
use crate::workspace::{Workspace, cargo, stopwatch};
use figures::{FIGURES, STEPS, Step};

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "bench",
    usage: "[--quick] [--json FILE]",
    about: "Measures: the gate, the store and their peers. Writes benches/RESULTS.md and benches/results.svg; with --json also every figure by its name.",
    in_test: None,
    run,
};

/// Figures by their names.
type Measured = BTreeMap<String, f64>;

fn run(mut args: Args) -> Result<ExitCode> {
    let quick = args.flag("--quick");
    let json: Option<PathBuf> = args.value("--json")?;
    args.finish()?;
    let workspace = Workspace::load()?;
    for step in STEPS {
        build(step, &workspace)?;
    }
    let begun = stopwatch();
    let (mut measured, mut reasons) = (Measured::new(), BTreeMap::new());
    for step in STEPS {
        println!("\n== {}: {}\n", step.name, step.about);
        let problem = match measure(step, &workspace, quick, &mut measured) {
            Ok(()) => "its measurement did not print it".to_owned(),
            Err(error) => error.to_string(),
        };
        for figure in FIGURES.iter().filter(|figure| figure.step == step.name) {
            if !measured.contains_key(figure.name) {
                reasons.insert(figure.name, format!("{}: {problem}", step.name));
            }
        }
    }
    println!("\nmeasured in {:.0} s\n", begun.elapsed().as_secs_f64());
    print!("{}", report::table(&measured));
    for (name, reason) in &reasons {
        println!("no figure for {name}: {reason}");
    }
    if let Some(file) = json {
        let all: BTreeMap<&str, Option<f64>> = FIGURES
            .iter()
            .map(|figure| (figure.name, measured.get(figure.name).copied()))
            .chain(measured.iter().map(|(name, value)| (name.as_str(), Some(*value))))
            .collect();
        std::fs::write(&file, serde_json::to_string_pretty(&all)? + "\n")?;
        println!("wrote {}", file.display());
    }
    if !quick {
        let folder = workspace.root.join("benches");
        std::fs::write(folder.join("RESULTS.md"), report::markdown(&measured, &reasons))?;
        std::fs::write(folder.join("results.svg"), report::svg(&measured))?;
        println!("wrote benches/RESULTS.md and benches/results.svg");
    }
    Ok(if reasons.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Cargo with the step's target. The peers are a workspace of their own and stay out of this one's lock file.
fn command(step: &Step, workspace: &Workspace, verb: &str) -> Command {
    let mut command = cargo();
    // A bench target is run by `cargo bench`, which has this profile anyway.
    command.args([
        if step.target == "--bench" && verb == "run" {
            "bench"
        } else {
            verb
        },
        "--quiet",
    ]);
    if step.target != "--bench" || verb == "build" {
        command.args(["--profile", "bench"]);
    }
    if step.package == "peers" {
        let manifest = workspace.root.join("benches/peers/Cargo.toml");
        command.arg("--locked").arg("--manifest-path").arg(manifest);
        // What both have in common is built once.
        command.arg("--target-dir").arg(&workspace.target);
    } else {
        command.args(["-p", step.package, step.target, step.name]);
    }
    command
}

fn build(step: &Step, workspace: &Workspace) -> Result<()> {
    println!("building {}", step.name);
    let status = command(step, workspace, "build").status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} does not build", step.name).into())
    }
}

/// Passes on what a measurement prints, and keeps its figures. Those before a failure count.
fn measure(step: &Step, workspace: &Workspace, quick: bool, measured: &mut Measured) -> Result<()> {
    let mut command = command(step, workspace, "run");
    if quick {
        command.args(["--", "--quick"]);
    }
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        match figure(&line) {
            Some((name, value)) => {
                measured.insert(name.to_owned(), value);
            }
            None => println!("{line}"),
        }
    }
    let status = child.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("it ended with {status}").into())
    }
}

/// `figure <name> <value>`
fn figure(line: &str) -> Option<(&str, f64)> {
    let (name, value) = line.strip_prefix("figure ")?.split_once(' ')?;
    let value: f64 = value.parse().ok()?;
    value.is_finite().then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_name_and_a_finite_number() {
        for (line, want) in [
            ("figure decision_ns 12.5", Some(("decision_ns", 12.5))),
            ("figure decision_ns NaN", None),
            ("figure decision_ns inf", None),
            ("figure decision_ns", None),
            ("a figure of speech", None),
        ] {
            assert_eq!(figure(line), want, "{line}");
        }
    }

    #[test]
    fn every_figure_has_a_measurement_and_a_name_of_its_own() {
        for (n, figure) in FIGURES.iter().enumerate() {
            assert!(
                STEPS.iter().any(|step| step.name == figure.step),
                "{}",
                figure.name
            );
            assert!(
                FIGURES.iter().skip(n + 1).all(|other| other.name != figure.name),
                "{}",
                figure.name
            );
        }
    }

    #[test]
    fn reports_say_what_is_missing() {
        let measured = Measured::from([("allow_path_instructions".to_owned(), 1_234.0)]);
        let reasons = BTreeMap::from([("decision_ns", "gate: it ended with 1".to_owned())]);
        let text = report::markdown(&measured, &reasons);
        assert!(text.contains("1,234"), "{text}");
        assert!(text.contains("gate: it ended with 1"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
        assert!(report::svg(&measured).ends_with("</svg>\n"));
    }
}
