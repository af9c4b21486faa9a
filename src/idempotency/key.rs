//! The key that a client gives an operation.
//!
//! The draft ([draft-ietf-httpapi-idempotency-key-header]) writes it as a quoted string; most
//! clients send the bare text. Both are read, and are the same key.
//!
//! [draft-ietf-httpapi-idempotency-key-header]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

/// The key that a client gives an operation: 1 to 255 visible ASCII characters.
///
/// ```
/// use tower_conditional::idempotency::{IdempotencyKey, KeyError};
///
/// let bare = IdempotencyKey::parse(b"9f1c-7")?;
/// assert_eq!(bare, IdempotencyKey::parse(b"\"9f1c-7\"")?);
/// assert_eq!(bare.as_str(), "9f1c-7");
/// assert_eq!(IdempotencyKey::parse(b"\"\""), Err(KeyError::Empty));
/// # Ok::<(), KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The longest key, in bytes.
    pub(crate) const MAX: usize = 255;

    /// Reads a field value: a structured-field string ([RFC 9651, section 3.3.3]) or bare text.
    ///
    /// # Errors
    ///
    /// If it is empty, too long, or holds what no key may hold. A bare key holds no comma: that is
    /// two keys which a proxy has joined.
    ///
    /// [RFC 9651, section 3.3.3]: https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3
    pub fn parse(value: &[u8]) -> Result<Self, KeyError> {
        let value = value.trim_ascii();
        match value {
            [b'"', inner @ .., b'"'] => Self::new(&unescape(inner)?),
            _ if value.iter().any(|byte| matches!(byte, b'"' | b',')) => Err(KeyError::Malformed),
            _ => Self::new(value),
        }
    }

    /// The one key in the field `name`, or `None` if there is no such field.
    ///
    /// # Errors
    ///
    /// If there are several lines of it, or if it [cannot be read](Self::parse).
    pub fn from_headers(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, KeyError> {
        let mut lines = headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(line), None) => Self::parse(line.as_bytes()).map(Some),
            (Some(_), Some(_)) => Err(KeyError::Repeated),
        }
    }

    /// The key, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn new(key: &[u8]) -> Result<Self, KeyError> {
        if key.is_empty() {
            return Err(KeyError::Empty);
        }
        if key.len() > Self::MAX {
            return Err(KeyError::TooLong);
        }
        if !key.iter().all(u8::is_ascii_graphic) {
            return Err(KeyError::Malformed);
        }
        let text = std::str::from_utf8(key).map_err(|_| KeyError::Malformed)?;
        Ok(Self(text.into()))
    }
}

/// `\"` and `\\` are the only escapes, and a quote is always escaped.
fn unescape(inner: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut key = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        key.push(match byte {
            b'\\' => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => *escaped,
                _ => return Err(KeyError::Malformed),
            },
            b'"' => return Err(KeyError::Malformed),
            byte => *byte,
        });
    }
    Ok(key)
}

/// Why a key cannot be read.
///
/// See [`IdempotencyKey`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It is empty.
    Empty,
    /// It holds what no key may hold, or its quotes do not close.
    Malformed,
    /// It is given more than once.
    Repeated,
    /// It is longer than 255 bytes.
    TooLong,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::Malformed => "it is not visible ASCII, bare or in quotes",
            Self::Repeated => "it is given more than once",
            Self::TooLong => "it is longer than 255 bytes",
        })
    }
}

impl Error for KeyError {}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn bare_and_quoted_are_one_key() {
        for (bare, quoted) in [
            (&b"x"[..], &b"\"x\""[..]),
            (b" x\t", b"\"x\""),
            (b"a\\b", b"\"a\\\\b\""),
            (b"+/=;:", b"\"+/=;:\""),
        ] {
            let bare = IdempotencyKey::parse(bare);
            assert!(bare.is_ok(), "{bare:?}");
            assert_eq!(bare, IdempotencyKey::parse(quoted));
        }
        let longest = vec![b'x'; IdempotencyKey::MAX];
        assert!(IdempotencyKey::parse(&longest).is_ok());
        assert!(IdempotencyKey::parse(&[b"\"", &longest[..], b"\""].concat()).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (value, error) in [
            (&b""[..], KeyError::Empty),
            (b"  ", KeyError::Empty),
            (b"\"\"", KeyError::Empty),
            (b"\"", KeyError::Malformed),
            (b"\"x", KeyError::Malformed),
            (b"x\"", KeyError::Malformed),
            (b"\"a\"b\"", KeyError::Malformed),
            (b"\"a\\\"", KeyError::Malformed),
            (b"\"a\\b\"", KeyError::Malformed),
            (b"\"a\";b=1", KeyError::Malformed),
            (b"\"a\", \"b\"", KeyError::Malformed),
            (b"a,b", KeyError::Malformed),
            (b"a b", KeyError::Malformed),
            (b"\"a b\"", KeyError::Malformed),
            ("é".as_bytes(), KeyError::Malformed),
            (b"a\x7F", KeyError::Malformed),
            (&[b'x'; IdempotencyKey::MAX + 1], KeyError::TooLong),
        ] {
            let shown = value.escape_ascii();
            assert_eq!(IdempotencyKey::parse(value), Err(error), "{shown}");
        }
    }

    #[test]
    fn a_second_line_is_no_key_even_if_it_says_the_same() {
        let name = HeaderName::from_static("idempotency-key");
        let mut headers = HeaderMap::new();
        assert_eq!(IdempotencyKey::from_headers(&headers, &name), Ok(None));
        headers.append(&name, HeaderValue::from_static("x"));
        assert!(IdempotencyKey::from_headers(&headers, &name).is_ok());
        headers.append(&name, HeaderValue::from_static("x"));
        let repeated = IdempotencyKey::from_headers(&headers, &name);
        assert_eq!(repeated, Err(KeyError::Repeated));
    }
}
