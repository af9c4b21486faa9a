//! A claim in the hands of a layer: from the moment that it is granted nothing may lose it.
//!
//! It is settled with what the handler did, or abandoned, and then the store holds it until
//! whatever may still be under way must have ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::patience::Patience;
use crate::key::ResourceKey;
use crate::store::{Claim, ClaimStore, Outcome, Settled, State, StoreError};

/// A claim that is abandoned unless it is settled.
pub(crate) struct Held {
    store: Arc<dyn ClaimStore>,
    claim: Claim,
    is_open: bool,
    since: Instant,
}

impl Held {
    pub(crate) fn new(store: Arc<dyn ClaimStore>, claim: Claim) -> Self {
        Self {
            store,
            claim,
            is_open: true,
            since: Instant::now(),
        }
    }

    pub(crate) const fn key(&self) -> &ResourceKey {
        self.claim.key()
    }

    pub(crate) const fn state(&self) -> &State {
        self.claim.state()
    }

    /// How long the handler may still take: what is left of its lease, but for a tenth of it to
    /// settle in.
    pub(crate) fn time_to_finish(&self) -> Option<Duration> {
        let lease = self.claim.lease()? / 10 * 9;
        Some(lease.saturating_sub(self.since.elapsed()))
    }

    /// If the store does not answer, the claim is abandoned.
    pub(crate) async fn settle(
        mut self,
        outcome: Outcome,
        patience: Patience<'_>,
    ) -> Result<Settled, StoreError> {
        // The claim stays here until the store has answered: whoever drops this future in the
        // middle abandons it, which is a no-op once it is settled.
        let settling = self.store.settle(self.claim.clone(), outcome);
        let settled = patience.bound(settling).await?;
        self.is_open = false;
        Ok(settled)
    }

    /// Nothing was done under this claim.
    pub(crate) async fn release(self, patience: Patience<'_>) -> Result<(), StoreError> {
        self.settle(Outcome::Unchanged, patience).await.map(drop)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_open {
            self.store.abandon(self.claim.clone());
        }
    }
}
