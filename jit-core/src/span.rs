//! Lengths of time as people write them: `"30m"`, `"1h 30m"`, `"90s"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::id::{ParseError, Timestamp, as_text};
use chrono::TimeDelta;

/// A length of time, longer than zero and at most [`Span::MAX`], in whole milliseconds.
///
/// The bounds are in the type: no sum of a few spans and a date of this age can leave the calendar, and a window of
/// zero length, which nobody means, can't be written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

as_text!(Span, |span, to| to.collect_str(span));

impl Span {
    /// 366 days.
    pub const MAX: Self = Self(366 * 24 * 60 * 60 * 1000);

    /// A span of `seconds`.
    ///
    /// # Errors
    /// [`ParseError`] when it is zero or longer than [`Span::MAX`].
    pub const fn seconds(seconds: u64) -> Result<Self, ParseError> {
        Self::millis(seconds.saturating_mul(1000))
    }

    /// A span of `minutes` that a program's author wrote down: clamped into the bounds instead of failing.
    pub const fn minutes(minutes: u32) -> Self {
        match Self::millis(minutes as u64 * 60_000) {
            Ok(span) => span,
            Err(_) if minutes == 0 => Self(1),
            Err(_) => Self::MAX,
        }
    }

    /// A span of `millis` milliseconds.
    ///
    /// # Errors
    /// [`ParseError`] when it is zero or longer than [`Span::MAX`].
    pub const fn millis(millis: u64) -> Result<Self, ParseError> {
        if millis == 0 {
            return Err(ParseError::ZERO_SPAN);
        }
        if millis > Self::MAX.0 {
            return Err(ParseError::LONG_SPAN);
        }
        Ok(Self(millis))
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// As the standard library's type.
    pub const fn as_std(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// As chrono's type.
    pub fn as_delta(self) -> TimeDelta {
        // At most 366 days of milliseconds: fits an i64 and a TimeDelta many times over.
        i64::try_from(self.0)
            .ok()
            .and_then(TimeDelta::try_milliseconds)
            .unwrap_or(TimeDelta::MAX)
    }

    /// The moment this much after `from`; the end of the calendar if that lies beyond it.
    pub fn after(self, from: Timestamp) -> Timestamp {
        from.checked_add_signed(self.as_delta())
            .unwrap_or(Timestamp::MAX_UTC)
    }

    /// The length between two moments, when it is longer than zero and within the bounds.
    pub fn between(from: Timestamp, until: Timestamp) -> Option<Self> {
        let millis = until.signed_duration_since(from).num_milliseconds();
        u64::try_from(millis).ok().and_then(|m| Self::millis(m).ok())
    }
}

impl ParseError {
    const ZERO_SPAN: Self = Self::span("must be longer than zero");
    const LONG_SPAN: Self = Self::span("must be at most 366 days");
}

impl FromStr for Span {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const FORM: ParseError = ParseError::span("must read like \"30m\", \"1h 30m\" or \"90s\"");
        if text.len() > 64 {
            return Err(FORM);
        }
        let std = humantime::parse_duration(text).map_err(|_| FORM)?;
        let millis = u64::try_from(std.as_millis()).map_err(|_| ParseError::LONG_SPAN)?;
        if std.subsec_nanos() % 1_000_000 != 0 {
            return Err(ParseError::span("is finer than a millisecond"));
        }
        Self::millis(millis)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days are the longest unit: months and years have no length of their own, and 90 days are not two of them and a rest.
        let mut rest = self.0;
        let mut space = "";
        for (unit, name) in [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1000, "s"),
            (1, "ms"),
        ] {
            let (count, left) = (rest / unit, rest % unit);
            if count > 0 {
                write!(f, "{space}{count}{name}")?;
                space = " ";
            }
            rest = left;
        }
        Ok(())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({self})")
    }
}

impl TryFrom<String> for Span {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time such as \"30m\", \"1h 30m\" or \"90s\"; longer than zero, at most 366 days",
            "examples": ["30m", "1h 30m", "90s"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_alike() {
        for (text, millis) in [
            ("30m", 1_800_000),
            ("1h 30m", 5_400_000),
            ("1500ms", 1500),
            ("366days", 366 * 86_400_000),
            // As it was printed once, and stands in databases.
            ("1day", 86_400_000),
            ("2months 29days 2h 52m 48s", 90 * 86_400_000),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.as_millis(), millis, "{text}");
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span, "{text}");
        }
    }

    #[test]
    fn spans_print_as_people_write_them() {
        for text in [
            "30m",
            "1h 30m",
            "90d",
            "1d 2h",
            "366d",
            "1ms",
            "1d 1h 1m 1s 1ms",
            "59s 999ms",
        ] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("3months".parse::<Span>().unwrap().to_string(), "91d 7h 40m 48s");
    }

    #[test]
    fn nothing_out_of_bounds_is_a_span() {
        for text in [
            "",
            "0s",
            "-5m",
            "367days",
            "1us",
            "99999999999999999999h",
            "30",
            "m",
            "1e3s",
            "٣m",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn the_calendars_end_is_not_passed() {
        assert_eq!(Span::MAX.after(Timestamp::MAX_UTC), Timestamp::MAX_UTC);
    }
}
