//! A hash table whose keys are digests already.
//!
//! A digest of 16 bytes in place of the key is what makes an idle resource cost 25 bytes before
//! the table's load factor, whatever the length of its path. It is hashed once, for the shard, the
//! version and the claim alike.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::OccupiedEntry;
use siphasher::sip128::SipHasher13;

/// Stands for a resource key. Two halves of 64 bits, since a `u128` would be aligned to 16 bytes
/// and waste 8 in each entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest {
    shard: u64,
    slot: u64,
}

impl Digest {
    /// Which of `SHARDS` shards it belongs to.
    pub(super) const fn shard<const SHARDS: usize>(self) -> usize {
        // The remainder fits, since the divisor does.
        (self.shard % SHARDS as u64) as usize
    }

    /// As the place of a claim: what is settled need not be hashed again.
    pub(super) const fn to_place(self) -> [u64; 2] {
        [self.shard, self.slot]
    }

    pub(super) const fn from_place([shard, slot]: [u64; 2]) -> Self {
        Self { shard, slot }
    }
}

/// Makes digests under a secret: a client that could find two paths with one digest would have
/// two resources share their versions.
pub(super) struct Digester(SipHasher13);

impl Digester {
    pub(super) fn new(random: &RandomState) -> Self {
        Self(SipHasher13::new_with_keys(
            random.hash_one("digest, first half of the secret"),
            random.hash_one("digest, second half of the secret"),
        ))
    }

    pub(super) fn digest(&self, key: &str) -> Digest {
        let hash = self.0.hash(key.as_bytes());
        Digest {
            shard: hash.h1,
            slot: hash.h2,
        }
    }
}

/// A map from digests.
pub(super) struct DigestMap<T>(HashTable<(Digest, T)>);

impl<T> DigestMap<T> {
    pub(super) const fn new() -> Self {
        Self(HashTable::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn get(&self, digest: Digest) -> Option<&T> {
        let found = self.0.find(digest.slot, |(other, _)| *other == digest);
        found.map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, digest: Digest) -> Option<&mut T> {
        let found = self.0.find_mut(digest.slot, |(other, _)| *other == digest);
        found.map(|(_, value)| value)
    }

    /// Adds what is not there: that is for the caller to know.
    pub(super) fn insert_new(&mut self, digest: Digest, value: T) {
        let hasher = |(digest, _): &(Digest, T)| digest.slot;
        self.0.insert_unique(digest.slot, (digest, value), hasher);
    }

    /// What is there, to be changed and then perhaps removed without a second look.
    pub(super) fn entry(&mut self, digest: Digest) -> Option<Entry<'_, T>> {
        let found = self
            .0
            .find_entry(digest.slot, |(other, _)| *other == digest);
        found.ok().map(Entry)
    }
}

/// One entry of a [`DigestMap`].
pub(super) struct Entry<'m, T>(OccupiedEntry<'m, (Digest, T)>);

impl<T> Entry<'_, T> {
    pub(super) fn get(&self) -> &T {
        &self.0.get().1
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        &mut self.0.get_mut().1
    }

    pub(super) fn remove(self) {
        self.0.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_version_table_is_24_bytes() {
        assert_eq!(size_of::<(Digest, super::super::table::Word)>(), 24);
    }

    #[test]
    fn digests_depend_on_the_secret_and_on_every_byte() {
        let (one, other) = (RandomState::new(), RandomState::new());
        let digester = Digester::new(&one);
        assert_eq!(digester.digest("/a"), digester.digest("/a"));
        assert_ne!(digester.digest("/a"), digester.digest("/b"));
        assert_ne!(digester.digest("/a"), digester.digest("/a\0"));
        assert_ne!(
            digester.digest("/a"),
            Digester::new(&other).digest("/a"),
            "one secret in two stores"
        );
    }

    #[test]
    fn digests_with_one_slot_are_told_apart() {
        let digest = |shard| Digest { shard, slot: 7 };
        let mut map = DigestMap::new();
        map.insert_new(digest(1), 'a');
        map.insert_new(digest(2), 'b');
        *map.entry(digest(1)).unwrap().get_mut() = 'c';
        assert_eq!(map.get(digest(1)), Some(&'c'));
        assert_eq!(map.get(digest(2)), Some(&'b'));
        map.entry(digest(1)).unwrap().remove();
        assert_eq!((map.get(digest(1)), map.len()), (None, 1));
    }
}
