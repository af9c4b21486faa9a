//! What a handler sees of a path: its segments, percent-decoded.

use http::{Request, Uri};
use tower_conditional::ResourceKey;

/// The key of the path, if it can stand in a request.
pub(crate) fn key(path: &str) -> Option<ResourceKey> {
    let uri = Uri::try_from(path).ok()?;
    let (parts, ()) = Request::get(uri).body(()).ok()?.into_parts();
    Some(ResourceKey::from_path(&parts))
}

/// The segments as a handler gets them: decoded one by one, a `%` without two hexadecimal digits
/// left as it is.
pub(crate) fn segments(path: &str) -> Vec<Vec<u8>> {
    path.split('/').map(decode).collect()
}

fn decode(segment: &str) -> Vec<u8> {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = (bytes.get(at + 1), bytes.get(at + 2));
        let pair = match digits {
            (Some(high), Some(low)) if bytes[at] == b'%' => value(*high).zip(value(*low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                decoded.push(high * 16 + low);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

fn value(digit: u8) -> Option<u8> {
    let digits = b"0123456789abcdef";
    let at = digits.iter().position(|d| *d == digit.to_ascii_lowercase());
    at.map(|value| value as u8)
}
