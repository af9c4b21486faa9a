//! The memory store with one rule broken: what the model has to find.

use shuttle::future::yield_now;
use tower_conditional::store::{
    Answer, Claim, ClaimOptions, ClaimStore, Claimed, Condition, Outcome, Settled, Snapshot,
    StoreError, VersionStore,
};
use tower_conditional::{MemoryStore, ResourceKey};

/// Which rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// R1: another write fits between the comparison and the claim.
    ComparesBeforeItClaims,
    /// Nothing ever ends a claim that was abandoned.
    ForgetsAbandonedClaims,
    /// R3: readers are told that all is settled.
    HidesOpenClaims,
    None,
    /// R4: an abandoned claim ends, and the version stays.
    ReleasesAbandonedClaims,
    /// R5: a write leaves the version as it was.
    UsesVersionsAgain,
}

#[derive(Clone)]
pub(super) struct BrokenStore {
    store: MemoryStore,
    fault: Fault,
}

impl BrokenStore {
    pub(super) const fn new(store: MemoryStore, fault: Fault) -> Self {
        Self { store, fault }
    }
}

impl VersionStore for BrokenStore {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let answer = self.store.current(key);
        if self.fault != Fault::HidesOpenClaims {
            return answer;
        }
        Answer::later(async move { Ok(Snapshot::settled(answer.await?.state)) })
    }
}

impl ClaimStore for BrokenStore {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        if self.fault != Fault::ComparesBeforeItClaims {
            return self.store.claim(key, condition, options);
        }
        let (store, key, condition) = (self.store.clone(), key.clone(), condition.clone());
        Answer::later(async move {
            let state = store.current(&key).await?.state;
            if !condition.may_hold(&state) {
                return Ok(Claimed::Failed(state));
            }
            yield_now().await;
            let claimed = store
                .claim(&key, &Condition::Unconditional, options)
                .await?;
            Ok(match claimed {
                Claimed::Granted(claim) => Claimed::Granted(Claim::new(key, claim.token(), state)),
                other => other,
            })
        })
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let outcome = match (self.fault, outcome) {
            (Fault::UsesVersionsAgain, Outcome::Written) => Outcome::Unchanged,
            _ => outcome,
        };
        self.store.settle(claim, outcome)
    }

    fn abandon(&self, claim: Claim) {
        match self.fault {
            Fault::ForgetsAbandonedClaims => {}
            Fault::ReleasesAbandonedClaims => drop(self.store.settle(claim, Outcome::Unchanged)),
            _ => self.store.abandon(claim),
        }
    }
}
