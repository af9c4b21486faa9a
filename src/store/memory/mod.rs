//! Versions in the memory of one process, and claims that are served in the order of arrival.
//!
//! Everything is in sharded tables behind short locks: no task, no I/O, no lock held across an
//! await. An answer that needs no waiting is there at once. A resource costs memory only once it
//! was written (24 bytes and the slack of a hash table) or while it is claimed.

mod digest_map;
#[cfg(all(loom, test))]
mod interleavings;
mod queue;
mod sequence;
mod shard;
mod sync;
mod table;
mod wait;

use std::fmt;
use std::hash::RandomState;
use std::sync::{Arc, PoisonError};

use self::digest_map::{Digest, Digester};
use self::queue::Wanted;
use self::sequence::Sequence;
use self::shard::{QueueLimits, Shard};
use self::sync::{Mutex, MutexGuard};
use self::wait::{Place, Waiting};
use super::{
    Answer, Claim, ClaimOptions, ClaimStore, Claimed, Condition, Outcome, Settled, Snapshot,
    StoreError, VersionStore,
};
use crate::key::ResourceKey;
use crate::runtime::Runtime;

/// Versions in the memory of one process.
///
/// Clones share one store: make one for the process, not one for each route, or writers meet
/// nobody. Its versions die with the process; each store has a random epoch in them, so that a tag
/// of an earlier process is refused and never mistaken.
///
/// - **Queue.** Claims of one resource are granted strictly in the order in which they were first
///   polled. One that waits costs a timer, others do not.
/// - **No leases.** A claim lasts until it is settled or abandoned, however long that takes.
///   [`ClaimOptions::lease`] begins when it is [abandoned](ClaimStore::abandon).
/// - **Resources that it was never told of** are [`State::Unseen`](super::State::Unseen), with a
///   version. So are those whose write is in doubt, with a fresh one.
/// - **Bounded memory.** See [`with_capacity`](Self::with_capacity) and
///   [`with_queue_limits`](Self::with_queue_limits).
///
/// An answer that is [ready](Answer::try_ready) has happened already: to drop it unread is to lose
/// the claim in it, and its resource stays claimed.
///
/// ```
/// use std::time::Duration;
/// use tower_conditional::store::{
///     ClaimOptions, Claimed, Condition, Intent, Outcome, Settled, State, Version,
/// };
/// use tower_conditional::{ClaimStore, MemoryStore, ResourceKey, Runtime, VersionStore};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::with_runtime(Runtime::inline());
/// let key = ResourceKey::new("/orders/5");
/// let options = ClaimOptions {
///     wait: Duration::ZERO,
///     lease: Duration::from_secs(30),
///     intent: Intent::Write,
/// };
///
/// let first = store.current(&key).await?;
/// assert!(matches!(first.state, State::Unseen(_)));
///
/// let Claimed::Granted(claim) = store.claim(&key, &Condition::Exists, options).await? else {
///     unreachable!("nobody else claims it");
/// };
/// assert!(!store.current(&key).await?.settled);
/// let Settled::Done(state) = store.settle(claim, Outcome::Written).await? else {
///     unreachable!("the claim was ours");
/// };
/// assert_ne!(state, first.state);
/// # Ok(())
/// # }
/// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
/// # let polled = pin!(example()).poll(&mut Context::from_waker(Waker::noop()));
/// # assert!(matches!(polled, Poll::Ready(Ok(()))));
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Shards>);

impl MemoryStore {
    /// See [`with_capacity`](Self::with_capacity). 7/8 of 16,384 slots in each of the shards is
    /// 14,336: a few more resources would double the table.
    pub(crate) const CAPACITY: usize = 900_000;
    /// As long as handlers of 5 ms are done with in the default wait of 5 s.
    pub(crate) const QUEUE: usize = 1_024;
    /// So that one long queue leaves room for others in its shard.
    pub(crate) const QUEUES: usize = SHARDS * 2 * Self::QUEUE;

