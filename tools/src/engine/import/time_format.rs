//! How the times of a file are written.

use std::fmt;
use std::str::FromStr;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::time::civil_or_rfc3339;

/// How the times of a file are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimeFormat {
    /// A number of units since 1970 UTC, the unit given in ns.
    Since1970(Unit),
    /// RFC 3339, or a date with or without a time of day, in UTC.
    Rfc3339,
    /// A pattern of strftime.
    Pattern(String),
}

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    fn ns(self) -> i64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        }
    }
}

impl FromStr for TimeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "s" => Self::Since1970(Unit::Seconds),
            "ms" => Self::Since1970(Unit::Millis),
            "us" => Self::Since1970(Unit::Micros),
            "ns" => Self::Since1970(Unit::Nanos),
            "rfc3339" => Self::Rfc3339,
            pattern if pattern.contains('%') => Self::Pattern(pattern.to_owned()),
            other => {
                return Err(format!(
                    "{other:?} is no time format: give s, ms, us, ns, rfc3339, or a pattern of \
                     strftime such as \"%d.%m.%Y %H:%M\""
                ));
            }
        })
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Since1970(Unit::Seconds) => "s",
            Self::Since1970(Unit::Millis) => "ms",
            Self::Since1970(Unit::Micros) => "us",
            Self::Since1970(Unit::Nanos) => "ns",
            Self::Rfc3339 => "rfc3339",
            Self::Pattern(pattern) => pattern,
        })
    }
}

impl TimeFormat {
    /// The format that a time seems to be in: a number by its size, if it is of this century.
    pub(super) fn guess(text: &str) -> Self {
        let whole = text.split('.').next().unwrap_or_default();
        let digits = whole.trim_start_matches('-');
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Self::Rfc3339;
        }
        Self::Since1970(match digits.len() {
            0..=10 => Unit::Seconds,
            11..=13 => Unit::Millis,
            14..=16 => Unit::Micros,
            _ => Unit::Nanos,
        })
    }

    /// The timestamp that `text` is.
    pub(super) fn parse(&self, text: &str) -> Result<i64, String> {
        let parsed = match self {
            Self::Since1970(unit) => number(text, unit.ns()),
            Self::Rfc3339 => civil_or_rfc3339(text),
            Self::Pattern(pattern) => by_pattern(pattern, text),
        };
        parsed.ok_or_else(|| format!("time {text:?} is not of the format {self}"))
    }
}

/// A number of units of `unit` ns, with or without decimals, none of which is lost.
fn number(text: &str, unit: i64) -> Option<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let whole: i64 = whole.parse().ok()?;
    let mut ns = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in decimals.bytes() {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        place /= 10;
        let part = digit * place;
        ns = ns.checked_add(if negative { -part } else { part })?;
    }
    Some(ns)
}

fn by_pattern(pattern: &str, text: &str) -> Option<i64> {
    let parsed = strtime::parse(pattern, text).ok()?;
    let timestamp = match parsed.to_timestamp() {
        Ok(timestamp) => timestamp,
        Err(_) => {
            let civil = match parsed.to_datetime() {
                Ok(civil) => civil,
                Err(_) => parsed
                    .to_date()
                    .ok()?
                    .to_datetime(jiff::civil::Time::midnight()),
            };
            civil.to_zoned(TimeZone::UTC).ok()?.timestamp()
        }
    };
    i64::try_from(timestamp.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_reads_what_it_names() {
        let check = |format: &str, text: &str, expected: i64| {
            let format: TimeFormat = format.parse().unwrap();
            assert_eq!(format.parse(text), Ok(expected), "{format} {text}");
        };
        check("s", "1", 1_000_000_000);
        check("s", "1.000000001", 1_000_000_001);
        check("s", "-1.5", -1_500_000_000);
        check("ms", "1.5", 1_500_000);
        check("us", "2", 2_000);
        check("ns", "-7", -7);
        check("rfc3339", "1970-01-01T00:00:01Z", 1_000_000_000);
        check("rfc3339", "1970-01-01 00:00:01.25", 1_250_000_000);
        check("%d.%m.%Y %H:%M", "02.01.1970 00:01", 86_460_000_000_000);
        check("%Y-%m-%d", "1970-01-02", 86_400_000_000_000);
        check("%Y-%m-%dT%H:%M:%S%z", "1970-01-01T01:00:00+0100", 0);
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_format_named() {
        let check = |format: &str, text: &str| {
            let format: TimeFormat = format.parse().unwrap();
            let error = format.parse(text).unwrap_err();
            assert!(error.contains(&format.to_string()), "{error}");
        };
        check("s", "");
        check("s", "1e5");
        check("s", "99999999999999");
        check("ns", "9223372036854775808");
        check("rfc3339", "yesterday");
        check("%Y", "x");
        assert!("seconds".parse::<TimeFormat>().is_err());
    }

    #[test]
    fn numbers_are_guessed_by_their_size() {
        let check = |text: &str, expected: &str| {
            assert_eq!(TimeFormat::guess(text).to_string(), expected, "{text}");
        };
        check("1767225600", "s");
        check("1767225600.5", "s");
        check("1767225600000", "ms");
        check("1767225600000000", "us");
        check("1767225600000000000", "ns");
        check("2026-01-01T00:00:00Z", "rfc3339");
        check("", "rfc3339");
    }
}
