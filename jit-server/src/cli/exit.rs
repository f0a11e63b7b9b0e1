//! How a command ends: the codes that scripts rest on, and what is said when it is not "done".

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

/// The codes, in words for `--help`. They never change their meaning.
pub const EXIT_CODES: &str = "Exit codes:
  0  done, or stopped as asked
  1  failed; standard error says why
  2  the command line is wrong
  3  refused: not eligible, not signed in or not strongly enough, a limit, a lockdown, or input that the policy does not take
  4  no access: the request was denied, withdrawn, timed out, or has ended
  5  still pending when the time to wait was over
  6  the control API can't be reached, or can't do it now; try again later
  7  the request has changed, or was decided, since it was read; read it again

With `-o json` what is not done is told as JSON on standard error's last line: exit_code, message, and problem, the control API's answer
(RFC 9457), if it answered. A command line that can't be read is told in words. Where `jit with -o json` tells nothing, the code is its
command's.

`jit with` exits with the code of its command once that runs: 128 and the signal's number if a signal ended it, 126 if it can't be run,
127 if there is no such command.";

/// The code that a command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    Failed,
    Usage,
    Refused,
    NoAccess,
    StillPending,
    Unreachable,
    Changed,
    /// Another program's code.
    Of(u8),
}

impl Exit {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NoAccess => 4,
            Self::StillPending => 5,
            Self::Unreachable => 6,
            Self::Changed => 7,
            Self::Of(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command is not done, for people; empty if there is nothing to say.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) text: String,
    pub(super) passing: Option<Passing>,
    /// Whether what was tried, once or more often, may have been done all the same, whatever the last answer says.
    pub(super) in_doubt: bool,
    /// Whether the text is lines that each name a file and a line, as a compiler writes them.
    pub(super) is_report: bool,
    /// What the control API answered (RFC 9457), for programs.
    pub(super) problem: Option<Box<Value>>,
}

/// A failure that can be gone when the same is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passing {
    /// Whether what was tried may have been done all the same: it was sent, and no answer says what came of it.
    pub(super) may_be_done: bool,
    /// How long the server wants to be left alone.
    pub(super) after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
            passing: None,
            in_doubt: false,
            is_report: false,
            problem: None,
        }
    }

    pub(super) fn passing(self, passing: Option<Passing>) -> Self {
        Self { passing, ..self }
    }

    pub(super) fn in_doubt(self, in_doubt: bool) -> Self {
        Self { in_doubt, ..self }
    }

    pub(super) fn of(self, problem: Value) -> Self {
        let problem = Some(Box::new(problem));
        Self { problem, ..self }
    }

    pub(super) fn failed(text: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, text.to_string())
    }

    /// What is wrong with a file, line by line.
    pub(super) fn report(text: impl Into<String>) -> Self {
        Self {
            is_report: true,
            ..Self::new(Exit::Failed, text)
        }
    }

    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }
}
