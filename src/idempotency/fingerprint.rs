//! What a key stands for: a digest of the request that it was first used with.
//!
//! `If-Match` is no part of it: a client that merged and tries again on top of a newer version
//! still means the same operation.

use std::fmt;

use http::HeaderName;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use sha2::{Digest, Sha256};

use crate::key::original_uri;

/// A SHA-256 digest of what a request asks for.
///
/// ```
/// use http::Request;
/// use tower_conditional::idempotency::Fingerprint;
///
/// let (parts, ()) = Request::post("/orders").body(())?.into_parts();
/// let first = Fingerprint::of_request(&parts, b"{\"total\":12}", "acme");
/// assert_eq!(first, Fingerprint::of_request(&parts, b"{\"total\":12}", "acme"));
/// assert_ne!(first, Fingerprint::of_request(&parts, b"{\"total\":13}", "acme"));
/// assert_eq!(first, Fingerprint::from_bytes(*first.as_bytes()));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a request: method, path and query, media type, coding, content and principal.
    #[must_use]
    pub fn of_request(parts: &Parts, content: &[u8], principal: &str) -> Self {
        let target = original_uri(parts)
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let mut hash = Hasher::default();
        hash.part(parts.method.as_str().as_bytes());
        hash.part(target.as_bytes());
        hash.part_in_lower_case(media_type(parts));
        hash.part(field(parts, &CONTENT_ENCODING));
        hash.part(principal.as_bytes());
        hash.part(content);
        hash.finish()
    }

    /// Of these parts, in this order; they do not run into each other. See
    /// [`IdempotencyPolicy::fingerprint`](super::IdempotencyPolicy::fingerprint).
    #[must_use]
    pub fn of_parts<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut hash = Hasher::default();
        for part in parts {
            hash.part(part.as_ref());
        }
        hash.finish()
    }

    /// Of nothing: where the key alone says what an operation is.
    #[must_use]
    pub fn of_nothing() -> Self {
        Hasher::default().finish()
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest that a store has kept.
    #[must_use]
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// In lower-case hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A hash over parts that cannot run into each other.
#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn part(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// ASCII letters in lower case, without a copy of the whole.
    fn part_in_lower_case(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        let mut buffer = [0; 32];
        for chunk in part.chunks(buffer.len()) {
            for (lower, byte) in buffer.iter_mut().zip(chunk) {
                *lower = byte.to_ascii_lowercase();
            }
            self.0.update(buffer.get(..chunk.len()).unwrap_or_default());
        }
    }

    pub(super) fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

/// Without its parameters: `charset=utf-8` is no other operation.
fn media_type(parts: &Parts) -> &[u8] {
    let value = field(parts, &CONTENT_TYPE);
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii()
}

fn field<'p>(parts: &'p Parts, name: &HeaderName) -> &'p [u8] {
    parts
        .headers
        .get(name)
        .map_or(&[], |value| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn fingerprint(method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Fingerprint {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Fingerprint::of_request(&parts, body.as_bytes(), "acme")
    }

    #[test]
    fn other_requests_have_other_fingerprints() {
        let json = &[("content-type", "application/json")];
        let first = fingerprint("POST", "/orders", json, "{}");
        for (what, other) in [
            ("method", fingerprint("PUT", "/orders", json, "{}")),
            ("path", fingerprint("POST", "/order", json, "{}")),
            ("query", fingerprint("POST", "/orders?x", json, "{}")),
            ("type", fingerprint("POST", "/orders", &[], "{}")),
            ("content", fingerprint("POST", "/orders", json, "{ }")),
        ] {
            assert_ne!(first, other, "{what}");
        }
    }

    #[test]
    fn a_rebased_retry_is_the_same_operation() {
        let first = fingerprint("PATCH", "/orders/5", &[("if-match", "\"5\"")], "{}");
        let again = fingerprint("PATCH", "/orders/5", &[("if-match", "\"7\"")], "{}");
        assert_eq!(first, again);
    }

    #[test]
    fn parameters_of_the_media_type_do_not_matter() {
        let plain = [("content-type", "application/json")];
        let spelled = [("content-type", "Application/JSON; charset=utf-8")];
        assert_eq!(
            fingerprint("POST", "/", &plain, ""),
            fingerprint("POST", "/", &spelled, "")
        );
    }

    #[test]
    fn media_types_of_any_length_are_compared_whole_and_in_lower_case() {
        for length in [31, 32, 33, 64, 65] {
            let hash =
                |media_type: &str| fingerprint("POST", "/", &[("content-type", media_type)], "");
            let lower = "x".repeat(length);
            assert_eq!(hash(&lower), hash(&lower.to_uppercase()), "{length}");
            assert_ne!(hash(&lower), hash(&format!("{}y", &lower[1..])), "{length}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(
            Fingerprint::of_parts(["ab", "c"]),
            Fingerprint::of_parts(["a", "bc"])
        );
        assert_ne!(
            Fingerprint::of_parts(["a", ""]),
            Fingerprint::of_parts(["a"])
        );
    }
}
