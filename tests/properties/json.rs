//! When two JSON documents say the same, number by number.

use serde_json::{Number, Value};

/// Equal as JSON: numbers by their exact value, objects whatever the order of their members.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| {
                    let found = other.get(name);
                    found.is_some_and(|other| same(value, other))
                })
        }
        _ => one == other,
    }
}

/// Two doubles by value. An integer and a double: if the double is exactly that integer, which no
/// rounding may decide. (No integer of the parser is as large as 2^100, whose doubles are whole.)
fn same_number(one: &Number, other: &Number) -> bool {
    const TOO_LARGE: f64 = 1.267_650_600_228_229_4e30;
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.as_f64() == other.as_f64(),
        (Some(integer), None) | (None, Some(integer)) => {
            let double = one.as_f64().filter(|_| one.is_f64()).or(other.as_f64());
            let double = double.filter(|double| double.fract() == 0.0 && double.abs() < TOO_LARGE);
            double.is_some_and(|double| double as i128 == integer)
        }
    }
}
