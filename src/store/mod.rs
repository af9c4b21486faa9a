//! Where versions live: the two traits that a store implements, and the words they speak.
//!
//! [`VersionStore`] answers one question: which version of a resource is current? That is all that
//! reads and the handler mode need. [`ClaimStore`] adds what the layer needs to guard handlers that
//! know nothing of versions: test a condition and take an exclusive claim in one step, settle it
//! when the handler is done, abandon it when nobody can say what the handler did.
//!
//! Both are object-safe, so that an application can choose its store at run time, and both answer
//! with an [`Answer`], which may be there at once: a store in memory costs no boxed future.
//!
//! # What a store must keep
//!
//! 1. `current` is linearizable: it asks the primary, not a replica or a cache.
//! 2. `claim` tests the condition and takes the claim in one atomic step, first come first served
//!    where it can.
//! 3. A version is never used twice for one key: not after a delete, an eviction or a restart.
//! 4. `settle` and the takeover of an expired claim are fenced by the claim's token.
//! 5. In doubt, bump: an abandoned or expired claim gives the resource a fresh version.
//! 6. Leases end by the store's own clock.
//! 7. Readers see an open claim: [`Snapshot::settled`] is false.
//! 8. Dropping the future of any method is safe: whatever it left behind ends with its lease.
//! 9. Errors say whether the step may have happened: see [`StoreError`].
//!
//! # Writing a store
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//! use tower_conditional::store::{Answer, Snapshot, State, StoreError, Version, VersionStore};
//! use tower_conditional::ResourceKey;
//!
//! /// Versions that somebody else writes, for reads and for the handler mode.
//! struct Table(Arc<Mutex<HashMap<String, u64>>>);
//!
//! impl VersionStore for Table {
//!     fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
//!         let table = Arc::clone(&self.0);
//!         let key = key.clone();
//!         Answer::later(async move {
//!             let table = table.lock().map_err(|_| StoreError::not_applied("poisoned"))?;
//!             let version = table.get(key.as_str()).copied();
//!             Ok(Snapshot::settled(version.map_or(State::Absent, |version| {
//!                 State::present(Version::from(version))
//!             })))
//!         })
//!     }
//! }
//! ```

mod answer;
mod memory;
mod queued;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
pub mod sql;
mod version;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use self::answer::Answer;
pub use self::memory::{MemoryStats, MemoryStore};
pub use self::queued::QueuedStore;
pub use self::version::Version;
use crate::key::ResourceKey;

/// Knows the current version of resources.
///
/// See the [module docs](crate::store) for an example and for what a store must keep.
pub trait VersionStore: Send + Sync + 'static {
    /// The current version of the resource, or that there is none, or that the store was never
    /// told.
    ///
    /// # Errors
    ///
    /// An error is *not* "no representation": the layer answers 503 to a write, and lets a plain
    /// read through untagged.
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>>;
}

/// Guards resources whose data it does not own: tests conditions, hands out exclusive claims.
///
/// See the [module docs](crate::store) for what a store must keep.
pub trait ClaimStore: VersionStore {
    /// In one atomic step: tests whether `condition` [may hold](Condition::may_hold) and, if so,
    /// takes an exclusive claim. Waits up to [`ClaimOptions::wait`] for a claim that is held.
    ///
    /// # Errors
    ///
    /// If the store cannot say; the claim may then be held until its lease ends.
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>>;

    /// Ends a claim, and gives the resource the version that `outcome` asks for.
    ///
    /// # Errors
    ///
    /// If the store cannot say; the claim then ends with its lease, and a fresh version.
    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>>;

    /// Gives up on a claim whose write may still be under way: it stays until its lease ends, and
    /// the resource then gets a fresh version. Called from `Drop`: must neither block nor panic.
    fn abandon(&self, claim: Claim);
}

impl<S: VersionStore + ?Sized> VersionStore for Arc<S> {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        (**self).current(key)
    }
}

impl<S: ClaimStore + ?Sized> ClaimStore for Arc<S> {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        (**self).claim(key, condition, options)
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        (**self).settle(claim, outcome)
    }

    fn abandon(&self, claim: Claim) {
        (**self).abandon(claim);
    }
}

