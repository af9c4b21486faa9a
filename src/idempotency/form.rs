//! The fields of an answer as bytes, for stores outside of this process. A line each, as on the wire:
//! people can read what is kept, and no value can hold the end of a line.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::stored::StoredResponse;

/// `name: value`, a line each.
pub(super) fn lines(headers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in headers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// The answer that was stored so.
pub(super) fn read(
    status: i64,
    lines: &[u8],
    content: Option<Vec<u8>>,
) -> Result<StoredResponse, NotOurs> {
    let status = u16::try_from(status).map_err(|_| NotOurs)?;
    let status = StatusCode::from_u16(status).map_err(|_| NotOurs)?;
    let mut response = match content {
        Some(content) => StoredResponse::new(status).with_content(Bytes::from(content)),
        None => StoredResponse::new(status).without_content(),
    };
    let lines = lines.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = line.windows(2).position(|pair| pair == b": ");
        let (name, value) = line.split_at(colon.ok_or(NotOurs)?);
        let name = HeaderName::from_bytes(name).map_err(|_| NotOurs)?;
        let value = value.get(2..).ok_or(NotOurs)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| NotOurs)?;
        response = response.with_header(name, value);
    }
    Ok(response)
}

/// Somebody else has written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotOurs;

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer in the store of keys is not ours")
    }
}

impl Error for NotOurs {}

#[cfg(test)]
mod tests {
    use http::header::{ETAG, VARY};

    use super::*;

    #[test]
    fn answers_come_back_as_they_were() {
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        let bare = StoredResponse::new(StatusCode::CREATED);
        for response in [
            bare.clone(),
            bare.clone().without_content(),
            bare.with_header(ETAG, value(b"\"a: b\""))
                .with_header(VARY, value(b""))
                .with_header(VARY, value(b"caf\xE9:\t x"))
                .with_content(vec![0, 10, 255]),
        ] {
            let content = response.content().map(|content| content.to_vec());
            let lines = lines(response.headers());
            let again = read(response.status().as_u16().into(), &lines, content);
            assert_eq!(again, Ok(response));
        }
    }

    #[test]
    fn what_is_not_ours_is_an_error() {
        assert!(read(201, b"a: b\n", None).is_ok());
        for (status, lines) in [
            (-1, &b""[..]),
            (99, b""),
            (70_000, b""),
            (200, b"a"),
            (200, b"a:b"),
            (200, b": b"),
            (200, b"a b: c"),
            (200, b"a: \0"),
        ] {
            assert_eq!(read(status, lines, None), Err(NotOurs), "{lines:?}");
        }
    }
}
