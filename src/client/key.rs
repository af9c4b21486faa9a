//! What a copy or a tag is kept under: a URI and whoever asks for it.

use http::header::HOST;
use http::{HeaderMap, HeaderName, Uri};
use sha2::{Digest, Sha256};

/// A resource as one principal sees it. A digest, so that no credentials lie about and all keys are
/// of one size, however long a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SeenBy([u8; 32]);

impl SeenBy {
    pub(super) fn of(uri: &Uri, headers: &HeaderMap, principal: &[HeaderName]) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            // With its length in front, no part can pass for two.
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(uri.scheme_str().unwrap_or_default().as_bytes());
        match uri.authority() {
            Some(authority) => part(authority.as_str().as_bytes()),
            None => part(headers.get(HOST).map_or(b"", |host| host.as_bytes())),
        }
        part(uri.path_and_query().map_or("", |it| it.as_str()).as_bytes());
        for name in principal {
            let lines = headers.get_all(name);
            part(&(lines.iter().count() as u64).to_be_bytes());
            lines.iter().for_each(|line| part(line.as_bytes()));
        }
        Self(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, COOKIE};
    use http::{HeaderValue, Uri};

    use super::*;

    fn key(uri: &'static str, fields: &[(HeaderName, &'static str)]) -> SeenBy {
        let fields = fields.iter().cloned();
        let headers = fields.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let principal = [AUTHORIZATION, COOKIE];
        SeenBy::of(&Uri::from_static(uri), &headers.collect(), &principal)
    }

    #[test]
    fn whatever_differs_in_resource_or_principal_is_another_key() {
        let keys = [
            key("/a", &[]),
            key("/a?", &[]),
            key("/a?b", &[]),
            key("http://x/a", &[]),
            key("https://x/a", &[]),
            key("http://y/a", &[]),
            key("/a", &[(HOST, "x")]),
            key("/a", &[(AUTHORIZATION, "")]),
            key("/a", &[(AUTHORIZATION, "b")]),
            key("/a", &[(COOKIE, "b")]),
            key("/a", &[(AUTHORIZATION, "bc")]),
            key("/a", &[(AUTHORIZATION, "b"), (COOKIE, "c")]),
        ];
        for (at, one) in keys.iter().enumerate() {
            for (other_at, other) in keys.iter().enumerate() {
                assert_eq!(one == other, at == other_at, "{at} {other_at}");
            }
        }
    }
}
