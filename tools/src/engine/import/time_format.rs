//! How the times of a file are written.

use std::fmt;
use std::num::{IntErrorKind, ParseIntError};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::{Offset, TimeZone};

use crate::time::{Misread, civil_or_rfc3339, unless_leap};

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
            pattern if pattern.contains('%') => {
                check_pattern(pattern)?;
                Self::Pattern(pattern.to_owned())
            }
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

    /// The timestamp that `text` is, to the nanosecond.
    pub(super) fn parse(&self, text: &str) -> Result<i64, String> {
        let parsed = match self {
            Self::Since1970(unit) => number(text, unit.ns()),
            Self::Rfc3339 => civil_or_rfc3339(text),
            Self::Pattern(pattern) => by_pattern(pattern, text),
        };
        parsed.map_err(|misread| match misread {
            Misread::NoTime => format!(
                "time {text:?} is not of the format {self}; correct it, or give the --time-format it is of"
            ),
            Misread::TooFar => format!(
                "time {text:?} of the format {self} is not within the years 1677 to 2262, which are all \
                 that 64 bits of nanoseconds hold; correct it, or the --time-format"
            ),
            Misread::TooFine => format!(
                "time {text:?} of the format {self} has decimals below the nanosecond, which would \
                 be lost; cut them off"
            ),
            Misread::Leap => format!(
                "time {text:?} of the format {self} has 60 for its seconds, and timestamps have no leap \
                 seconds: it would be the time of another row; correct it"
            ),
        })
    }
}

/// A number of units of `unit` ns, with or without decimals, none of which is lost.
fn number(text: &str, unit: i64) -> Result<i64, Misread> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Misread::NoTime);
    }
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    let whole: i64 = whole.parse().map_err(|e: ParseIntError| match e.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Misread::TooFar,
        _ => Misread::NoTime,
    })?;
    let mut ns = whole.checked_mul(unit).ok_or(Misread::TooFar)?;
    let mut place = unit;
    for digit in decimals.bytes().map(|b| i64::from(b - b'0')) {
        place /= 10;
        if place == 0 && digit != 0 {
            return Err(Misread::TooFine);
        }
        ns = ns
            .checked_add(sign * digit * place)
            .ok_or(Misread::TooFar)?;
    }
    Ok(ns)
}

/// Fails if nothing of the pattern can be a timestamp: a time that it wrote is not read back.
fn check_pattern(pattern: &str) -> Result<(), String> {
    let some = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let written = strtime::format(pattern, &some)
        .map_err(|e| format!("{pattern:?} is no pattern of strftime: {e}"))?;
    match by_pattern(pattern, &written) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{pattern:?} does not say what time it is: it needs a date, minutes need hours and \
             fractions need seconds; an offset is %z, and names of zones are not understood"
        )),
    }
}

fn by_pattern(pattern: &str, text: &str) -> Result<i64, Misread> {
    unless_leap(text, |text| read_by_pattern(pattern, text))
}

