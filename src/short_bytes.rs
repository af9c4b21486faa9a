//! Bytes that live inside the value that owns them while they are few.
//!
//! Versions and entity-tags are created for every request and are nearly always short. Keeping
//! them inline is what lets a `304` be answered without touching the allocator.

use std::hash::{Hash, Hasher};

use bytes::Bytes;

/// Longest content kept inline: an opaque keyed tag (43 characters and its quotes) just fits.
const INLINE: usize = 46;
/// The digits of `u64::MAX`.
const LONGEST_NUMBER: usize = 20;

#[derive(Clone)]
pub(crate) enum ShortBytes {
    Inline { len: u8, buffer: [u8; INLINE] },
    Shared(Bytes),
}

impl ShortBytes {
    /// Joins `parts` into one value.
    pub(crate) fn concat(parts: &[&[u8]]) -> Self {
        let total = parts.iter().map(|part| part.len()).sum::<usize>();
        if total > INLINE {
            return Self::Shared(parts.concat().into());
        }
        let mut buffer = [0; INLINE];
        let mut end = 0;
        for part in parts {
            let start = end;
            end += part.len();
            if let Some(room) = buffer.get_mut(start..end) {
                room.copy_from_slice(part);
            }
        }
        Self::Inline {
            // `total` is at most INLINE, which is below 256.
            len: total as u8,
            buffer,
        }
    }

    /// `prefix` and the decimal digits of `number`: what a version is made of for each request,
    /// without a detour over parts. `prefix` is short enough to leave room for them.
    pub(crate) fn numbered<const LENGTH: usize>(prefix: &[u8; LENGTH], number: u64) -> Self {
        const { assert!(LENGTH + LONGEST_NUMBER <= INLINE) };
        let mut buffer = [0; INLINE];
        buffer[..LENGTH].copy_from_slice(prefix);
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        buffer[LENGTH..LENGTH + digits.len()].copy_from_slice(digits);
        Self::Inline {
            // At most INLINE, which is below 256.
            len: (LENGTH + digits.len()) as u8,
            buffer,
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { len, buffer } => buffer.get(..usize::from(*len)).unwrap_or_default(),
            Self::Shared(bytes) => bytes,
        }
    }
}

impl PartialEq for ShortBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for ShortBytes {}

impl Hash for ShortBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_survives_on_both_sides_of_the_inline_limit() {
        for length in [0, 1, INLINE - 1, INLINE, INLINE + 1, 500] {
            let content = vec![b'x'; length];
            let (head, tail) = content.split_at(length / 2);
            let joined = ShortBytes::concat(&[head, tail]);
            assert_eq!(joined.as_slice(), content, "length {length}");
            assert_eq!(
                matches!(joined, ShortBytes::Inline { .. }),
                length <= INLINE,
                "length {length}"
            );
        }
    }
}
