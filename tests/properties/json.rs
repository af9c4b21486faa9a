//! When two JSON documents say the same.

use serde_json::{Number, Value};

/// Equal as JSON: objects whatever the order of their members, numbers by value.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    same_by(one, other, same_number)
}

/// The same, numbers by the digits that serde_json keeps of them.
pub(crate) fn same_to_the_last_digit(one: &Value, other: &Value) -> bool {
    same_by(one, other, |one, other| {
        let (left, right) = (one.to_string(), other.to_string());
        match (decimal(&left), decimal(&right)) {
            (Some(left), Some(right)) => left == right,
            _ => left == right,
        }
    })
}

fn same_by(one: &Value, other: &Value, numbers: fn(&Number, &Number) -> bool) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => numbers(one, other),
        (Value::Array(one), Value::Array(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| same_by(one, other, numbers))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| {
                    let found = other.get(name);
                    found.is_some_and(|other| same_by(value, other, numbers))
                })
        }
        _ => one == other,
    }
}

/// Sign, digits and exponent: a number is 0.DIGITS times ten to the exponent. `None` if that is
/// beyond all bounds.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
        None => (text, 0),
    };
    let is_negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches('-');
    let point = mantissa.find('.').unwrap_or(mantissa.len());
    let mut digits: Vec<_> = mantissa.chars().filter(|it| *it != '.').collect();
    let mut exponent = exponent.checked_add(i64::try_from(point).ok()?)?;
    while digits.first() == Some(&'0') {
        digits.remove(0);
        exponent = exponent.checked_sub(1)?;
    }
    while digits.last() == Some(&'0') {
        digits.pop();
    }
    match digits.is_empty() {
        true => Some((false, String::new(), 0)),
        false => Some((is_negative, digits.into_iter().collect(), exponent)),
    }
}

/// Integers of 64 bits exactly, all others as doubles: whatever serde_json was told to keep of them.
/// An integer is the double that is exactly it, which no rounding may decide.
fn same_number(one: &Number, other: &Number) -> bool {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) if one.as_f64().is_some() => one.as_f64() == other.as_f64(),
        (None, None) => one == other,
        (Some(integer), None) => is_exactly(integer, other),
        (None, Some(integer)) => is_exactly(integer, one),
    }
}

fn integer(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed.or(number.as_u64().map(i128::from))
}

fn is_exactly(integer: i128, number: &Number) -> bool {
    const TOO_LARGE: f64 = 1.267_650_600_228_229_4e30;
    let double = number.as_f64();
    let whole = double.filter(|double| double.fract() == 0.0 && double.abs() < TOO_LARGE);
    whole.is_some_and(|double| double as i128 == integer)
}
