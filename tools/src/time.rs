//! Timestamps and durations as people write and read them.

use jiff::Timestamp;

/// A timestamp (ns since 1970 UTC) in the form of RFC 3339.
pub(crate) fn rfc3339(ns: i64) -> String {
    // Every i64 is in the range of the library; the number is what would be left to say.
    Timestamp::from_nanosecond(ns.into()).map_or_else(|_| ns.to_string(), |t| t.to_string())
}

#[cfg(feature = "engine")]
pub(crate) use parse::{Misread, civil_or_rfc3339, duration, length, now, time, unless_leap};

#[cfg(feature = "engine")]
mod parse {
    use std::time::{SystemTime, UNIX_EPOCH};

    use jiff::Timestamp;
    use jiff::civil::DateTime;
    use jiff::tz::TimeZone;

    /// The wall clock, ns since 1970 UTC.
    pub(crate) fn now() -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }

    /// A point in time as users give it: RFC 3339, `YYYY-MM-DD[ HH:MM:SS[.fff]]` in UTC, integer
    /// nanoseconds, or `now`, `now-1h`, `now+1d`.
    pub(crate) fn time(text: &str) -> Result<i64, String> {
        if let Some(rest) = text.strip_prefix("now") {
            return relative(rest, now());
        }
        if let Ok(ns) = text.parse::<i64>() {
            return Ok(ns);
        }
        let wrong = |misread| match misread {
            Misread::NoTime => format!(
                "{text:?} is no time: give RFC 3339, YYYY-MM-DD[ HH:MM:SS[.fff]] (UTC), \
                 nanoseconds since 1970, or now-1h"
            ),
            Misread::TooFar => {
                format!("{text:?} is not within the years 1677 to 2262: give a time that is")
            }
            Misread::TooFine => {
                format!("{text:?} has decimals below the nanosecond: cut them off")
            }
            Misread::Leap => {
                format!(
                    "{text:?} has 60 for its seconds, which no timestamp has: give 59 or the next minute"
                )
            }
        };
        civil_or_rfc3339(text).map_err(wrong)
    }

    /// Why a text is no timestamp.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Misread {
        NoTime,
        /// It is one that 64 bits of nanoseconds do not hold.
        TooFar,
        /// It is finer than timestamps are.
        TooFine,
        /// It is a leap second, which timestamps do not have.
        Leap,
    }

    fn relative(rest: &str, now: i64) -> Result<i64, String> {
        let Some(sign) = rest.chars().next() else {
            return Ok(now);
        };
        let by = duration(rest.get(1..).unwrap_or_default())?;
        match sign {
            '-' => Ok(now.saturating_sub(by)),
            '+' => Ok(now.saturating_add(by)),
            _ => Err(format!("now{rest} is no time: write now, now-1h or now+1h")),
        }
    }

    /// RFC 3339, or a date with or without a time of day, which is taken as UTC. Other text is no time, such
    /// as a time with the name of a zone and no offset, and so are times that the calendar does not have.
    pub(crate) fn civil_or_rfc3339(text: &str) -> Result<i64, Misread> {
        unless_leap(text, read).map_err(|misread| match misread {
            Misread::NoTime if is_too_fine(text) => Misread::TooFine,
            Misread::NoTime if is_too_far(text) => Misread::TooFar,
            other => other,
        })
    }

    /// Whether a text would be a time if its fraction ended at the nanosecond.
    fn is_too_fine(text: &str) -> bool {
        let Some(point) = text.find(['.', ',']) else {
            return false;
        };
        let fraction = &text[point + 1..];
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        digits > 9 && read(&format!("{}{}", &text[..point + 10], &fraction[digits..])).is_some()
    }

    /// Whether a text is a time that the calendar has, and the library does not take: it knows no more
    /// than 9,999 years, and less where it has to know the offset.
    fn is_too_far(text: &str) -> bool {
        let civil: Result<DateTime, _> = text.trim_end_matches(['Z', 'z']).parse();
        civil.is_ok_and(|civil| !(1677..=2262).contains(&civil.year()))
    }

    /// What `read` makes of a text, unless its seconds are 60, which the library takes for 59: then it would
    /// be the time of another row. They are found by what an earlier second in their place makes.
    pub(crate) fn unless_leap(
        text: &str,
        read: impl Fn(&str) -> Option<i128>,
    ) -> Result<i64, Misread> {
        let ns = read(text).ok_or(Misread::NoTime)?;
        let is_leap = text.match_indices("60").any(|(at, _)| {
            let earlier = format!("{}58{}", &text[..at], &text[at + 2..]);
            read(&earlier) == Some(ns - 1_000_000_000)
        });
        match is_leap {
            true => Err(Misread::Leap),
            false => i64::try_from(ns).map_err(|_| Misread::TooFar),
        }
    }

    fn read(text: &str) -> Option<i128> {
        let timestamp: Timestamp = match text.parse() {
            Ok(timestamp) => timestamp,
            // The name of a zone without an offset: what it means is not known here.
            Err(_) if text.contains('[') => return None,
            Err(_) => {
                let civil: DateTime = text.parse().ok()?;
                civil.to_zoned(TimeZone::UTC).ok()?.timestamp()
            }
        };
        Some(timestamp.as_nanosecond())
    }

    /// A length of time as [`duration`] reads it.
    pub(crate) fn length(ns: i64) -> String {
        let units = [
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
            ("ns", 1),
        ];
        let mut rest = ns;
        let mut text = String::new();
        for (unit, ns) in units {
            if rest / ns > 0 {
                text += &format!("{}{unit}", rest / ns);
                rest %= ns;
            }
        }
        text
    }

    /// A length of time such as `10s`, `1m`, `1h30m` or `500ms`, in ns; more than none.
    pub(crate) fn duration(text: &str) -> Result<i64, String> {
        let wrong = || {
            format!(
                "{text:?} is no length of time: write numbers with ns, us, ms, s, m, h, d or w, \
                 such as 10s or 1h30m"
            )
        };
        let mut rest = text;
        let mut total = 0i64;
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len());
            let unit = match &rest[..letters] {
                "ns" => 1,
                "us" | "µs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" | "min" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                "d" => 86_400_000_000_000,
                "w" => 604_800_000_000_000,
                _ => return Err(wrong()),
            };
            rest = &rest[letters..];
            let sum = number
                .checked_mul(unit)
                .and_then(|part| total.checked_add(part));
            total = sum.ok_or_else(|| {
                format!("{text:?} is longer than 292 years; give a shorter length")
            })?;
        }
        if total == 0 {
            return Err(wrong());
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_time_are_readable() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(rfc3339(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(rfc3339(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[cfg(feature = "engine")]
    #[test]
    fn times_are_read_as_people_write_them() {
        let day = 86_400_000_000_000;
        let check = |text: &str, expected: i64| assert_eq!(time(text), Ok(expected), "{text}");
        check("1970-01-02", day);
        check("1970-01-02 00:00:01", day + 1_000_000_000);
        check("1970-01-02 00:00:01.5", day + 1_500_000_000);
        check("1970-01-02T01:00:00+01:00", day);
        check("1970-01-02T00:00:00Z", day);
        check("1970-01-02T01:00:00+01:00[Europe/Zurich]", day);
        check("-5", -5);
        for wrong in [
            "",
            "yesterday",
            "now*1h",
            "2024-06-01T12:00:00[Europe/Zurich]",
            "now-",
            "now-1",
            "2300-01-01",
            "1970-13-01",
        ] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(time("now").unwrap() - time("now-1h").unwrap() <= 3_600_000_000_000);
    }

    #[cfg(feature = "engine")]
    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        let check = |text: &str, expected: i64| assert_eq!(duration(text), Ok(expected), "{text}");
        check("10s", 10_000_000_000);
        check("1h30m", 5_400_000_000_000);
        check("500ms", 500_000_000);
        check("2d", 172_800_000_000_000);
        for wrong in ["", "1", "s", "1x", "0s", "-1s", "99999999999w"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        for text in ["1d", "1h30m", "500ms", "2d1ns", "1us2ns", "8d1s"] {
            assert_eq!(length(duration(text).unwrap()), text);
        }
    }
}
