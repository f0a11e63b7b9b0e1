//! A provider's process: one JSON object a line goes in, its answer comes out. It ends with its input.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::npm::installed;

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a script of ours; answers what it says first as well.
    pub(crate) fn start(script: &str, arguments: &[&str]) -> (Self, Value) {
        let mut child = Command::new("node")
            .arg(script)
            .args(arguments)
            .current_dir(installed())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "node is missing ({error}): install Node.js 20 or newer; this test starts a real provider"
                )
            });
        let mut process = Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        let first = process.answer();
        (process, first)
    }

    pub(crate) fn command(&mut self, command: &Value) -> Value {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the provider ended: {line:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without its input it ends by itself; whatever became of it, it must not stay.
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
