//! Two JSON bodies have one digest exactly if they say the same, whatever their spelling.

use serde_json::{Map, Number, Value};
use tower_conditional::idempotency::Content;

use super::Property;
use super::json::same_to_the_last_digit;

pub(super) const PROPERTY: Property = Property {
    name: "content",
    kinds: &["no object", "the same", "different"],
    holds,
};

/// Two bodies, a line each; without a second one, the first in another spelling.
fn holds(input: &[u8]) -> &'static str {
    let (one, other) = match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, input),
    };
    let content = Content::all();
    let (Some(digest), Ok(Value::Object(object))) =
        (content.digest(one), serde_json::from_slice::<Value>(one))
    else {
        assert_eq!(content.digest(one), None);
        return "no object";
    };
    let mut spelled = String::new();
    spell_object(&object, &mut spelled);
    assert_eq!(
        content.digest(spelled.as_bytes()),
        Some(digest),
        "{spelled}"
    );

    let empty = content.clone().without(object.keys().cloned());
    assert_eq!(empty.digest(one), content.digest(b"{}"));
    let chosen = Content::only(object.keys().cloned());
    assert_eq!(chosen.digest(one), Some(digest));
    for (name, value) in &object {
        let excluded = content.clone().unless([name.clone()]).digest(one);
        assert_eq!(excluded.is_none(), !value.is_null(), "{name}");
    }

    let Some(other_digest) = content.digest(other) else {
        return "no object";
    };
    let other = serde_json::from_slice(other).expect("it has a digest");
    let same = same_to_the_last_digit(&Value::Object(object), &other);
    assert_eq!(digest == other_digest, same);
    if same { "the same" } else { "different" }
}

/// The same document, spelled as unlike as JSON allows.
fn spell(value: &Value, into: &mut String) {
    match value {
        Value::Null | Value::Bool(_) => into.push_str(&value.to_string()),
        Value::Number(number) => spell_number(number, into),
        Value::String(text) => spell_text(text, into),
        Value::Array(values) => {
            into.push_str("[ ");
            for (position, value) in values.iter().enumerate() {
                into.push_str(if position > 0 { " ,\t" } else { "" });
                spell(value, into);
            }
            into.push(']');
        }
        Value::Object(object) => spell_object(object, into),
    }
}

fn spell_object(object: &Map<String, Value>, into: &mut String) {
    into.push_str("{\r\n");
    for (position, (name, value)) in object.iter().rev().enumerate() {
        into.push_str(if position > 0 { "," } else { "" });
        spell_text(name, into);
        into.push_str(" :");
        spell(value, into);
    }
    into.push('}');
}

fn spell_text(text: &str, into: &mut String) {
    into.push('"');
    for unit in text.encode_utf16() {
        into.push_str(&format!("\\u{unit:04x}"));
    }
    into.push('"');
}

/// With an exponent, unless that would turn an integer into a double that has to round it.
fn spell_number(number: &Number, into: &mut String) {
    const EXACT: u64 = 1 << 53;
    let text = number.to_string();
    let integer = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
    if text.contains(['e', 'E']) {
        into.push_str(&text.replace('e', "E"));
    } else if integer.is_some_and(|integer| integer < EXACT) || text.contains('.') {
        into.push_str(&format!("{text}e+0"));
    } else {
        into.push_str(&text);
    }
}
