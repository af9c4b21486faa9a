//! Digests: of bytes, of JSON whatever its spelling, and of the answers that go out (feature
//! `digest`).
//!
//! [`Sha256Digest`] is the value; [`DigestLayer`] puts it on answers, as `Repr-Digest` or
//! `Content-Digest` ([RFC 9530]) or, where there is no version to make a tag of, as `ETag`.
//!
//! # Where the layer belongs
//!
//! A digest and a strong tag are of bytes, and a content coding changes bytes
//! ([RFC 9530, section 3]; [RFC 9110, section 8.8.1]). So this layer stands *outside* of any layer
//! that compresses, and *inside* of the [`ConditionalLayer`](crate::ConditionalLayer) that
//! evaluates its tags:
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_conditional::ConditionalLayer;
//! use tower_conditional::digest::{DigestLayer, Field};
//!
//! let app: Router = Router::new()
//!     .route("/report", get(|| async { "as of today" }))
//!     // .layer(CompressionLayer::new()), and then .collect_unsized() below
//!     .layer(DigestLayer::new([Field::EntityTag, Field::ReprDigest]))
//!     .layer(ConditionalLayer::handler());
//! ```
//!
//! Inside of compression, the tag of the plain bytes would also stand on the compressed ones, and
//! the digest would be wrong. Tags that name a version are different: they may be given inside of
//! compression, because what a client writes against is the state. A proxy that compresses marks
//! them on their way out; [`Policy::tolerant`](crate::Policy::tolerant) reads such marks off
//! version tags, and never off tags of bytes.
//!
//! [RFC 9530]: https://www.rfc-editor.org/rfc/rfc9530
//! [RFC 9530, section 3]: https://www.rfc-editor.org/rfc/rfc9530#section-3
//! [RFC 9110, section 8.8.1]: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.1

mod body;
mod future;
mod layer;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use self::body::DigestBody;
pub use self::future::DigestFuture;
pub use self::layer::{DigestLayer, Digested, Field};
use crate::store::Version;

/// SHA-256 of something.
///
/// ```
/// use tower_conditional::digest::Sha256Digest;
///
/// let digest = Sha256Digest::of("abc");
/// assert!(digest.to_hex().starts_with("ba7816bf"));
/// assert_eq!(
///     digest.to_field_value(),
///     "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:",
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of the [canonical form](canonical_json) of a JSON value.
    ///
    /// ```
    /// use serde_json::json;
    /// use tower_conditional::digest::Sha256Digest;
    ///
    /// let one = Sha256Digest::of_json(&json!({"total": 1.0, "city": "Köln"}))?;
    /// let other = Sha256Digest::of_json(&json!({"city": "Köln", "total": 1}))?;
    /// assert_eq!(one, other);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`canonical_json`].
    pub fn of_json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        canonical_json(value).map(Self::of)
    }

    pub(crate) fn finish(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As 64 hexadecimal digits, in lower case.
    #[must_use]
    pub fn to_hex(&self) -> String {
        const DIGITS: [char; 16] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
        ];
        let halves = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
        halves
            .filter_map(|half| DIGITS.get(usize::from(half)))
            .collect()
    }

    /// As the value of a `Repr-Digest` or `Content-Digest` field.
    #[must_use]
    pub fn to_field_value(&self) -> HeaderValue {
        HeaderValue::try_from(format!("sha-256=:{}:", STANDARD.encode(self.0)))
            .expect("base64 is visible ASCII")
    }

    /// As a version: that of a resource which is told apart by its content alone. Content that
    /// comes back brings its version back with it, so an update that was undone in between stays
    /// unseen; where that matters, count.
    #[must_use]
    pub fn to_version(&self) -> Version {
        Version::from_opaque(&[URL_SAFE_NO_PAD.encode(self.0).as_bytes()])
    }
}

/// The canonical form of a JSON value ([RFC 8785]): one spelling for each value. Members are
/// sorted, and numbers are IEEE doubles: `1`, `1.0` and `1e0` are the same, and so are two integers
/// beyond 2⁵³ that have no doubles of their own.
///
/// ```
/// use serde_json::json;
/// use tower_conditional::digest::canonical_json;
///
/// let canonical = canonical_json(&json!({"b": 1e30, "a": [1.50, -0.0]}))?;
/// assert_eq!(canonical, br#"{"a":[1.5,0],"b":1e+30}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
///
/// If the value cannot be written as JSON. A [`serde_json::Value`] always can, unless it has a
/// number that is no double, such as `1e400`: only with serde_json's feature `arbitrary_precision`
/// are there such numbers.
///
/// [RFC 8785]: https://www.rfc-editor.org/rfc/rfc8785
pub fn canonical_json(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    serde_json_canonicalizer::to_vec(value)
}
