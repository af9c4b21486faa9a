//! Which resource a request is about.
//!
//! The key names the resource, not the spelling of the URL: a `GET` and a `PUT` of one resource
//! must have the same key, or the one guards nothing of the other. The default is the path,
//! without the query, with percent-encodings brought into one form. Under nested axum routers it
//! is the whole path, as long as the feature `axum` is on.
//!
//! ```
//! use http::Request;
//! use tower_conditional::ResourceKey;
//!
//! let (parts, ()) = Request::get("/caf%c3%a9/%6Fne?x=1").body(())?.into_parts();
//! assert_eq!(ResourceKey::from_path(&parts).as_str(), "/caf%C3%A9/one");
//! # Ok::<(), http::Error>(())
//! ```

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use siphasher::sip128::SipHasher13;

/// The name of a resource; equal keys mean the same resource.
///
/// See the [module docs](crate::key) for an example.
#[derive(Clone)]
pub struct ResourceKey {
    name: Repr,
    digest: [u64; 2],
}

#[derive(Clone)]
enum Repr {
    /// Shares the bytes of the request's URI.
    Path(PathAndQuery),
    Text(Arc<str>),
}

impl ResourceKey {
    /// A key of your own making.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self::of(Repr::Text(text.into()))
    }

    fn of(name: Repr) -> Self {
        let digest = digest(name.as_str());
        Self { name, digest }
    }

    /// The path of the request, before any nested axum router cut it (feature `axum`), in
    /// canonical form: two paths that differ only in how they are percent-encoded have one key.
    /// The query is no part of it.
    #[must_use]
    pub fn from_path(parts: &Parts) -> Self {
        Self::from_uri(original_uri(parts))
    }

    fn from_uri(uri: &Uri) -> Self {
        match uri.path_and_query() {
            Some(path) if is_canonical(path.path()) => Self::of(Repr::Path(path.clone())),
            _ => Self::new(canonical(uri.path())),
        }
    }

    /// The same resource as seen by one tenant, principal or seller: keys of different scopes
    /// never meet.
    ///
    /// ```
    /// use tower_conditional::ResourceKey;
    ///
    /// let key = ResourceKey::new("/orders/5");
    /// assert_ne!(key.scoped("acme"), key.scoped("globex"));
    /// ```
    #[must_use]
    pub fn scoped(&self, scope: &str) -> Self {
        // The length keeps ("a", "b/c") and ("a/b", "c") apart, whatever the scope holds.
        Self::new(format!("{}:{scope}{self}", scope.len()))
    }

    /// The key without its last segment: that of the collection which an item is in.
    ///
    /// ```
    /// use tower_conditional::ResourceKey;
    ///
    /// let item = ResourceKey::new("/orders/5");
    /// assert_eq!(item.parent(), Some(ResourceKey::new("/orders")));
    /// assert_eq!(ResourceKey::new("/orders").parent(), None);
    /// ```
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.as_str().rsplit_once('/')?;
        (!parent.is_empty()).then(|| Self::new(parent))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.name.as_str()
    }

    /// Stands for the key in tables of this process: 128 bits of SipHash-1-3 under a secret that
    /// the process has drawn, so that no client can find two keys with one digest. Made once for a
    /// key and its clones, however many tables a request is looked up in. Another process has
    /// another secret: never store it.
    ///
    /// ```
    /// use tower_conditional::ResourceKey;
    ///
    /// let key = ResourceKey::new("/orders/5");
    /// assert_eq!(key.digest(), ResourceKey::new("/orders/5").digest());
    /// assert_ne!(key.digest(), ResourceKey::new("/orders/6").digest());
    /// ```
    #[must_use]
    pub const fn digest(&self) -> [u64; 2] {
        self.digest
    }

    /// The path of the URI that it was made of, if it is that path as it stands.
    pub(crate) fn path(&self) -> Option<&str> {
        match &self.name {
            Repr::Path(path) => Some(path.path()),
            Repr::Text(_) => None,
        }
    }
}

impl Repr {
    fn as_str(&self) -> &str {
        match self {
            Self::Path(path) => path.path(),
            Self::Text(text) => text,
        }
    }
}

fn digest(name: &str) -> [u64; 2] {
    static HASHER: LazyLock<SipHasher13> = LazyLock::new(|| {
        // Seeded by the operating system.
        let random = RandomState::new();
        SipHasher13::new_with_keys(
            random.hash_one("digest, first half of the secret"),
            random.hash_one("digest, second half of the secret"),
        )
    });
    let hash = HASHER.hash(name.as_bytes());
    [hash.h1, hash.h2]
}

#[cfg(feature = "axum")]
pub(crate) fn original_uri(parts: &Parts) -> &Uri {
    let original = parts.extensions.get::<axum::extract::OriginalUri>();
    original.map_or(&parts.uri, |original| &original.0)
}

#[cfg(not(feature = "axum"))]
pub(crate) const fn original_uri(parts: &Parts) -> &Uri {
    &parts.uri
}

fn is_canonical(path: &str) -> bool {
    // Without a way out in the middle: then many bytes are looked at in one step.
    path.bytes().fold(true, |canonical, byte| {
        canonical & (byte != b'%') & byte.is_ascii_graphic()
    })
}

/// A function of what a handler sees after it has percent-decoded each segment: visible ASCII
/// stands for itself, all else is encoded in upper case, and so are `/` and `%` where they were
/// encoded, since a decoded slash is not a separator.
fn canonical(path: &str) -> String {
    let mut canonical = String::with_capacity(path.len() + 8);
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let decoded = match (first, after) {
            (b'%', [high, low, tail @ ..]) => hex(*high)
                .zip(hex(*low))
                .map(|(high, low)| (high << 4 | low, tail)),
            _ => None,
        };
        let was_encoded = decoded.is_some();
        let byte;
        (byte, rest) = decoded.unwrap_or((*first, after));
        if byte.is_ascii_graphic() && byte != b'%' && !(byte == b'/' && was_encoded) {
            canonical.push(char::from(byte));
        } else {
            write!(canonical, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    canonical
}

fn hex(digit: u8) -> Option<u8> {
    // A hexadecimal digit is below 16.
    char::from(digit).to_digit(16).map(|value| value as u8)
}

impl PartialEq for ResourceKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ResourceKey {}

impl PartialOrd for ResourceKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for ResourceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceKey({:?})", self.as_str())
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> String {
        canonical(path)
    }

    #[test]
    fn spellings_of_one_path_have_one_key() {
        for (one, other) in [
            ("/orders/%41bc", "/orders/Abc"),
            ("/a%2fb", "/a%2Fb"),
            ("/%21", "/!"),
            ("/caf%c3%a9", "/café"),
            ("/%zz", "/%25zz"),
            ("/5%", "/5%25"),
        ] {
            assert_eq!(key(one), key(other), "{one} and {other}");
        }
    }

    #[test]
    fn different_resources_have_different_keys() {
        for (one, other) in [
            ("/a/b", "/a%2Fb"),
            ("/%2541", "/A"),
            ("/a", "/a/"),
            ("/a", "/A"),
        ] {
            assert_ne!(key(one), key(other), "{one} and {other}");
        }
    }

    #[test]
    fn scopes_cannot_be_forged_by_what_they_hold() {
        let key = |scope: &str, path: &str| ResourceKey::new(path).scoped(scope);
        assert_ne!(key("a", "/b/c"), key("a/b", "/c"));
        assert_ne!(key("1:a", "/b"), key("1", ":a/b"));
    }
}