    /// An empty store whose claims wait on the Tokio runtime.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn new() -> Self {
        Self::with_runtime(Runtime::tokio())
    }

    /// An empty store whose claims wait by the timer of `runtime`. Nothing is ever spawned. Without
    /// a timer, waits have no limit.
    #[must_use]
    pub fn with_runtime(runtime: Runtime) -> Self {
        Self(Arc::new(Shards::new(runtime)))
    }

    /// The same store, for all who share it, with room for about `resources` that were written and
    /// are not claimed; resources that were only read need none.
    ///
    /// Beyond it, the store forgets 1/64 of them at once, and they are as if never seen: they, and
    /// the other unseen ones of that share, get a fresh version, so that some reads are not 304
    /// and some writes conflict that need not. No version comes back.
    ///
    /// Defaults to 900,000, which take 26 MB: as many as fit before the tables would double.
    /// Rounded up to a multiple of 64.
    ///
    /// ```
    /// use tower_conditional::{MemoryStore, Runtime};
    ///
    /// let store = MemoryStore::with_runtime(Runtime::inline()).with_capacity(10_000);
    /// assert_eq!(store.stats().resources, 0);
    /// ```
    #[must_use]
    pub fn with_capacity(self, resources: usize) -> Self {
        let capacity = per_shard(resources);
        for shard in self.0.shards.iter() {
            lock(shard).set_capacity(capacity);
        }
        self
    }

    /// The same store, for all who share it, at which no more than this many requests wait for one
    /// resource, and for all resources together. Who finds no place is told
    /// [`Busy`](Claimed::Busy) at once.
    ///
    /// Defaults to 1,024 and 131,072. Who waits costs memory, and so does its request; and of more
    /// than a thousand, those at the end have no turn within the [wait](ClaimOptions::wait) that
    /// is usual, 5 s, unless handlers are done in less than 5 ms. `in_all` is rounded up to a
    /// multiple of 64, and shared out evenly among 64 groups of resources.
    ///
    /// ```
    /// use tower_conditional::{MemoryStore, Runtime};
    ///
    /// let store = MemoryStore::with_runtime(Runtime::inline()).with_queue_limits(100, 10_000);
    /// assert_eq!(store.stats().waiting, 0);
    /// ```
    #[must_use]
    pub fn with_queue_limits(self, per_resource: usize, in_all: usize) -> Self {
        let limits = QueueLimits {
            per_resource,
            per_shard: per_shard(in_all),
        };
        for shard in self.0.shards.iter() {
            lock(shard).set_queue_limits(limits);
        }
        self
    }

    /// How much the store holds, for metrics. Looks at one shard after the other, so the numbers
    /// may be of slightly different moments.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        let counts = self.0.shards.iter().map(|shard| lock(shard).counts());
        counts.fold(MemoryStats::default(), |sum, counts| MemoryStats {
            resources: sum.resources + counts.resources,
            held: sum.held + counts.held,
            waiting: sum.waiting + counts.waiting,
        })
    }
}

#[cfg(feature = "tokio")]
impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryStore").field(&self.stats()).finish()
    }
}

/// What a [`MemoryStore`] holds at one moment.
///
/// See [`MemoryStore::with_capacity`] for an example.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Resources that were written or deleted and are not forgotten yet.
    pub resources: usize,
    /// Claims that are open or abandoned.
    pub held: usize,
    /// Requests that wait for a claim, or have been given one and not yet been woken.
    pub waiting: usize,
}

impl VersionStore for MemoryStore {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let digest = self.0.digest(key);
        let snapshot = self
            .0
            .with(digest, |shard, sequence| shard.current(digest, sequence));
        Answer::ready(Ok(snapshot))
    }
}

impl ClaimStore for MemoryStore {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let digest = self.0.digest(key);
        let claimed = self.0.with(digest, |shard, sequence| {
            shard.claim(digest, condition, options, sequence)
        });
        match claimed {
            Ok(answered) => Answer::ready(Ok(answered.claimed(key, digest))),
            Err(busy) if options.wait.is_zero() => Answer::ready(Ok(busy.claimed())),
            Err(_) => {
                let wanted = Wanted {
                    condition: condition.clone(),
                    options,
                };
                let place = Place::new(Arc::clone(&self.0), digest);
                Answer::later(Waiting::new(place, key.clone(), wanted))
            }
        }
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let digest = self.0.digest_of(&claim);
        let settled = self.0.with(digest, |shard, sequence| {
            shard.settle(digest, claim.token(), outcome, sequence)
        });
        Answer::ready(Ok(settled))
    }

    fn abandon(&self, claim: Claim) {
        let digest = self.0.digest_of(&claim);
        self.0.with(digest, |shard, sequence| {
            shard.abandon(digest, claim.token(), sequence);
        });
    }
}

/// Enough that two cores rarely meet at one lock, few enough to be small when empty.
const SHARDS: usize = 64;

fn per_shard(resources: usize) -> usize {
    resources.div_ceil(SHARDS).max(1)
}

struct Shards {
    digester: Digester,
    sequence: Sequence,
    /// Of a fixed number: a division for each step would cost as much as the look-up.
    shards: Box<[Mutex<Shard>; SHARDS]>,
    runtime: Runtime,
}

impl Shards {
    fn new(runtime: Runtime) -> Self {
        // Seeded by the operating system.
        let random = RandomState::new();
        let sequence = Sequence::new(&random);
        let limits = QueueLimits {
            per_resource: MemoryStore::QUEUE,
            per_shard: per_shard(MemoryStore::QUEUES),
        };
        let shard = || Shard::new(per_shard(MemoryStore::CAPACITY), limits, sequence.next());
        // Made where it stays: all of it is much for a small stack.
        let shards: Box<[_]> = (0..SHARDS).map(|_| Mutex::new(shard())).collect();
        let Ok(shards) = shards.try_into() else {
            unreachable!("so many were made");
        };
        Self {
            digester: Digester::new(&random),
            sequence,
            shards,
            runtime,
        }
    }

    fn digest(&self, key: &ResourceKey) -> Digest {
        self.digester.digest(key.as_str())
    }

    fn digest_of(&self, claim: &Claim) -> Digest {
        let place = claim.place().map(Digest::from_place);
        place.unwrap_or_else(|| self.digest(claim.key()))
    }

    /// Does one step on the shard of `digest`, then wakes whom it concerns.
    fn with<T>(&self, digest: Digest, step: impl FnOnce(&mut Shard, &Sequence) -> T) -> T {
        let mut shard = lock(&self.shards[digest.shard::<SHARDS>()]);
        let result = step(&mut shard, &self.sequence);
        let wakers = shard.take_wakers();
        drop(shard);
        for waker in wakers {
            waker.wake();
        }
        result
    }
}

/// A panic in one step (out of memory, say) leaves each resource as it was or as it was to be.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
