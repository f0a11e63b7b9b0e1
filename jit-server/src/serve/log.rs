//! The log, on standard error: one line for each event, whatever is in it.
//!
//! 1. `JIT_LOG` says what is logged: a level, or targets with levels, such as `warn,jit_core=debug`. `info` unless said otherwise.
//! 2. What libraries say below `info` is never logged: their traces hold headers, and with them credentials.
//! 3. What people typed is inert: control, format and bidirectional characters, line ends among them, are written as `\u` and four
//!    hex digits, which JSON reads back.

use std::env;
use std::io::{self, Write};

use clap::ValueEnum;
use jit_core::policy::text::is_unprintable;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::BoxError;

/// Names the environment variable that says what is logged.
const FILTER: &str = "JIT_LOG";

/// How events are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
#[expect(clippy::exhaustive_enums, reason = "a command line lists what there is")]
pub enum LogFormat {
    /// For people: time, level, where, and what.
    #[default]
    Text,
    /// For programs: a JSON object.
    Json,
}

/// Begins to log.
pub(super) fn begin(format: LogFormat) -> Result<(), BoxError> {
    let wanted = match env::var(FILTER) {
        Ok(text) => filter(&text)?,
        Err(env::VarError::NotPresent) => filter("info")?,
        Err(error) => return Err(format!("{FILTER}: {error}; write a level such as info").into()),
    };
    subscriber(format, wanted, io::stderr).try_init()?;
    Ok(())
}

fn filter(text: &str) -> Result<Targets, String> {
    let read = text.parse();
    read.map_err(|error| {
        format!("{FILTER}: {error}; write a level, or targets with levels, such as warn,jit_core=debug")
    })
}

fn subscriber<W>(format: LogFormat, wanted: Targets, to: fn() -> W) -> impl Subscriber + Send + Sync
where
    W: Write + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(false);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => Box::new(layer.with_writer(Lines(to))),
        LogFormat::Json => Box::new(layer.json().flatten_event(true).with_writer(Lines(to))),
    };
    tracing_subscriber::registry().with(layer.with_filter(wanted.and(filter_fn(may_be_told))))
}

fn may_be_told(event: &Metadata<'_>) -> bool {
    event.target().starts_with("jit_") || *event.level() <= LevelFilter::INFO
}

/// Writes what it gets at once as one line.
struct Lines<W>(fn() -> W);

/// One event on its way.
struct Line<W>(W);

impl<'w, W: Write + 'static> MakeWriter<'w> for Lines<W> {
    type Writer = Line<W>;
    fn make_writer(&'w self) -> Line<W> {
        Line((self.0)())
    }
}

impl<W: Write> Write for Line<W> {
    /// An event comes whole, with a line end of its own.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = inert(text.strip_suffix('\n').unwrap_or(&text));
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// With every character that does something written as what it is.
pub(super) fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard};

    use super::*;

    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    /// One test at a time writes.
    static TURN: Mutex<()> = Mutex::new(());

    struct Shared;

    impl Write for Shared {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            WRITTEN.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, wanted: &str, events: impl FnOnce()) -> String {
        let _turn: MutexGuard<'_, ()> = TURN.lock().unwrap();
        WRITTEN.lock().unwrap().clear();
        let subscriber = subscriber(format, filter(wanted).unwrap(), || Shared);
        tracing::subscriber::with_default(subscriber, events);
        String::from_utf8(std::mem::take(&mut *WRITTEN.lock().unwrap())).unwrap()
    }

    #[test]
    fn what_people_typed_is_inert() {
        for typed in [
            "a\u{1b}[2J\u{1b}]0;owned\u{7}",
            "a\r\n2026-11-22T00:00:00Z  INFO jit_server: forged",
            "a\u{202e}gnp.exe\u{2066}x",
            "a\u{9b}31m",
            "a\u{85}b\u{2028}c\u{0}\u{7f}",
            "a\u{e0041}b",
        ] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let log = logged(format, "info", || {
                    tracing::info!(reason = typed, shown = ?typed, told = %typed, "{typed}");
                });
                let line = log.strip_suffix('\n').unwrap();
                assert!(!line.contains(is_unprintable), "{typed:?} {line:?}");
                if format == LogFormat::Json {
                    let event: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert_eq!(event["message"], typed, "{line}");
                    assert_eq!(event["reason"], typed, "{line}");
                }
            }
        }
    }

    #[test]
    fn libraries_keep_their_traces_to_themselves() {
        let events = || {
            tracing::debug!(target: "h2::codec", "authorization: Bearer secret");
            tracing::info!(target: "h2::codec", "from h2");
            tracing::trace!(target: "jit_core::gate", "from the core");
        };
        let log = logged(LogFormat::Text, "trace", events);
        assert!(log.contains("from h2") && log.contains("from the core"), "{log}");
        assert!(!log.contains("secret"), "{log}");
        let log = logged(LogFormat::Text, "warn,jit_core=trace", events);
        assert!(!log.contains("from h2") && log.contains("from the core"), "{log}");
        assert!(filter("jit_core=loud").unwrap_err().contains("JIT_LOG"));
    }
}
