//! A key of any bytes is what a literal reading of RFC 9651 finds, bare or quoted.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tower_conditional::idempotency::{IdempotencyKey, KeyError};

use super::Property;

pub(super) const PROPERTY: Property = Property {
    name: "idempotency_keys",
    kinds: &[
        "absent",
        "bare",
        "empty",
        "malformed",
        "quoted",
        "repeated",
        "too long",
    ],
    holds,
};

/// The lines of the field.
fn holds(input: &[u8]) -> &'static str {
    let name = HeaderName::from_static("idempotency-key");
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(&name, value);
        }
    }
    let lines: Vec<_> = headers.get_all(&name).iter().collect();
    let found = IdempotencyKey::from_headers(&headers, &name);
    let line = match lines.as_slice() {
        [] => {
            assert_eq!(found, Ok(None));
            return "absent";
        }
        [line] => line.as_bytes(),
        _ => {
            assert_eq!(found, Err(KeyError::Repeated));
            return "repeated";
        }
    };
    assert_eq!(IdempotencyKey::parse(line).map(Some), found);
    let expected = literal_key(line.trim_ascii());
    let key = match found {
        Ok(key) => key.expect("there is a line"),
        Err(error) => {
            assert_eq!(Err(error), expected);
            return match error {
                KeyError::Empty => "empty",
                KeyError::TooLong => "too long",
                _ => "malformed",
            };
        }
    };
    assert_eq!(Ok(key.as_str().as_bytes().to_vec()), expected);
    let escaped = key.as_str().replace('\\', r"\\").replace('"', "\\\"");
    let quoted = format!("\"{escaped}\"");
    assert_eq!(IdempotencyKey::parse(quoted.as_bytes()).as_ref(), Ok(&key));
    let is_quoted = line.trim_ascii().starts_with(b"\"");
    if is_quoted { "quoted" } else { "bare" }
}

/// RFC 9651, section 4.2.5, without parameters; or the text as it is. Ours: 1 to 255 visible
/// characters, and no comma or quote in a bare one.
fn literal_key(text: &[u8]) -> Result<Vec<u8>, KeyError> {
    let key = if text.len() >= 2 && text.starts_with(b"\"") && text.ends_with(b"\"") {
        let mut key = Vec::new();
        let mut rest = &text[1..text.len() - 1];
        while let [first, after @ ..] = rest {
            rest = after;
            match (first, after) {
                // 4: "If char is a backslash": the next has to be a quote or a backslash.
                (b'\\', [next @ (b'"' | b'\\'), after @ ..]) => {
                    key.push(*next);
                    rest = after;
                }
                (b'\\' | b'"', _) => return Err(KeyError::Malformed),
                _ => key.push(*first),
            }
        }
        key
    } else if text.contains(&b'"') || text.contains(&b',') {
        return Err(KeyError::Malformed);
    } else {
        text.to_vec()
    };
    match key.len() {
        0 => Err(KeyError::Empty),
        256.. => Err(KeyError::TooLong),
        _ if key.iter().all(|byte| (0x21..=0x7E).contains(byte)) => Ok(key),
        _ => Err(KeyError::Malformed),
    }
}
