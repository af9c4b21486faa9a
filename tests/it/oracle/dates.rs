//! HTTP-dates against a calendar that counts days on its fingers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use tower_conditional::HttpDate;

use super::config;
use crate::properties::calendar::{Calendar, same_but_for_separators};

/// Years before 2100 more often than others: there live the two-digit ones.
fn seconds() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_102_444_800_u64, 0..=253_402_300_799_u64]
}

fn parsed(text: &str) -> Option<u64> {
    let time = HttpDate::parse(text.as_bytes())?.to_system_time();
    Some(time.duration_since(UNIX_EPOCH).unwrap().as_secs())
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn every_second_is_read_in_each_of_its_spellings(seconds in seconds()) {
        let calendar = Calendar::of(seconds);
        prop_assert_eq!(parsed(&calendar.imf_fixdate()), Some(seconds));
        prop_assert_eq!(parsed(&calendar.asctime()), Some(seconds));
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        let printed = HttpDate::from_system_time(time).unwrap().to_header_value();
        prop_assert_eq!(printed.to_str().unwrap(), calendar.imf_fixdate());
    }

    /// RFC 9110, section 5.6.7: a two-digit year that "appears to be more than 50 years in the
    /// future" is the most recent one in the past with these digits.
    #[test]
    fn a_two_digit_year_is_at_most_fifty_years_ahead(seconds in 0..4_102_444_800_u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let calendar = Calendar::of(seconds);
        let ahead = calendar.year.saturating_sub(Calendar::of(now).year);
        let read = parsed(&calendar.rfc850());
        match ahead {
            // Then it means a year that may be before 1970, and its day has another name.
            51.. => prop_assert_ne!(read, Some(seconds)),
            // That depends on the day.
            50 => prop_assert!(read.is_none_or(|read| read == seconds)),
            _ => prop_assert_eq!(read, Some(seconds)),
        }
    }

    #[test]
    fn what_is_read_has_the_words_and_digits_of_what_was_written(
        seconds in seconds(),
        at: Index,
        format in 0..3_usize,
        byte in prop_oneof![select(&b" ,:-0123456789"[..]), any::<u8>()],
    ) {
        let calendar = Calendar::of(seconds);
        let spelled = [calendar.imf_fixdate(), calendar.rfc850(), calendar.asctime()];
        let mut text = spelled[format].clone().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Some(date) = HttpDate::parse(&text) {
            let time = date.to_system_time().duration_since(UNIX_EPOCH).unwrap();
            let calendar = Calendar::of(time.as_secs());
            let spelled = [calendar.imf_fixdate(), calendar.rfc850(), calendar.asctime()];
            let text = String::from_utf8(text).unwrap();
            prop_assert!(
                spelled.iter().any(|spelled| same_but_for_separators(spelled, &text)),
                "{} was read as {}", text, spelled[0]
            );
        }
    }
}