/// What is known of the current representation of a resource.
///
/// See the [module docs](crate::store) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Absent,
    /// There is one.
    Present(Current),
    /// The store was never told whether there is one. If so, this is it: a tag that it may carry
    /// from its first read on, and that no earlier state ever had.
    Unseen(Current),
}

impl State {
    /// A representation of `version`.
    #[must_use]
    pub const fn present(version: Version) -> Self {
        Self::Present(Current::new(version))
    }

    /// What there is or may be.
    #[must_use]
    pub const fn current(&self) -> Option<&Current> {
        match self {
            Self::Absent => None,
            Self::Present(current) | Self::Unseen(current) => Some(current),
        }
    }
}

/// The validators of a representation, as a store keeps them.
///
/// ```
/// use std::time::UNIX_EPOCH;
/// use tower_conditional::store::{Current, Version};
///
/// let current = Current::new(Version::from(5)).modified(UNIX_EPOCH);
/// assert_eq!(current.version, Some(Version::from(5)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Current {
    /// Its version; a representation may have none, and then gets no tag.
    pub version: Option<Version>,
    /// Is the version only good for weak comparison?
    pub weak: bool,
    /// When it was last modified, if the store knows.
    pub last_modified: Option<SystemTime>,
}

impl Current {
    /// A strong version.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        Self {
            version: Some(version),
            weak: false,
            last_modified: None,
        }
    }

    /// A representation without a version.
    #[must_use]
    pub const fn unversioned() -> Self {
        Self {
            version: None,
            weak: false,
            last_modified: None,
        }
    }

    /// The same, with a version that is only good for weak comparison.
    #[must_use]
    pub fn weak(mut self) -> Self {
        self.weak = true;
        self
    }

    /// The same, last modified at `time`.
    #[must_use]
    pub fn modified(mut self, time: SystemTime) -> Self {
        self.last_modified = Some(time);
        self
    }
}

impl<V> From<V> for Current
where
    Version: From<V>,
{
    fn from(version: V) -> Self {
        Self::new(version.into())
    }
}

/// A state, and whether it can be relied upon.
///
/// See the [module docs](crate::store) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What is current.
    pub state: State,
    /// False while a write is open or in doubt: a read made now gets neither a tag nor a 304.
    pub settled: bool,
}

impl Snapshot {
    /// A state with no write under way.
    #[must_use]
    pub const fn settled(state: State) -> Self {
        Self {
            state,
            settled: true,
        }
    }

    /// A state with a write under way, or in doubt.
    #[must_use]
    pub const fn unsettled(state: State) -> Self {
        Self {
            state,
            settled: false,
        }
    }
}

/// What has to be true of the current state for a claim to be granted.
///
/// ```
/// use tower_conditional::store::{Condition, State, Version};
///
/// let current = State::present(Version::from(7));
/// assert!(!Condition::AnyOf(vec![Version::from(5)]).may_hold(&current));
/// assert!(Condition::Exists.may_hold(&current));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is none (`If-None-Match: *`).
    Absent,
    /// The current version is one of these (`If-Match`).
    AnyOf(Vec<Version>),
    /// There is one (`If-Match: *`).
    Exists,
    /// The current version, if there is one, is none of these (`If-None-Match`).
    NoneOf(Vec<Version>),
    /// Nothing.
    Unconditional,
}

impl Condition {
    /// Could it hold in `state`? The one place where stores evaluate conditions.
    ///
    /// Of an [unseen](State::Unseen) resource a condition on existence may hold: the layer finds
    /// out under the claim.
    #[must_use]
    pub fn may_hold(&self, state: &State) -> bool {
        let among = |versions: &[Version]| {
            let version = state.current().and_then(|current| current.version.as_ref());
            version.is_some_and(|version| versions.contains(version))
        };
        let weak = state.current().is_some_and(|current| current.weak);
        match self {
            Self::Absent => !matches!(state, State::Present(_)),
            Self::AnyOf(versions) => !weak && among(versions),
            Self::Exists => !matches!(state, State::Absent),
            Self::NoneOf(versions) => !among(versions),
            Self::Unconditional => true,
        }
    }
}

