//! Whatever is read as a date says so, letter by letter, in a calendar that counts days; and every
//! second that can be written is read.

use std::time::{Duration, UNIX_EPOCH};

use tower_conditional::HttpDate;

use super::Property;
use super::calendar::{Calendar, same_but_for_separators};

pub(super) const PROPERTY: Property = Property {
    name: "dates",
    kinds: &["no date", "IMF-fixdate", "RFC 850", "asctime"],
    holds,
};

/// The years of an HTTP-date have four digits.
const END: u64 = 253_402_300_800;

fn holds(input: &[u8]) -> &'static str {
    if let Some(number) = input.first_chunk() {
        is_read_as_it_is_written(u64::from_be_bytes(*number) % END);
    }
    let Some(date) = HttpDate::parse(input) else {
        return "no date";
    };
    let seconds = since_1970(date);
    assert!(seconds < END);
    assert_eq!(
        HttpDate::parse(date.to_header_value().as_bytes()),
        Some(date)
    );
    let padded = [b" \t", input, b"\t "].concat();
    assert_eq!(HttpDate::parse(&padded), Some(date));

    let text = std::str::from_utf8(input).expect("a date is ASCII");
    let text = text.trim_matches([' ', '\t']);
    let calendar = Calendar::of(seconds);
    let formats = [
        ("IMF-fixdate", calendar.imf_fixdate()),
        ("RFC 850", calendar.rfc850()),
        ("asctime", calendar.asctime()),
    ];
    let format = formats
        .iter()
        .find(|(_, spelled)| same_but_for_separators(spelled, text));
    let Some((format, _)) = format else {
        panic!("{text:?} is read as {}", calendar.imf_fixdate());
    };
    format
}

fn is_read_as_it_is_written(seconds: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    let date = HttpDate::from_system_time(time).expect("it is before the year 10000");
    let calendar = Calendar::of(seconds);
    assert_eq!(date.to_header_value(), calendar.imf_fixdate());
    for spelled in [calendar.imf_fixdate(), calendar.asctime()] {
        assert_eq!(HttpDate::parse(spelled.as_bytes()), Some(date), "{spelled}");
    }
    let read = HttpDate::parse(calendar.rfc850().as_bytes());
    // Of other years two digits are not enough.
    if (1970..2070).contains(&calendar.year) {
        assert_eq!(read, Some(date));
    }
}

fn since_1970(date: HttpDate) -> u64 {
    let time = date.to_system_time().duration_since(UNIX_EPOCH);
    time.expect("no HTTP-date here is before 1970").as_secs()
}
