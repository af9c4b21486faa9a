//! A queue of this process in front of a store that several processes share.
//!
//! Stores in databases have no queues: whoever waits for a claim asks again and again, in no
//! promised order, and the more wait the slower it gets. With a queue in front, the writers of one
//! process wait in the order in which they came, without asking anybody, and only the first of them
//! talks to the store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{
    Answer, Claim, ClaimOptions, ClaimStore, Claimed, Condition, MemoryStore, Outcome, Settled,
    Snapshot, StoreError, VersionStore,
};
use crate::key::ResourceKey;
use crate::runtime::Runtime;

/// A [`ClaimStore`] whose claims are handed out in the order of arrival, among the writers of this
/// process.
///
/// Everything else is as in the store behind it: versions, leases, claims of other processes. Make
/// one for the process and clone it; clones share the queue. The wait limit of a claim counts from
/// the moment that it joins the queue.
///
/// ```
/// use tower_conditional::store::QueuedStore;
/// use tower_conditional::{ConditionalLayer, MemoryStore};
///
/// # fn shared_by_all_processes() -> MemoryStore { MemoryStore::new() }
/// let store = QueuedStore::new(shared_by_all_processes());
/// let layer = ConditionalLayer::new(store);
/// # let _ = layer;
/// ```
pub struct QueuedStore<S>(Arc<Queued<S>>);

struct Queued<S> {
    shared: S,
    queue: MemoryStore,
    /// The places at the head of their queues, by the claims that they were taken for.
    heads: Mutex<HashMap<(ResourceKey, u64), Claim>>,
}

impl<S: ClaimStore> QueuedStore<S> {
    /// A queue in front of `shared`, whose writers wait on the Tokio runtime.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn new(shared: S) -> Self {
        Self::with_runtime(shared, Runtime::tokio())
    }

    /// The same, with the timer of another runtime.
    #[must_use]
    pub fn with_runtime(shared: S, runtime: Runtime) -> Self {
        Self(Arc::new(Queued {
            shared,
            queue: MemoryStore::with_runtime(runtime),
            heads: Mutex::default(),
        }))
    }

    /// The same, with other limits on how many may wait; see
    /// [`MemoryStore::with_queue_limits`], also for the defaults.
    #[must_use]
    pub fn with_queue_limits(self, per_resource: usize, in_all: usize) -> Self {
        // Clones share the queue.
        let queue = self.0.queue.clone();
        drop(queue.with_queue_limits(per_resource, in_all));
        self
    }

    /// The store behind the queue.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.0.shared
    }
}

impl<S> Queued<S> {
    fn heads(&self) -> MutexGuard<'_, HashMap<(ResourceKey, u64), Claim>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place that was kept for this claim; to drop it is to let the next one come forward.
    fn place_of(self: &Arc<Self>, claim: &Claim) -> Option<Place<S>> {
        let claimed = (claim.key().clone(), claim.token());
        let head = self.heads().remove(&claimed)?;
        Some(Place {
            queued: Arc::clone(self),
            head: Some(head),
        })
    }
}

impl<S: ClaimStore> VersionStore for QueuedStore<S> {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        self.0.shared.current(key)
    }
}

impl<S: ClaimStore> ClaimStore for QueuedStore<S> {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let queued = Arc::clone(&self.0);
        let (key, condition) = (key.clone(), condition.clone());
        Answer::later(async move {
            let joined = Instant::now();
            let waiting = queued.queue.claim(&key, &Condition::Unconditional, options);
            let place = match waiting.await? {
                Claimed::Granted(head) => Place {
                    queued: Arc::clone(&queued),
                    head: Some(head),
                },
                refused => return Ok(refused),
            };
            let options = ClaimOptions {
                wait: options.wait.saturating_sub(joined.elapsed()),
                ..options
            };
            let claimed = queued.shared.claim(&key, &condition, options).await?;
            if let Claimed::Granted(claim) = &claimed {
                place.keep_for(claim);
            }
            Ok(claimed)
        })
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let place = self.0.place_of(&claim);
        let settled = self.0.shared.settle(claim, outcome);
        Answer::later(async move {
            let settled = settled.await;
            drop(place);
            settled
        })
    }

    fn abandon(&self, claim: Claim) {
        let place = self.0.place_of(&claim);
        self.0.shared.abandon(claim);
        drop(place);
    }
}

/// The head of a queue, until it is dropped.
struct Place<S> {
    queued: Arc<Queued<S>>,
    head: Option<Claim>,
}

impl<S> Place<S> {
    /// Stays at the head for as long as `claim` is held.
    fn keep_for(mut self, claim: &Claim) {
        if let Some(head) = self.head.take() {
            if claim.lease().is_some() {
                // The place has the lease of the claim: it is over when that is, and until then it
                // can still be given up.
                self.queued.queue.abandon(head.clone());
            }
            let claimed = (claim.key().clone(), claim.token());
            self.queued.heads().insert(claimed, head);
        }
    }
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        if let Some(head) = self.head.take() {
            // A store in memory has done it when it answers, and it answers at once.
            drop(self.queued.queue.settle(head, Outcome::Unchanged));
        }
    }
}

impl<S> Clone for QueuedStore<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: fmt::Debug> fmt::Debug for QueuedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuedStore")
            .field("shared", &self.0.shared)
            .field("queue", &self.0.queue)
            .finish_non_exhaustive()
    }
}