/// How a claim is wanted.
///
/// See [`ClaimStore::claim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimOptions {
    /// How long to wait for a claim that is held; zero means not at all.
    pub wait: Duration,
    /// How long the claim stands if nobody settles it.
    pub lease: Duration,
    /// What the holder is about to do.
    pub intent: Intent,
}

/// What the holder of a claim is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Intent {
    /// Delete the resource.
    Delete,
    /// Write it.
    Write,
}

/// The answer to [`ClaimStore::claim`].
#[derive(Debug)]
pub enum Claimed {
    /// Somebody else holds the claim.
    Busy {
        /// When to try again.
        retry_after: Duration,
        /// What the holder is doing.
        holder: Intent,
    },
    /// The condition does not hold in this state, which is settled.
    Failed(State),
    /// The claim is yours. Settle or abandon it.
    Granted(Claim),
}

/// An exclusive claim on one resource.
///
/// See [`ClaimStore::claim`]; only stores make these.
#[derive(Debug, Clone)]
#[must_use = "a claim that is neither settled nor abandoned blocks its resource until its lease ends"]
pub struct Claim {
    key: ResourceKey,
    token: u64,
    state: State,
    lease: Option<Duration>,
    place: Option<[u64; 2]>,
}

impl Claim {
    /// A claim on `key`, taken while `state` was current. `token` fences it: it is greater than
    /// that of every earlier claim on the same key.
    pub const fn new(key: ResourceKey, token: u64, state: State) -> Self {
        Self {
            key,
            token,
            state,
            lease: None,
            place: None,
        }
    }

    /// The same, and where its store finds it without a look at the key.
    pub(crate) const fn at(mut self, place: [u64; 2]) -> Self {
        self.place = Some(place);
        self
    }

    pub(crate) const fn place(&self) -> Option<[u64; 2]> {
        self.place
    }

    /// The same, running out after `lease`. Without one a claim lasts until it is settled or
    /// abandoned.
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Whose claim it is.
    #[must_use]
    pub const fn key(&self) -> &ResourceKey {
        &self.key
    }

    /// Its fencing token.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }

    /// What was current when it was granted, and is until it is settled.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// How long it lasted from the moment it was granted, if it runs out at all.
    #[must_use]
    pub const fn lease(&self) -> Option<Duration> {
        self.lease
    }
}

/// What the holder of a claim did.
///
/// The layer goes by what the handler [reports](crate::report::Report), or else by the status of its
/// answer; [`Policy::outcome`](crate::Policy::outcome) replaces the latter.
///
/// ```
/// use http::Response;
/// use tower_conditional::report::Report;
///
/// // The new content is the old content: the claim is settled as `Outcome::Unchanged`.
/// let mut response = Response::new("same as before");
/// response.extensions_mut().insert(Report::Unchanged);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Deleted the resource.
    Deleted,
    /// Left it as it was.
    Unchanged,
    /// Ended, but nobody knows with what effect: counts as written.
    Unknown,
    /// Created or changed it.
    Written,
}

/// The answer to [`ClaimStore::settle`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Done; this is current now.
    Done(State),
    /// Too late: the lease had ended, and the resource was given to somebody else or bumped.
    Fenced(State),
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a store could not answer, told by what may have happened.
///
/// ```
/// use std::error::Error as _;
/// use tower_conditional::store::StoreError;
///
/// let error = StoreError::not_applied("pool timed out");
/// assert_eq!(error.to_string(), "the version store failed; nothing was changed");
/// assert_eq!(error.source().unwrap().to_string(), "pool timed out");
/// ```
#[derive(Debug)]
pub enum StoreError {
    /// The step did not happen.
    NotApplied(BoxError),
    /// The step may have happened: the connection was lost on the way.
    Unknown(BoxError),
}

impl StoreError {
    /// The step did not happen, because of `source`.
    pub fn not_applied(source: impl Into<BoxError>) -> Self {
        Self::NotApplied(source.into())
    }

    /// The step may have happened; `source` is why nobody knows.
    pub fn unknown(source: impl Into<BoxError>) -> Self {
        Self::Unknown(source.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotApplied(_) => "the version store failed; nothing was changed",
            Self::Unknown(_) => "the version store failed; the step may have happened",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotApplied(source) | Self::Unknown(source) => Some(&**source),
        }
    }
}
