//! Where the first answers live: the trait that a store implements, and the words it speaks.
//!
//! A key is absent, in flight, in doubt or done. [`begin`](IdempotencyStore::begin) asks which, and
//! starts an attempt if it is absent; [`settle`](IdempotencyStore::settle) says how the attempt
//! ended; [`abandon`](IdempotencyStore::abandon) that nobody knows.

use std::sync::Arc;
use std::time::Duration;

use super::fingerprint::Fingerprint;
use super::stored::StoredResponse;
use crate::store::{Answer, StoreError};

/// Keeps the first answers, by key.
///
/// A key is absent, in flight, in doubt or done. A store need not know how to wait: the layer asks
/// again. See [`MemoryIdempotencyStore`](super::MemoryIdempotencyStore) for an example.
///
/// # What a store must keep
///
/// 1. `begin` is one atomic step: of any number of first uses at once, one starts.
/// 2. A key that is not absent answers another fingerprint with [`Begun::Mismatch`], whatever its
///    state.
/// 3. Tokens only grow, per key, also when it was absent in between. `settle` by any but the newest attempt is
///    [fenced](Settlement::Fenced) and changes nothing.
/// 4. An attempt that nobody settles is in flight until its lease ends, and then in doubt. It is
///    never absent again before its time to live is over, counted from its begin, nor done.
/// 5. A late `settle` of an attempt that is in doubt, and that nobody took over, ends the doubt.
/// 6. [`BeginOptions::instead_of`] takes over what is in doubt or done only if its token is the one
///    named: of any number that try at once, one starts. What is done has another token than the doubt
///    that it may have seemed before: who saw the doubt does not take over what is done.
/// 7. What is done stays done until its time to live is over, counted from its completion. The same
///    attempt may complete it again, which refreshes the answer; all else is fenced.
/// 8. Leases and times to live are told by the store's own clock.
/// 9. Dropping the future of any method is safe: whatever it left behind ends with its lease.
/// 10. The answer comes back as it was stored. A store may forget the content of an answer early,
///     never the key.
///
/// The module `testing` (feature `testing`) has a suite that checks these.
pub trait IdempotencyStore: Send + Sync + 'static {
    /// In one atomic step: what is known of `key`, and a new attempt if nothing is.
    ///
    /// # Errors
    ///
    /// If the store cannot say; the layer then refuses the request. An attempt may have begun; it
    /// ends with its lease.
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> Answer<Result<Begun, StoreError>>;

    /// Says how an attempt ended.
    ///
    /// # Errors
    ///
    /// If the store cannot say; the attempt is then in doubt once its lease ends.
    fn settle(&self, attempt: &Attempt, ending: Ending) -> Answer<Result<Settlement, StoreError>>;

    /// Gives up on an attempt that may still be under way: it stays in flight until its lease ends,
    /// and is then in doubt. A no-op on what is done. Called from `Drop`: must neither block nor
    /// panic.
    fn abandon(&self, attempt: &Attempt);
}

impl<S: IdempotencyStore + ?Sized> IdempotencyStore for Arc<S> {
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> Answer<Result<Begun, StoreError>> {
        (**self).begin(key, fingerprint, options)
    }

    fn settle(&self, attempt: &Attempt, ending: Ending) -> Answer<Result<Settlement, StoreError>> {
        (**self).settle(attempt, ending)
    }

    fn abandon(&self, attempt: &Attempt) {
        (**self).abandon(attempt);
    }
}

/// A key, and whose it is: equal keys of two scopes have nothing to do with each other.
///
/// ```
/// use tower_conditional::idempotency::RecordKey;
///
/// let key = RecordKey::new("acme", "9f1c");
/// assert_eq!((key.scope(), key.key()), ("acme", "9f1c"));
/// assert_ne!(key, RecordKey::new("globex", "9f1c"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordKey {
    scope: Arc<str>,
    key: Arc<str>,
}

impl RecordKey {
    /// The key `key` of `scope`.
    pub fn new(scope: impl Into<Arc<str>>, key: impl Into<Arc<str>>) -> Self {
        Self {
            scope: scope.into(),
            key: key.into(),
        }
    }

    /// Whose key it is.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The key within its scope, and where it came from: `header:9f1c`, `content:…`. At most 600
    /// bytes where the layer made it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// How an attempt is wanted.
///
/// See [`IdempotencyStore::begin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeginOptions {
    /// How long the attempt is in flight if nobody settles it.
    pub lease: Duration,
    /// How long the key is remembered.
    pub ttl: Duration,
    /// Take the key over from what was told of with this token: a doubt, or an answer.
    pub instead_of: Option<u64>,
}

/// The answer to [`IdempotencyStore::begin`].
#[derive(Debug)]
pub enum Begun {
    /// There is an answer already.
    Done {
        /// What names it in [`BeginOptions::instead_of`]; greater than the token of its attempt.
        token: u64,
        /// What it was.
        response: Arc<StoredResponse>,
    },
    /// An earlier attempt ended, and nobody knows with what effect.
    InDoubt {
        /// Whose doubt it is, and what names it in [`BeginOptions::instead_of`].
        token: u64,
    },
    /// An earlier attempt is under way.
    InFlight {
        /// When to try again.
        retry_after: Duration,
    },
    /// The key was used with another request.
    Mismatch,
    /// The key was absent, or was taken over: the attempt is yours. Settle or abandon it.
    Started(Attempt),
}

/// One run of the operation that a key stands for.
///
/// See [`IdempotencyStore::begin`]; only stores make these.
#[derive(Debug, Clone)]
#[must_use = "an attempt that is neither settled nor abandoned is in flight until its lease ends"]
pub struct Attempt {
    key: RecordKey,
    fingerprint: Fingerprint,
    token: u64,
    ttl: Duration,
    lease: Option<Duration>,
}

impl Attempt {
    /// An attempt at `key`. `token` fences it: it is greater than that of every earlier attempt.
    pub const fn new(
        key: RecordKey,
        fingerprint: Fingerprint,
        token: u64,
        options: &BeginOptions,
    ) -> Self {
        Self {
            key,
            fingerprint,
            token,
            ttl: options.ttl,
            lease: Some(options.lease),
        }
    }

    /// The same, for as long as it takes: its lease begins when it is abandoned.
    pub const fn without_lease(mut self) -> Self {
        self.lease = None;
        self
    }

    /// Whose attempt it is.
    #[must_use]
    pub const fn key(&self) -> &RecordKey {
        &self.key
    }

    /// The request that it is for.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Its fencing token.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }

    /// How long its answer is kept.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How long it lasted from the moment it began, if it runs out at all.
    #[must_use]
    pub const fn lease(&self) -> Option<Duration> {
        self.lease
    }
}

/// How an attempt ended.
///
/// See [`IdempotencyStore::settle`].
#[derive(Debug, Clone)]
pub enum Ending {
    /// With this answer, which is to be kept.
    Done(StoredResponse),
    /// It is over, but nobody knows with what effect.
    InDoubt,
    /// Nothing was done: the key is absent again.
    NotRun,
}

/// The answer to [`IdempotencyStore::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It is so.
    Done,
    /// Nothing was changed: the key was taken over, is done, or was forgotten.
    Fenced,
}
