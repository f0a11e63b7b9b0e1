//! A command's arguments. What no one asked for is an error, so that a mistyped option never runs the wrong thing.

use std::fmt::Display;
use std::str::FromStr;

use crate::Result;

/// The arguments after the command's name. Take what the command knows, then [`Args::finish`].
#[derive(Debug)]
pub(crate) struct Args(Vec<String>);

impl Args {
    pub(crate) fn new(arguments: impl IntoIterator<Item = String>) -> Self {
        Self(arguments.into_iter().collect())
    }

    /// Whether `--help` or `-h` is among them.
    pub(crate) fn asks_for_help(&self) -> bool {
        self.0
            .iter()
            .any(|argument| argument == "--help" || argument == "-h")
    }

    /// Takes the option `name`, which has no value; answers whether it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|argument| argument != name);
        self.0.len() < before
    }

    /// Takes the option `name` and its value, written `--name value` or `--name=value`. `None` if it is not there.
    pub(crate) fn value<T>(&mut self, name: &str) -> Result<Option<T>>
    where
        T: FromStr<Err: Display>,
    {
        let Some(at) = self
            .0
            .iter()
            .position(|argument| argument == name || value_in(name, argument).is_some())
        else {
            return Ok(None);
        };
        let argument = self.0.remove(at);
        let value = match value_in(name, &argument) {
            Some(value) => value.to_owned(),
            None if at < self.0.len() => self.0.remove(at),
            None => return Err(format!("{name} needs a value").into()),
        };
        let value = value
            .parse()
            .map_err(|error| format!("{name} {value:?}: {error}"))?;
        Ok(Some(value))
    }

    /// Takes the first argument that is no option. Ask for it after the options, whose values look the same.
    pub(crate) fn positional(&mut self) -> Option<String> {
        let at = self.0.iter().position(|argument| !argument.starts_with('-'))?;
        Some(self.0.remove(at))
    }

    /// Fails if anything is left.
    pub(crate) fn finish(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some(argument) => Err(format!("unknown or repeated argument {argument:?}; see --help").into()),
        }
    }
}

/// The value in `argument` if it reads `--name=value`.
fn value_in<'a>(name: &str, argument: &'a str) -> Option<&'a str> {
    argument.strip_prefix(name)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_taken_in_any_order_and_form() {
        for line in [
            "--quick --cycles 50",
            "--cycles=50 --quick",
            "--cycles 50 --quick",
        ] {
            let mut args = args(line);
            assert!(args.flag("--quick"), "{line}");
            assert_eq!(args.value("--cycles").unwrap(), Some(50_u32), "{line}");
            args.finish().unwrap();
        }
        assert_eq!(args("").value::<u32>("--cycles").unwrap(), None);
    }

    #[test]
    fn what_is_no_option_is_taken_by_its_place() {
        let mut args = args("--door axum file --more");
        assert_eq!(args.value("--door").unwrap(), Some("axum".to_owned()));
        assert_eq!(args.positional().as_deref(), Some("file"));
        assert_eq!(args.positional(), None);
        assert!(args.finish().is_err());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (line, problem) in [
            ("--cycles", "--cycles needs a value"),
            (
                "--cycles many",
                "--cycles \"many\": invalid digit found in string",
            ),
            ("--cycles=-1", "--cycles \"-1\": invalid digit found in string"),
        ] {
            let error = args(line).value::<u32>("--cycles").unwrap_err();
            assert_eq!(error.to_string(), problem, "{line}");
        }
        for line in ["--cycels=50", "stray", "--cycles 50 --cycles 60"] {
            let mut args = args(line);
            args.value::<u32>("--cycles").unwrap();
            assert!(args.finish().is_err(), "{line}");
        }
    }
}
