//! One counter for everything that must never come twice: versions, claims, places in a queue.
//!
//! The counter starts again with each store, so the versions carry the store's epoch, 64 random
//! bits: a tag from before a restart is nobody's tag after it. One counter for all resources is
//! what allows to forget idle ones: whatever comes next is new to every one of them.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::Ordering;

use super::sync::AtomicU64;
use crate::store::Version;

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// 64 bits in base 32, and the dot.
const EPOCH: usize = 13 + 1;

pub(super) struct Sequence {
    epoch: [u8; EPOCH],
    last: AtomicU64,
}

impl Sequence {
    pub(super) fn new(random: &RandomState) -> Self {
        Self {
            epoch: epoch(random.hash_one("epoch")),
            last: AtomicU64::new(0),
        }
    }

    /// A number greater than all before it. Two calls under one lock are in order.
    pub(super) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The fault that the model has to find.
    #[cfg(all(loom, test))]
    pub(super) fn next_in_two_steps(&self) -> u64 {
        let next = self.last.load(Ordering::Relaxed) + 1;
        self.last.store(next, Ordering::Relaxed);
        next
    }

    /// The version with this number, without touching the allocator.
    pub(super) fn version(&self, number: u64) -> Version {
        Version::numbered(&self.epoch, number)
    }
}

fn epoch(mut bits: u64) -> [u8; EPOCH] {
    let mut text = [b'.'; EPOCH];
    for place in text.iter_mut().take(EPOCH - 1) {
        // The remainder is below the length of DIGITS.
        *place = DIGITS[(bits % 32) as usize];
        bits /= 32;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_epoch_and_a_number() {
        let sequence = Sequence {
            epoch: epoch(u64::MAX),
            last: AtomicU64::new(0),
        };
        assert_eq!(sequence.next(), 1);
        let version = sequence.version(sequence.next());
        assert_eq!(version.as_bytes(), b"vvvvvvvvvvvvf.2");
        assert_eq!(version, Version::new("vvvvvvvvvvvvf.2").unwrap());
    }

    #[test]
    fn every_epoch_has_a_text_of_its_own() {
        assert_ne!(epoch(0), epoch(1 << 63));
        assert_ne!(epoch(31), epoch(32));
    }
}
