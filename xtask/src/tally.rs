//! Reads what the standard test harness prints, line by line.

/// What a run of one or many test binaries came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests passed, over all binaries that came to an end.
    pub(crate) passed: usize,
    /// Tests failed, over all binaries that came to an end.
    pub(crate) failed: usize,
    /// Tests by name that were reported as passed.
    pub(crate) passes: Vec<String>,
    /// Tests by name that were reported as failed.
    pub(crate) failures: Vec<String>,
    started: usize,
    ended: usize,
}

impl Tally {
    /// Reads everything that a run printed.
    pub(crate) fn of(output: &str) -> Self {
        let mut tally = Self::default();
        output.lines().for_each(|line| tally.read(line));
        tally
    }

    /// Reads one line.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.ended += 1;
            self.passed += number_before(rest, " passed");
            self.failed += number_before(rest, " failed");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... ok")) {
            self.passes.push(undecorated(name));
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|l| l.strip_suffix(" ... FAILED"))
        {
            self.failures.push(undecorated(name));
        } else if is_start(line) {
            self.started += 1;
        }
    }

    /// Test binaries that began and never reported a result: they aborted or were killed.
    pub(crate) fn died(&self) -> usize {
        self.started.saturating_sub(self.ended)
    }

    /// Adds what another run came to.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.passes.extend(other.passes);
        self.failures.extend(other.failures);
        self.started += other.started;
        self.ended += other.ended;
    }
}

/// Whether `line` reads `running 12 tests`.
fn is_start(line: &str) -> bool {
    line.strip_prefix("running ")
        .and_then(|rest| rest.split_once(' '))
        .is_some_and(|(count, word)| count.parse::<usize>().is_ok() && matches!(word, "test" | "tests"))
}

/// The number that stands right before `word`; 0 if there is none.
fn number_before(text: &str, word: &str) -> usize {
    text.split_once(word)
        .and_then(|(before, _)| before.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// The test's name without ` - should panic`.
fn undecorated(name: &str) -> String {
    name.strip_suffix(" - should panic").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
test a::works ... ok
test a::panics - should panic ... ok
test a::breaks ... FAILED

failures:

---- a::breaks stdout ----
running late
test result

test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 7 filtered out; finished in 0.00s

running 1 test
test jit-core/src/lib.rs - id (line 12) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s
";

    #[test]
    fn all_binaries_are_added_up() {
        let tally = Tally::of(OUTPUT);
        assert_eq!((tally.passed, tally.failed, tally.died()), (3, 1, 0));
        assert_eq!(tally.failures, ["a::breaks"]);
        assert_eq!(
            tally.passes,
            ["a::works", "a::panics", "jit-core/src/lib.rs - id (line 12)"]
        );
    }

    #[test]
    fn a_binary_that_never_reports_has_died() {
        let mut tally = Tally::of(OUTPUT);
        tally.add(Tally::of("running 2 tests\ntest b::one ... ok\n"));
        assert_eq!((tally.passed, tally.failed, tally.died()), (3, 1, 1));
    }
}
