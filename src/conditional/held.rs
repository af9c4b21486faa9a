//! A claim in the hands of a layer: from the moment that it is granted nothing may lose it.
//!
//! It is settled with what the handler did, or abandoned, and then the store holds it until
//! whatever may still be under way must have ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::{Claim, ClaimStore, Outcome, Settled, State};

/// A claim that is abandoned unless it is settled.
pub(crate) struct Held {
    store: Arc<dyn ClaimStore>,
    claim: Option<Claim>,
    state: State,
    lease: Option<Duration>,
    since: Instant,
}

impl Held {
    pub(crate) fn new(store: Arc<dyn ClaimStore>, claim: Claim) -> Self {
        Self {
            store,
            state: claim.state().clone(),
            lease: claim.lease(),
            since: Instant::now(),
            claim: Some(claim),
        }
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// How long the handler may still take: what is left of its lease, but for a tenth of it to
    /// settle in.
    pub(crate) fn time_to_finish(&self) -> Option<Duration> {
        let lease = self.lease? / 10 * 9;
        Some(lease.saturating_sub(self.since.elapsed()))
    }

    /// `None` if the store did not answer; the claim is then abandoned.
    pub(crate) async fn settle(mut self, outcome: Outcome) -> Option<Settled> {
        // The claim stays here until the store has answered: whoever drops this future in the
        // middle abandons it, which is a no-op once it is settled.
        let claim = self.claim.clone()?;
        let settled = self.store.settle(claim, outcome).await.ok()?;
        self.claim = None;
        Some(settled)
    }

    /// Nothing was done under this claim.
    pub(crate) async fn release(self) {
        self.settle(Outcome::Unchanged).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.store.abandon(claim);
        }
    }
}
