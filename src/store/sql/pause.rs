//! Trying again, and how long to sleep in between: longer each time, and never as long as anybody
//! else.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::error::Failure;

/// How long a step that others stood in the way of is tried again, though nobody asked for a wait:
/// each time somebody else was served.
pub(super) const PERSISTENCE: Duration = Duration::from_secs(1);

/// A loaded handler takes some milliseconds; a shorter sleep only costs the database.
const FIRST: Duration = Duration::from_millis(4);
/// What a waiter loses at most once the claim is free.
const LONGEST: Duration = Duration::from_millis(64);

/// The sleeps of one waiter.
pub(super) struct Pauses {
    next: Duration,
    random: RandomState,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self {
            next: FIRST,
            random: RandomState::new(),
        }
    }

    /// Between half of and all of a duration that doubles each time.
    pub(super) fn next(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        // Keyed anew for each waiter: as good as random, and no dependency.
        let random = self.random.hash_one(whole) % 1024;
        whole / 2 + whole / 2 * u32::try_from(random).unwrap_or(0) / 1024
    }
}

/// Tries a step again that did not happen because others were at the same rows.
pub(crate) async fn persist<T, F>(step: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let started = Instant::now();
    let mut pauses = Pauses::new();
    loop {
        match step().await {
            Err(Failure::Contended(_)) if started.elapsed() < PERSISTENCE => {
                sleep(pauses.next()).await;
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_sleep_longer_each_time_and_out_of_step() {
        let mut pauses = Pauses::new();
        let sleeps: Vec<_> = (0..8).map(|_| pauses.next()).collect();
        assert!(sleeps.is_sorted_by(|one, other| one <= other || *other >= LONGEST / 2));
        assert!(
            sleeps
                .iter()
                .all(|sleep| (FIRST / 2..=LONGEST).contains(sleep))
        );
        let firsts: std::collections::HashSet<_> = (0..50).map(|_| Pauses::new().next()).collect();
        assert!(firsts.len() > 10, "{firsts:?}");
    }
}
