//! What became of each claim, told line by line by the process that asked for it, and counted by the
//! one that listens: only so is it known what a process held when it was killed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tower_conditional::store::{
    Answer, Claim, ClaimOptions, Claimed, Condition, Outcome, Settled, Snapshot, StoreError,
    VersionStore,
};
use tower_conditional::{ClaimStore, ResourceKey};

use crate::sql::worker::say;

/// A store that says what it answers.
#[derive(Clone)]
pub(super) struct Watched {
    store: Arc<dyn ClaimStore>,
    used: Arc<Mutex<HashMap<ResourceKey, Use>>>,
}

/// How this process uses a resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Use {
    /// Claims that it holds or asks for.
    now: usize,
    /// How often it has begun to ask.
    ever: usize,
}

impl Watched {
    pub(super) fn new(store: Arc<dyn ClaimStore>) -> Self {
        Self {
            store,
            used: Arc::default(),
        }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<ResourceKey, Use>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn use_of(&self, key: &ResourceKey) -> Use {
        self.used().get(key).copied().unwrap_or_default()
    }

    fn begin(&self, key: &ResourceKey) {
        let mut used = self.used();
        let of_key = used.entry(key.clone()).or_default();
        of_key.now += 1;
        of_key.ever += 1;
    }

    fn end(&self, key: &ResourceKey) {
        if let Some(of_key) = self.used().get_mut(key) {
            of_key.now -= 1;
        }
    }
}

fn say_failed(error: &StoreError) {
    say(match error {
        StoreError::NotApplied(_) => "not applied",
        StoreError::Unknown(_) => "unknown",
    });
}

impl VersionStore for Watched {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let (watched, key) = (self.clone(), key.clone());
        let answer = self.store.current(&key);
        Answer::later(async move {
            let mine = watched.use_of(&key);
            let snapshot = answer.await.inspect_err(say_failed)?;
            // Nobody in this process was at it all the while.
            if !snapshot.settled && mine.now == 0 && watched.use_of(&key) == mine {
                say("held by other");
            }
            Ok(snapshot)
        })
    }
}

impl ClaimStore for Watched {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let (watched, key) = (self.clone(), key.clone());
        let answer = self.store.claim(&key, condition, options);
        Answer::later(async move {
            watched.begin(&key);
            let claimed = answer.await;
            match &claimed {
                Ok(Claimed::Granted(_)) => {
                    say("granted");
                    return claimed;
                }
                Ok(Claimed::Busy { .. } | Claimed::Failed(_)) => {}
                Err(error) => say_failed(error),
            }
            watched.end(&key);
            claimed
        })
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let (watched, key) = (self.clone(), claim.key().clone());
        let answer = self.store.settle(claim, outcome);
        Answer::later(async move {
            let settled = answer.await;
            match &settled {
                Ok(settled) => {
                    watched.end(&key);
                    say(match settled {
                        Settled::Done(_) => "settled",
                        Settled::Fenced(_) => "fenced",
                    });
                }
                // It is abandoned next.
                Err(error) => say_failed(error),
            }
            settled
        })
    }

    fn abandon(&self, claim: Claim) {
        self.end(claim.key());
        say("abandoned");
        self.store.abandon(claim);
    }
}

/// What processes said.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) granted: usize,
    pub(super) settled: usize,
    pub(super) fenced: usize,
    pub(super) abandoned: usize,
    pub(super) held_by_other: usize,
    pub(super) not_applied: usize,
    pub(super) unknown: usize,
}

impl Tally {
    /// Claims that nobody has ended yet.
    pub(super) const fn held(&self) -> usize {
        self.granted - self.settled - self.fenced - self.abandoned
    }

    /// Statements that failed.
    pub(super) const fn failed(&self) -> usize {
        self.not_applied + self.unknown
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            granted: self.granted + other.granted,
            settled: self.settled + other.settled,
            fenced: self.fenced + other.fenced,
            abandoned: self.abandoned + other.abandoned,
            held_by_other: self.held_by_other + other.held_by_other,
            not_applied: self.not_applied + other.not_applied,
            unknown: self.unknown + other.unknown,
        }
    }
}

/// A [`Tally`] that is still being counted.
#[derive(Debug, Default)]
pub(super) struct Counter {
    counts: Mutex<Tally>,
}

impl Counter {
    /// Lines that are none of ours are the test harness's.
    pub(super) fn hear(&self, line: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match line {
            "granted" => &mut counts.granted,
            "settled" => &mut counts.settled,
            "fenced" => &mut counts.fenced,
            "abandoned" => &mut counts.abandoned,
            "held by other" => &mut counts.held_by_other,
            "not applied" => &mut counts.not_applied,
            "unknown" => &mut counts.unknown,
            _ => return,
        };
        *count += 1;
    }

    pub(super) fn tally(&self) -> Tally {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
