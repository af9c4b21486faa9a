//! A store that never claims to know what exists.
//!
//! The data are the upstream's. It may bring back what was deleted here, or lose what was written,
//! by a request for another path. So it is only noted that a resource has changed; whether it is
//! there, the layer asks of the upstream, under the claim, whenever a condition depends on it.

use std::sync::Arc;

use tower_conditional::store::{
    Answer, Claim, ClaimOptions, Claimed, Condition, Outcome, Settled, Snapshot, State, StoreError,
};
use tower_conditional::{ClaimStore, ResourceKey, VersionStore};

/// A store beside data that somebody else owns.
pub(crate) struct Hearsay(pub(crate) Arc<dyn ClaimStore>);

impl VersionStore for Hearsay {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        self.0.current(key)
    }
}

impl ClaimStore for Hearsay {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        self.0.claim(key, condition, options)
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let noted = match outcome {
            Outcome::Unchanged => Outcome::Unchanged,
            _ => Outcome::Unknown,
        };
        let settled = self.0.settle(claim, noted);
        if outcome != Outcome::Written {
            return settled;
        }
        match settled.try_ready() {
            Ok(settled) => Answer::ready(settled.map(written)),
            Err(later) => Answer::later(async move { later.await.map(written) }),
        }
    }

    fn abandon(&self, claim: Claim) {
        self.0.abandon(claim);
    }
}

/// At this moment it is there, so that the answer may carry the tag of what was written.
fn written(settled: Settled) -> Settled {
    match settled {
        Settled::Done(State::Unseen(current)) => Settled::Done(State::Present(current)),
        settled => settled,
    }
}
