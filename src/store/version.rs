//! Versions: opaque, compared for equality and nothing else.

use std::fmt;

use crate::entity_tag::{EntityTag, EntityTagError};
use crate::short_bytes::ShortBytes;

/// A version of a resource. Opaque, equality only; it becomes the strong entity-tag.
///
/// Integers, hashes and opaque tags are ways to write one.
///
/// ```
/// use tower_conditional::store::Version;
///
/// assert_eq!(Version::from(5), Version::new("5")?);
/// assert_ne!(Version::from(5), Version::new("05")?);
/// assert_eq!(Version::from(5).to_u64(), Some(5));
/// # Ok::<(), tower_conditional::EntityTagError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(ShortBytes);

impl Version {
    /// A version that is written as `text`.
    ///
    /// # Errors
    ///
    /// If `text` holds a byte that no entity-tag may hold: a quote, a space, a control.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self, EntityTagError> {
        EntityTag::strong(&text).map(|_| Self(ShortBytes::concat(&[text.as_ref()])))
    }

    /// A version out of the opaque part of an entity-tag, which has been checked.
    pub(crate) fn from_opaque(parts: &[&[u8]]) -> Self {
        Self(ShortBytes::concat(parts))
    }

    /// A version out of `prefix`, which could stand in an entity-tag, and a number.
    pub(crate) fn numbered<const LENGTH: usize>(prefix: &[u8; LENGTH], number: u64) -> Self {
        Self(ShortBytes::numbered(prefix, number))
    }

    /// How it is written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The number that it was made from, if it was.
    #[must_use]
    pub fn to_u64(&self) -> Option<u64> {
        let number = std::str::from_utf8(self.as_bytes()).ok()?.parse().ok()?;
        (Self::from(number) == *self).then_some(number)
    }

    /// The same, for a signed column.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        let number = std::str::from_utf8(self.as_bytes()).ok()?.parse().ok()?;
        (Self::from(number) == *self).then_some(number)
    }
}

impl From<u64> for Version {
    fn from(number: u64) -> Self {
        Self::numbered(b"", number)
    }
}

impl From<i64> for Version {
    fn from(number: i64) -> Self {
        Self(ShortBytes::concat(&[itoa::Buffer::new()
            .format(number)
            .as_bytes()]))
    }
}

impl From<u32> for Version {
    fn from(number: u32) -> Self {
        Self::from(u64::from(number))
    }
}

impl From<i32> for Version {
    fn from(number: i32) -> Self {
        Self::from(i64::from(number))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.as_bytes().escape_ascii())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}
