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
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        Self::from_system_time(httpdate::parse_http_date(text.trim_matches([' ', '\t'])).ok()?)
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
        ] {
            assert_eq!(HttpDate::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(HttpDate::parse(b"\xFF"), None);
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
