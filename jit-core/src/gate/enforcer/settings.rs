//! How cautious an enforcer is about time.

use crate::span::Span;

/// How cautious an [`Enforcer`](super::Enforcer) is about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnforcerSettings {
    pub(super) stale_after: Span,
    pub(super) clock_lag: Option<Span>,
}

/// A setting out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{setting} must be {bounds}, not {value}")]
pub struct SettingError {
    setting: &'static str,
    bounds: &'static str,
    value: Span,
}

/// A view goes stale after 10 s; the clock does not lag.
impl Default for EnforcerSettings {
    fn default() -> Self {
        let ten = Span::seconds(10).unwrap_or(Span::minutes(1));
        Self {
            stale_after: ten,
            clock_lag: None,
        }
    }
}

impl EnforcerSettings {
    /// How old a view may be and still admit: 1 s to 300 s. It is the longest that a revocation elsewhere can go unnoticed.
    ///
    /// # Errors
    /// [`SettingError`] when out of these bounds.
    pub const fn with_stale_after(mut self, span: Span) -> Result<Self, SettingError> {
        if span.as_millis() < 1000 || span.as_millis() > 300_000 {
            return Err(SettingError {
                setting: "stale_after",
                bounds: "from 1s to 5m",
                value: span,
            });
        }
        self.stale_after = span;
        Ok(self)
    }

    /// How far this machine's clock may be behind the one that a grant's window was written by: every window ends that much
    /// earlier here. At most 60 s.
    ///
    /// # Errors
    /// [`SettingError`] when longer.
    pub const fn with_clock_lag(mut self, span: Span) -> Result<Self, SettingError> {
        if span.as_millis() > 60_000 {
            return Err(SettingError {
                setting: "clock_lag",
                bounds: "at most 1m",
                value: span,
            });
        }
        self.clock_lag = Some(span);
        Ok(self)
    }
}
