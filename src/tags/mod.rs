//! How versions are written as entity-tags, and read back.
//!
//! A version says which *state* of a resource is meant; an entity-tag names the *bytes* of one
//! representation of it ([RFC 9110, section 8.8.3]). Where each state has one representation, a
//! tag is the version in quotes, and nothing here is needed. A [`TagStyle`] is for the two cases
//! where it is not:
//!
//! - what the version is written as is nobody's business (`Opaque`), or has to tell one life of
//!   a database from the next ([`Prefixed`]);
//! - one state has several representations, which [`Policy::variant`](crate::Policy::variant)
//!   names: with a member more, in another language, of another media type. Each has a tag of its
//!   own, or a cache would take the one for the other; all of them name the same version, so each
//!   of them works in `If-Match` at any URL of the resource. `If-None-Match` asks for bytes, so
//!   there a tag matches its own representation and no other.
//!
//! Handlers see none of this: [`Expected`](crate::report::Expected) holds versions.
//!
//! ```
//! use tower_conditional::ResourceKey;
//! use tower_conditional::store::Version;
//! use tower_conditional::tags::{MAIN, Plain, TagStyle};
//!
//! let key = ResourceKey::new("/records/1");
//! let main = Plain.encode(&key, &Version::from(5), MAIN);
//! let with_version = Plain.encode(&key, &Version::from(5), "version");
//! assert_eq!(main.as_bytes(), br#""5""#);
//! assert_eq!(with_version.as_bytes(), br#""5~version""#);
//! let named = Plain.decode(&key, with_version.opaque());
//! assert_eq!(named, Some((Version::from(5), "version".to_owned())));
//! ```
//!
//! [RFC 9110, section 8.8.3]: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3

mod chosen;
#[cfg(feature = "opaque-tags")]
mod opaque;
mod plain;

pub(crate) use self::chosen::{Chosen, Variant};
#[cfg(feature = "opaque-tags")]
#[cfg_attr(docsrs, doc(cfg(feature = "opaque-tags")))]
pub use self::opaque::{Opaque, WeakSecret};
pub use self::plain::{Plain, Prefixed};
use crate::entity_tag::EntityTag;
use crate::key::ResourceKey;
use crate::store::Version;

/// The variant that a representation is where the policy names no other.
pub const MAIN: &str = "";

/// A way to write versions as entity-tags.
///
/// What it must keep: different versions or variants of one resource have different tags; a tag
/// that [`decode`](Self::decode) reads is one that [`encode`](Self::encode) wrote; the same
/// arguments give the same tag, in every process that serves the resource, for as long as the
/// state is current.
///
/// See the [module docs](crate::tags) for an example.
pub trait TagStyle: Send + Sync + 'static {
    /// The strong tag of this variant of this version of the resource. [`MAIN`] is the variant of
    /// a representation that is nothing special.
    fn encode(&self, key: &ResourceKey, version: &Version, variant: &str) -> EntityTag;

    /// The version and the variant that a tag with this opaque part names; `None` if no tag of
    /// this resource can look like that. The bytes come from a client.
    fn decode(&self, key: &ResourceKey, opaque: &[u8]) -> Option<(Version, String)>;
}
