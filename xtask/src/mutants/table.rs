//! The table of planted bugs.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use crate::Result;

/// One planted bug.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// Unlike all others.
    pub(crate) name: String,
    /// What it breaks.
    pub(crate) rule: String,
    /// Where, from the root of the workspace.
    pub(crate) file: String,
    /// The text to replace; it stands in the file exactly once.
    pub(crate) find: String,
    /// What to put in its place.
    pub(crate) replace: String,
    /// What must fail.
    pub(crate) test: Test,
}

/// The test that must fail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    /// Its package.
    pub(crate) package: String,
    /// Which of the package's test binaries it is in: `lib` for unit tests, `schedules` for those of `cargo xtask schedules`, or the
    /// name of an integration test. Only this one is built.
    pub(crate) target: String,
    /// Its name or a part of it.
    pub(crate) filter: String,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {}", self.filter, self.package, self.target)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    mutant: Vec<Mutant>,
}

impl Mutant {
    /// The text `source` with the bug in it.
    pub(crate) fn plant(&self, source: &str) -> Result<String> {
        match source.matches(&self.find).count() {
            1 => Ok(source.replacen(&self.find, &self.replace, 1)),
            0 => Err(format!("its `find` text is not in {}", self.file).into()),
            count => Err(format!(
                "its `find` text stands {count} times in {}; make it longer",
                self.file
            )
            .into()),
        }
    }

    fn problem(&self) -> Option<&'static str> {
        if [&self.name, &self.rule, &self.file]
            .iter()
            .any(|text| text.trim().is_empty())
        {
            return Some("name, rule and file must not be empty");
        }
        if self.find.trim().is_empty() {
            return Some("`find` must not be empty");
        }
        if self.find == self.replace {
            return Some("`find` and `replace` are the same");
        }
        if [&self.test.package, &self.test.target, &self.test.filter]
            .iter()
            .any(|text| text.is_empty())
        {
            return Some("the test must name its package, its target and a filter");
        }
        None
    }
}

/// Reads the table.
pub(crate) fn parse(text: &str) -> Result<Vec<Mutant>> {
    let Table { mutant: mutants } = toml::from_str(text)?;
    let mut names = BTreeSet::new();
    for mutant in &mutants {
        if let Some(problem) = mutant.problem() {
            return Err(format!("{:?}: {problem}", mutant.name).into());
        }
        if !names.insert(&mutant.name) {
            return Err(format!("{:?}: another entry has this name", mutant.name).into());
        }
    }
    Ok(mutants)
}

/// Those that `only` names, with commas in between, in that order; or all.
pub(crate) fn select(mutants: Vec<Mutant>, only: Option<&str>) -> Result<Vec<Mutant>> {
    let Some(names) = only else { return Ok(mutants) };
    names
        .split(',')
        .map(|name| match mutants.iter().find(|mutant| mutant.name == name) {
            Some(mutant) => Ok(mutant.clone()),
            None => Err(format!("no mutant is named {name:?}; --list shows them all").into()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
[[mutant]]
name = 'self-review'
rule = 'rule 7'
file = 'jit-core/src/lib.rs'
find = '''
    if own {
'''
replace = '''
    if false {
'''
test = { package = 'jit-core', target = 'heart', filter = 'rule_7' }
";

    #[test]
    fn an_entry_is_read_and_planted() {
        let mutants = parse(GOOD).unwrap();
        assert_eq!(mutants.len(), 1);
        assert_eq!(mutants[0].test.to_string(), "rule_7 of jit-core heart");
        let planted = mutants[0].plant("fn f() {\n    if own {\n    }\n}\n").unwrap();
        assert_eq!(planted, "fn f() {\n    if false {\n    }\n}\n");
    }

    #[test]
    fn the_text_to_find_stands_there_exactly_once() {
        let mutant = parse(GOOD).unwrap().remove(0);
        for (source, problem) in [
            ("fn f() {}", "its `find` text is not in jit-core/src/lib.rs"),
            (
                "    if own {\n    if own {\n",
                "its `find` text stands 2 times in jit-core/src/lib.rs; make it longer",
            ),
        ] {
            assert_eq!(mutant.plant(source).unwrap_err().to_string(), problem, "{source}");
        }
    }

    #[test]
    fn a_faulty_entry_is_refused() {
        parse("").unwrap();
        for (from, to, problem) in [
            ("name = 'self-review'", "name = ' '", "must not be empty"),
            ("    if own {\n", " \n", "`find` must not be empty"),
            ("    if false {", "    if own {", "are the same"),
            ("'rule_7'", "''", "a filter"),
            ("'heart'", "''", "its target"),
            ("rule = ", "rlue = ", "unknown field `rlue`"),
            ("[[mutant]]", "[[mutants]]", "unknown field `mutants`"),
        ] {
            let error = parse(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(problem), "{to}: {error}");
        }
        let error = parse(&format!("{GOOD}{GOOD}")).unwrap_err().to_string();
        assert!(error.contains("another entry has this name"), "{error}");
    }

    #[test]
    fn one_can_be_selected() {
        let mutants = parse(GOOD).unwrap();
        assert_eq!(select(mutants.clone(), Some("self-review")).unwrap().len(), 1);
        assert_eq!(select(mutants.clone(), None).unwrap().len(), 1);
        for unknown in ["self", "", "self-review,", "self-review,other"] {
            select(mutants.clone(), Some(unknown)).unwrap_err();
        }
    }
}
