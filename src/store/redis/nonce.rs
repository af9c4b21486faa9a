//! Versions that nobody has ever used, without asking anybody.
//!
//! A counter on the server can be lost and counted again: by a failover, an expired row, a flush. A
//! random number of 128 bits cannot. Drawing one must cost nothing, since every call brings one.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use siphasher::sip128::SipHasher24;

/// A keyed hash of a counter: as good as random for who does not know the key, which comes from the
/// operating system.
#[derive(Debug)]
pub(super) struct Nonces {
    keyed: SipHasher24,
    count: AtomicU64,
}

impl Nonces {
    pub(super) fn new() -> Self {
        let (first, second) = (RandomState::new(), RandomState::new());
        Self {
            keyed: SipHasher24::new_with_keys(first.hash_one(1_u8), second.hash_one(2_u8)),
            count: AtomicU64::new(0),
        }
    }

    /// 32 hexadecimal digits.
    pub(super) fn version(&self) -> String {
        format!("{:032x}", self.draw())
    }

    /// Between half of `duration` and all of it.
    pub(super) fn jitter(&self, duration: Duration) -> Duration {
        let half = duration / 2;
        // 32 bits of it are jitter enough.
        let share = f64::from(self.draw() as u32) / f64::from(u32::MAX);
        half + half.mul_f64(share)
    }

    fn draw(&self) -> u128 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        // Two processes that were resumed from one image of a virtual machine share key and count,
        // but hardly the nanosecond.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = now.unwrap_or_default().as_nanos();
        let mut seed = [0; 24];
        let (left, right) = seed.split_at_mut(8);
        left.copy_from_slice(&count.to_le_bytes());
        right.copy_from_slice(&nanos.to_le_bytes());
        self.keyed.hash(&seed).into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_version_comes_twice_from_one_store_or_two() {
        let stores = [Nonces::new(), Nonces::new()];
        let versions = (0..10_000).map(|n| stores[n % 2].version());
        assert_eq!(versions.collect::<HashSet<_>>().len(), 10_000);
    }

    #[test]
    fn jitter_stays_between_half_and_all() {
        let nonces = Nonces::new();
        let all = Duration::from_millis(64);
        let drawn: HashSet<_> = (0..100).map(|_| nonces.jitter(all)).collect();
        assert!(drawn.iter().all(|drawn| (all / 2..=all).contains(drawn)));
        assert!(drawn.len() > 1, "no jitter at all");
    }
}
