//! The versions of one shard, in bounded memory.
//!
//! A resource that the table does not know has the shard's *baseline* version: a tag from its
//! first read on, without an entry. When the table is full it forgets everything and raises the
//! baseline to a fresh number. That costs a conflict that need not have been, and never a tag that
//! was there before.

use super::digest_map::{Digest, DigestMap};
use super::sequence::Sequence;
use crate::store::{Current, State};

/// What is known of one resource, in eight bytes: the number of its version, and one bit for
/// whether it is known to exist; or zero for a resource that was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    pub(super) const DELETED: Self = Self(0);

    pub(super) const fn present(number: u64) -> Self {
        Self(number << 1)
    }

    /// May exist or not, under this number.
    pub(super) const fn unseen(number: u64) -> Self {
        Self(number << 1 | 1)
    }

    pub(super) fn state(self, sequence: &Sequence) -> State {
        let current = || Current::new(sequence.version(self.0 >> 1));
        match self {
            Self::DELETED => State::Absent,
            Self(word) if word & 1 == 1 => State::Unseen(current()),
            Self(_) => State::Present(current()),
        }
    }
}

pub(super) struct Table {
    words: DigestMap<Word>,
    baseline: u64,
    capacity: usize,
}

impl Table {
    /// Holds up to `capacity` resources. `baseline` is a fresh number.
    pub(super) const fn new(capacity: usize, baseline: u64) -> Self {
        Self {
            words: DigestMap::new(),
            baseline,
            capacity,
        }
    }

    pub(super) const fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn word(&self, digest: Digest) -> Word {
        let word = self.words.get(digest).copied();
        word.unwrap_or(Word::unseen(self.baseline))
    }

    pub(super) fn set(&mut self, digest: Digest, word: Word, sequence: &Sequence) {
        if let Some(known) = self.words.get_mut(digest) {
            *known = word;
            return;
        }
        if self.words.len() >= self.capacity {
            self.words.clear();
            self.baseline = sequence.next();
        }
        self.words.insert_new(digest, word);
    }
}
