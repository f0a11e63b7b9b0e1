//! How times are taken on a machine that others use too.
//!
//! Every round runs every case once, so that what disturbs one disturbs all, and a case is the median over its rounds. What counts are
//! ratios and differences within one run.

use std::time::{Duration, Instant};

/// Times one call.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// Something that starts now and is over later.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has been.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The value that `percent` of all are at or below; 0 of nothing.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get(last * percent / 100).copied().unwrap_or_default()
}

/// The median; 0 of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50)
}

/// Microseconds, for a table.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// How long this process has computed so far, in microseconds; 0 where `/proc` does not tell. It counts in hundredths of a second.
pub fn cpu_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold anything, user and system time are the 12th and 13th (proc_pid_stat(5)).
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() * 1e4
}