fn read_by_pattern(pattern: &str, text: &str) -> Option<i128> {
    let parsed = strtime::parse(pattern, text).ok()?;
    let ns = match parsed.timestamp() {
        // The library leaves out fractions behind a number of seconds.
        Some(seconds) => {
            let fraction = i128::from(parsed.subsec_nanosecond().unwrap_or(0));
            let is_negative = seconds < Timestamp::UNIX_EPOCH || text.contains('-');
            if is_negative && fraction > 0 {
                return None;
            }
            seconds.as_nanosecond() + fraction
        }
        None => {
            let civil = parsed.to_datetime().ok()?;
            let offset = match (parsed.offset(), parsed.iana_time_zone()) {
                (Some(offset), _) => offset,
                // What the name of a zone means is not known here.
                (None, Some(_)) => return None,
                (None, None) => Offset::UTC,
            };
            offset.to_timestamp(civil).ok()?.as_nanosecond()
        }
    };
    Some(ns)
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
    fn no_fraction_is_lost() {
        let check = |format: &str, text: &str, expected: Result<i64, &str>| {
            let format: TimeFormat = format.parse().unwrap();
            match (format.parse(text), expected) {
                (Ok(ns), expected) => assert_eq!(Ok(ns), expected, "{format} {text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (Err(error), Ok(_)) => panic!("{format} {text}: {error}"),
            }
        };
        let fine = Err("below the nanosecond");
        check("s", "1.1234567890", Ok(1_123_456_789));
        check("s", "1.1234567891", fine);
        check("s", "-0.5", Ok(-500_000_000));
        check("ms", "1.1234561", fine);
        check("us", "1.0001", fine);
        check("ns", "1.5", fine);
        check("ns", "1.0", Ok(1));
        check("s", "1.5x", Err("not of the format s"));
        check("rfc3339", "1970-01-01 00:00:00.123456789", Ok(123_456_789));
        check("rfc3339", "1970-01-01 00:00:00.1234567891", fine);
        check("rfc3339", "1970-01-01T00:00:00.1234567891+01:00", fine);
        check("rfc3339", "1970-01-01T00:00:00.1234567891x", Err("not of"));
        check("rfc3339", "x.1234567891ä", Err("not of"));
        check("%s%.f", "1.25", Ok(1_250_000_000));
        check("%s.%f", "1.000000001", Ok(1_000_000_001));
        check("%s", "-2", Ok(-2_000_000_000));
        check("%s%.f", "-2.0", Ok(-2_000_000_000));
        // Which way the fraction goes is not said.
        check("%s%.f", "-2.5", Err("not of the format"));
        check("%s%.f", "-0.5", Err("not of the format"));
        check(
            "%Y-%m-%d %H:%M:%S%.f",
            "1970-01-01 00:00:01.5",
            Ok(1_500_000_000),
        );
        check("%Y-%m-%d %H:%M:%S", "1970-01-01 00:00:01.5", Err("not of"));
        check(
            "%Y-%m-%d %H:%M:%S%.f",
            "1970-01-01 00:00:01.1234567891",
            Err("not of"),
        );
    }

    #[test]
    fn a_leap_second_is_no_second_of_another_row() {
        let check = |format: &str, text: &str, is_read: bool| {
            let format: TimeFormat = format.parse().unwrap();
            let read = format.parse(text);
            match read {
                Ok(_) => assert!(is_read, "{format} {text}"),
                Err(error) => {
                    assert!(!is_read, "{format} {text}: {error}");
                    assert!(error.contains("no leap seconds"), "{error}");
                }
            }
        };
        for (text, is_read) in [
            ("2016-12-31T23:59:60Z", false),
            ("2016-12-31 23:59:60.25", false),
            ("20161231T235960Z", false),
            ("2023-11-14T22:13:60Z", false),
            ("2016-12-31T23:59:59Z", true),
            ("2060-12-31T23:59:59.60Z", true),
            ("2060-06-06T06:06:59.6060Z", true),
        ] {
            check("rfc3339", text, is_read);
        }
        check("%Y-%m-%d %H:%M:%S", "2016-12-31 23:59:60", false);
        check("%d.%m.%y %H%M%S", "31.12.60 235959", true);
        check("%s", "1700000060", true);
        check("s", "1700000060", true);
    }

    #[test]
    fn patterns_that_say_no_time_are_refused_at_once() {
        let check = |pattern: &str, expected: &str| {
            let error = pattern.parse::<TimeFormat>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("%H:%M:%S", "needs a date");
        check("%Y-%m-%d %M:%S", "minutes need hours");
        check("%Y-%m-%d %H.%f", "fractions need seconds");
        check("%Y-%m-%d %H:%M %Q", "names of zones");
        check("%Y", "needs a date");
        check("%Y-%m-%d %!", "no pattern");
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
        check("%Y-%m-%d", "x");
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
