//! Times as RFC 3339 writes them, compared as instants: whatever the offset, and to the last digit.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A point in time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant {
    /// Since 1970, in UTC.
    seconds: i64,
    /// The digits behind the point, without zeros at their end: in alphabetical order, then, they
    /// are in the order of time.
    fraction: String,
}

impl Instant {
    pub(crate) fn now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        Self::new(
            i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            &format!("{:09}", now.subsec_nanos()),
        )
    }

    fn new(seconds: i64, fraction: &str) -> Self {
        Self {
            seconds,
            fraction: fraction.trim_end_matches('0').to_owned(),
        }
    }

    /// Reads `2024-05-01T12:00:00.5+02:00`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_once(['T', 't'])?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let (time, rest) = rest.split_at_checked(8)?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            None => ("", rest),
            Some(rest) => rest.split_at(rest.find(|digit: char| !digit.is_ascii_digit())?),
        };
        let is_time = hour < 24 && minute < 60 && second <= 60;
        if !is_time || rest.starts_with('.') && fraction.is_empty() {
            return None;
        }
        let local = days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second;
        let seconds = local - offset(zone)?;
        // A leap second is the last of a day.
        if second == 60 && seconds.rem_euclid(86_400) != 0 {
            return None;
        }
        Some(Self::new(seconds, fraction))
    }

    pub(crate) fn to_json(&self) -> Value {
        json!([self.seconds, self.fraction])
    }

    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        Some(Self::new(json.get(0)?.as_i64()?, json.get(1)?.as_str()?))
    }
}

/// Numbers of these many digits each, with `between` between them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|digit| digit.is_ascii_digit());
        *number = part.parse().ok().filter(|_| is_number)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Seconds that a local time is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, zone) = match zone.split_at_checked(1)? {
        ("+", zone) => (1, zone),
        ("-", zone) => (-1, zone),
        _ => return None,
    };
    let [hours, minutes] = numbers(zone, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Days from 1970 to a date, if there is such a date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [
        31,
        if is_leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let months_before = usize::try_from(month - 1).ok()?;
    let length = *lengths.get(months_before)?;
    if !(1..=length).contains(&day) {
        return None;
    }
    let before = lengths.iter().take(months_before).sum::<i64>();
    // Leap years before this one, from the year 0 on.
    let leaps = |year: i64| {
        let last = year - 1;
        last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400)
    };
    Some((year - 1970) * 365 + leaps(year) - leaps(1970) + before + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<i64> {
        Instant::parse(text).map(|instant| instant.seconds)
    }

    #[test]
    fn instants_are_those_of_the_calendar() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00z", 951_782_400),
            ("1994-11-06t08:49:37Z", 784_111_777),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
            ("0000-01-01T00:00:00Z", -62_167_219_200),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("2017-01-01T01:59:60+02:00", 1_483_228_800),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_instant_has_many_spellings() {
        let instant = Instant::parse("2024-05-01T12:00:00.5Z");
        for text in [
            "2024-05-01T14:00:00.50+02:00",
            "2024-04-30T23:30:00.500000000000-12:30",
        ] {
            assert_eq!(Instant::parse(text), instant, "{text}");
        }
        assert!(Instant::parse("2024-05-01T12:00:00.45Z") < instant);
        assert!(Instant::parse("2024-05-01T12:00:00.5000000001Z") > instant);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2024-05-01",
            "2024-05-01T12:00:00",
            "2024-05-01 12:00:00Z",
            "2024-05-01T12:00Z",
            "2024-05-01T12:00:00.Z",
            "2024-05-01T12:00:00+0200",
            "2024-05-01T12:00:00+24:00",
            "2024-05-01T24:00:00Z",
            "2024-05-01T12:60:00Z",
            "2024-05-01T12:00:60Z",
            "2024-02-30T12:00:00Z",
            "2023-02-29T12:00:00Z",
            "2024-13-01T12:00:00Z",
            "2024-00-01T12:00:00Z",
            "2024-05-00T12:00:00Z",
            "+024-05-01T12:00:00Z",
            "2024-05-01T12:00:00Zz",
            "2024-05-01T12:00:0éZ",
        ] {
            assert_eq!(Instant::parse(text), None, "{text}");
        }
    }
}
