//! HTTP-dates in whole seconds, the only precision they have ([RFC 9110, section 5.6.7]).
//!
//! Parsing and printing are the `httpdate` crate's; this module turns its results into a value
//! that cannot be compared at a finer precision than the wire carries, and cannot panic on times
//! that an HTTP-date cannot express.
//!
//! [RFC 9110, section 5.6.7]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

/// The last second of the year 9999, after which an HTTP-date has no digits left.
const LAST_SECOND: u64 = 253_402_300_799;

/// A point in time, in whole seconds, that an HTTP-date can express.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use tower_conditional::HttpDate;
///
/// let date = HttpDate::from_system_time(UNIX_EPOCH + Duration::from_millis(784_111_777_999));
/// assert_eq!(date, HttpDate::parse(b"Sun, 06 Nov 1994 08:49:37 GMT"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpDate {
    /// Seconds since 1970, at most `LAST_SECOND`.
    seconds: u64,
}

impl HttpDate {
    /// `time` without its fraction of a second; `None` before 1970 and after 9999.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Option<Self> {
        let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
        (seconds <= LAST_SECOND).then_some(Self { seconds })
    }

    /// Reads any of the three formats of RFC 9110. Anything else, a list of dates too, is `None`:
    /// a date that cannot be read is ignored.
    ///
    /// The years of RFC 850 dates have two digits and are at most 50 years ahead: for a day that
    /// `httpdate` cannot place, and for nothing else, this asks the clock.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
        // `httpdate` trims whatever Unicode calls white space.
        if text.trim() != text {
            return None;
        }
        let time = httpdate::parse_http_date(text).ok();
        Self::from_system_time(time.or_else(|| rfc850_in_this_century(text, SystemTime::now()))?)
    }

    /// The start of that second.
    #[must_use]
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.seconds)
    }

    /// How many whole seconds `self` lies after `earlier`; 0 if it does not.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.seconds.saturating_sub(earlier.seconds)
    }

    /// The date as a field value, in the format that RFC 9110 prefers.
    #[must_use]
    pub fn to_header_value(self) -> HeaderValue {
        HeaderValue::try_from(httpdate::fmt_http_date(self.to_system_time()))
            .expect("an HTTP-date is ASCII text")
    }
}

/// Reads an RFC 850 date of the years 2070 to 2099. `httpdate` takes their digits for years before
/// 2000, and then finds the name of the day wrong: no day has the same name a hundred years on.
fn rfc850_in_this_century(text: &str, now: SystemTime) -> Option<SystemTime> {
    let (name, date) = text.split_once(", ")?;
    let (day, date) = date.split_once('-')?;
    let (month, year_and_time) = date.split_once('-')?;
    let (_, short_name) = DAYS.into_iter().find(|(long, _)| *long == name)?;
    let fixdate = format!("{short_name}, {day} {month} 20{year_and_time}");
    let time = httpdate::parse_http_date(&fixdate).ok()?;
    (time <= now + FIFTY_YEARS).then_some(time)
}

/// With the leap days of any fifty years before 2100, give or take one.
const FIFTY_YEARS: Duration = Duration::from_secs((50 * 365 + 12) * 24 * 60 * 60);

const DAYS: [(&str, &str); 7] = [
    ("Monday", "Mon"),
    ("Tuesday", "Tue"),
    ("Wednesday", "Wed"),
    ("Thursday", "Thu"),
    ("Friday", "Fri"),
    ("Saturday", "Sat"),
    ("Sunday", "Sun"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_formats_are_one_date() {
        let expected = Some(HttpDate {
            seconds: 784_111_777,
        });
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(HttpDate::parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_one_date_is_ignored() {
        for text in [
            "",
            "foo",
            "0",
            "Sun, 06 Nov 1994 25:00:00 GMT",
            "Mon, 18 Oct 2010 16:56:23 GMT, Sun, 06 Nov 1994 08:49:38 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT; length=13774",
            "\rSun, 06 Nov 1994 08:49:37 GMT",
            "\u{A0}Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(HttpDate::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(HttpDate::parse(b"\xFF"), None);
    }

    #[test]
    fn a_two_digit_year_is_at_most_fifty_years_ahead() {
        let in_2026 = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let read = |text| {
            let time = rfc850_in_this_century(text, in_2026)?;
            Some(HttpDate::from_system_time(time)?.to_header_value())
        };
        let expected = HeaderValue::from_static("Tue, 06 Nov 2074 08:49:37 GMT");
        assert_eq!(read("Tuesday, 06-Nov-74 08:49:37 GMT"), Some(expected));
        for text in [
            "Wednesday, 06-Nov-74 08:49:37 GMT",
            "Tue, 06-Nov-74 08:49:37 GMT",
            "Friday, 06-Nov-76 08:49:37 GMT",
            "Saturday, 06-Nov-77 08:49:37 GMT",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        // The name of its day says that this one is in the past.
        let past = HttpDate::parse(b"Wednesday, 06-Nov-74 08:49:37 GMT");
        assert_eq!(past, HttpDate::parse(b"Wed, 06 Nov 1974 08:49:37 GMT"));
    }

    #[test]
    fn times_that_no_http_date_can_express_are_none() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
        assert_eq!(HttpDate::from_system_time(before), None);
        assert_eq!(
            HttpDate::from_system_time(last + Duration::from_secs(1)),
            None
        );
        let last = HttpDate::from_system_time(last).unwrap();
        assert_eq!(last.to_header_value(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
