//! Tags that show the version.

use super::{MAIN, TagStyle};
use crate::entity_tag::{EntityTag, EntityTagError};
use crate::key::ResourceKey;
use crate::store::Version;

/// Stands between version and variant. Not a dash: proxies append `-gzip`, and that is no variant.
const SEPARATOR: u8 = b'~';

/// The version as it is, `"5"`, and behind a tilde the variant, `"5~version"`.
///
/// See the [module docs](crate::tags) for an example.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plain;

impl TagStyle for Plain {
    fn encode(&self, _: &ResourceKey, version: &Version, variant: &str) -> EntityTag {
        write(&[], version, variant)
    }

    fn decode(&self, _: &ResourceKey, opaque: &[u8]) -> Option<(Version, String)> {
        read(opaque)
    }
}

/// A prefix before the version: `"b2-5"`. Of a new incarnation of the data, restored from a backup
/// say, no tag is one that the old incarnation gave out, though its versions are counted again.
///
/// ```
/// use tower_conditional::ResourceKey;
/// use tower_conditional::store::Version;
/// use tower_conditional::tags::{MAIN, Prefixed, TagStyle};
///
/// let (key, five) = (ResourceKey::new("/orders/1"), Version::from(5));
/// let (old, new) = (Prefixed::new("b1-")?, Prefixed::new("b2-")?);
/// assert_eq!(new.encode(&key, &five, MAIN).as_bytes(), br#""b2-5""#);
/// assert_eq!(new.decode(&key, old.encode(&key, &five, MAIN).opaque()), None);
/// # Ok::<(), tower_conditional::EntityTagError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefixed {
    prefix: EntityTag,
}

impl Prefixed {
    /// Tags that start with `prefix`.
    ///
    /// # Errors
    ///
    /// If `prefix` holds a byte that no entity-tag may hold: a quote, a space, a control.
    pub fn new(prefix: impl AsRef<[u8]>) -> Result<Self, EntityTagError> {
        let prefix = EntityTag::strong(prefix)?;
        Ok(Self { prefix })
    }
}

impl TagStyle for Prefixed {
    fn encode(&self, _: &ResourceKey, version: &Version, variant: &str) -> EntityTag {
        write(self.prefix.opaque(), version, variant)
    }

    fn decode(&self, _: &ResourceKey, opaque: &[u8]) -> Option<(Version, String)> {
        read(opaque.strip_prefix(self.prefix.opaque())?)
    }
}

fn write(prefix: &[u8], version: &Version, variant: &str) -> EntityTag {
    let version = version.as_bytes();
    // The last tilde is ours: a version that holds one itself gets one more, even without variant.
    let separator: &[u8] = match variant {
        MAIN if !version.contains(&SEPARATOR) => b"",
        _ => &[SEPARATOR],
    };
    let opaque = [prefix, version, separator, variant.as_bytes()].concat();
    EntityTag::of_version(&opaque, false)
}

fn read(opaque: &[u8]) -> Option<(Version, String)> {
    let separator = opaque.iter().rposition(|byte| *byte == SEPARATOR);
    let Some((version, variant)) = separator.and_then(|at| opaque.split_at_checked(at)) else {
        return Some((Version::from_opaque(&[opaque]), MAIN.to_owned()));
    };
    let variant = std::str::from_utf8(variant.get(1..)?).ok()?;
    // What we do not write we do not read: a version has one spelling.
    let ours = variant != MAIN || version.contains(&SEPARATOR);
    ours.then(|| (Version::from_opaque(&[version]), variant.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_written_is_never_read() {
        let key = ResourceKey::new("/1");
        assert_eq!(Plain.decode(&key, b"5~"), None);
        assert_eq!(Plain.decode(&key, b"5~\xFF"), None);
        let prefixed = Prefixed::new("x").unwrap();
        assert_eq!(prefixed.decode(&key, b"5"), None);
    }

    #[test]
    fn a_version_with_a_tilde_is_not_taken_for_a_variant() {
        let key = ResourceKey::new("/1");
        let tricky = Version::new("5~version").unwrap();
        let tag = Plain.encode(&key, &tricky, MAIN);
        assert_ne!(tag, Plain.encode(&key, &Version::from(5), "version"));
        let read = Plain.decode(&key, tag.opaque());
        assert_eq!(read, Some((tricky, MAIN.to_owned())));
    }
}
