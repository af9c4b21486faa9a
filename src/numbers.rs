//! The tags of small numbers, which need not be made.
//!
//! Most versions that are counted stay below a thousand, and a field value that is `'static` costs
//! neither an allocation nor a count of references.

/// As many tags as there are.
const TAGS: usize = 1_000;
/// The longest of them: three digits and the quotes.
const LONGEST: usize = 5;

/// `"0"` to `"999"`, each in a place of its own.
static TEXT: [[u8; LONGEST]; TAGS] = {
    let mut text = [[b'"'; LONGEST]; TAGS];
    let mut number = 0;
    while number < TAGS {
        let mut rest = number;
        let mut place = digits(number);
        while place > 0 {
            // The remainder is a digit.
            text[number][place] = b'0' + (rest % 10) as u8;
            rest /= 10;
            place -= 1;
        }
        number += 1;
    }
    text
};

const fn digits(number: usize) -> usize {
    match number {
        0..10 => 1,
        10..100 => 2,
        _ => 3,
    }
}

/// `tag` for ever, if it is the strong tag of a number below 1,000, written as numbers are.
pub(crate) fn tag(tag: &[u8]) -> Option<&'static str> {
    let digits = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if digits.len() > LONGEST - 2 {
        return None;
    }
    let number = digits.iter().try_fold(0, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + usize::from(digit))
    })?;
    let own = TEXT.get(number)?.get(..tag.len())?;
    // Not so with leading zeros.
    (own == tag).then(|| std::str::from_utf8(own).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_a_thousand_has_its_tag() {
        for number in 0..1_000 {
            let text = format!("\"{number}\"");
            assert_eq!(tag(text.as_bytes()), Some(text.as_str()));
        }
    }

    #[test]
    fn nothing_else_has_one() {
        for other in [
            "", "\"", "\"\"", "5", "\"5", "5\"", "W/\"5\"", "\"05\"", "\"1000\"", "\"5a\"",
            "\"-1\"", "\"+1\"", "\"00\"", "\"000\"",
        ] {
            assert_eq!(tag(other.as_bytes()), None, "{other}");
        }
    }
}
