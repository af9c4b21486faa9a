//! The contract of an [`IdempotencyStore`], as a suite that any store can run.

mod bench;
mod check;
mod leases;
mod races;
mod records;

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::LocalBoxFuture;

use self::bench::{Bench, Handle};
pub use self::check::IdempotencyCheck;
use super::threads;
use crate::idempotency::IdempotencyStore;

/// Runs the whole suite with its defaults on the store that `open` opens.
///
/// See [`IdempotencyStoreSuite`] for what `open` should do.
///
/// ```
/// use tower_conditional::idempotency::MemoryIdempotencyStore;
/// use tower_conditional::testing::assert_idempotency_store;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryIdempotencyStore::new();
/// assert_idempotency_store(async || store.clone()).await;
/// # }
/// ```
///
/// # Panics
///
/// If the store breaks a promise: with all that are broken, and how.
pub async fn assert_idempotency_store<S: IdempotencyStore>(open: impl AsyncFn() -> S) {
    IdempotencyStoreSuite::new(open).run().await.assert_passed();
}

/// The contract of an [`IdempotencyStore`], ready to run.
///
/// ```
/// use std::time::Duration;
/// use tower_conditional::idempotency::MemoryIdempotencyStore;
/// use tower_conditional::testing::{IdempotencyCheck, IdempotencyStoreSuite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryIdempotencyStore::new();
/// let suite = IdempotencyStoreSuite::new(async || store.clone())
///     .lease(Duration::from_millis(20));
/// assert_eq!(suite.check(IdempotencyCheck::MismatchIsTold).await, Ok(()));
/// # }
/// ```
#[must_use = "a suite does nothing unless it is run"]
pub struct IdempotencyStoreSuite<'a> {
    open: Open<'a>,
    lease: Duration,
    patience: Duration,
}

type Open<'a> = Box<dyn Fn() -> LocalBoxFuture<'a, Arc<dyn IdempotencyStore>> + 'a>;

impl<'a> IdempotencyStoreSuite<'a> {
    /// A suite for the store that `open` opens: each time *the same* store, as another process
    /// would, with a connection pool of its own. It is opened three times for each check.
    ///
    /// The keys are new in each run. Most of them stay in the store, for ten minutes.
    pub fn new<S: IdempotencyStore>(open: impl AsyncFn() -> S + 'a) -> Self {
        let open = Rc::new(open);
        Self {
            open: Box::new(move || {
                let open = Rc::clone(&open);
                Box::pin(async move { Arc::new(open().await) as Arc<dyn IdempotencyStore> })
            }),
            lease: Duration::from_millis(200),
            patience: Duration::from_secs(15),
        }
    }

    /// How long the leases and times to live are whose end the suite waits for: as short as your
    /// store can make them, and long against one call.
    ///
    /// Defaults to 200 ms.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long anything may take before it counts as stuck: one call, or the end of a lease.
    ///
    /// Defaults to 15 s, so that a machine under load is not taken for a broken store.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs all checks, one after the other.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with a timer.
    pub async fn run(&self) -> IdempotencyReport {
        let mut report = IdempotencyReport::default();
        for check in IdempotencyCheck::ALL {
            if let Err(reason) = self.check(check).await {
                report.failures.push((check, reason));
            }
        }
        report
    }

    /// Runs one check.
    ///
    /// # Errors
    ///
    /// How the store broke its promise, for people.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with a timer.
    pub async fn check(&self, check: IdempotencyCheck) -> Result<(), String> {
        let mut handles = Vec::new();
        for _ in 0..3 {
            handles.push(Handle {
                store: (self.open)().await,
                patience: self.patience,
            });
        }
        let run = RandomState::new().hash_one("name space");
        let bench = Bench {
            handles,
            scope: format!("store-contract/{run:016x}").into(),
            lease: self.lease,
            patience: self.patience,
        };
        // On its own, so that a store that panics fails it.
        let ended = tokio::spawn(check.run(bench)).await;
        ended.unwrap_or_else(|error| Err(threads::panicked(error)))
    }
}

impl fmt::Debug for IdempotencyStoreSuite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyStoreSuite")
            .field("lease", &self.lease)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// What the suite found.
///
/// See [`IdempotencyStoreSuite`] for an example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a report may tell of failures"]
pub struct IdempotencyReport {
    /// The promises that were broken, and how.
    pub failures: Vec<(IdempotencyCheck, String)>,
}

impl IdempotencyReport {
    /// Panics unless the store kept all promises.
    ///
    /// # Panics
    ///
    /// With all failures, if there are any.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.failures.is_empty(), "{self}");
    }
}

impl fmt::Display for IdempotencyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return f.write_str("the store keeps the contract");
        }
        f.write_str("the store breaks the contract")?;
        for (check, reason) in &self.failures {
            write!(f, "\n- {check:?} (rule {}): {reason}", check.rule())?;
        }
        Ok(())
    }
}
