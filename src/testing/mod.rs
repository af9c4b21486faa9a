//! What a store must keep, as a suite of checks that any store can run, yours too (feature
//! `testing`).
//!
//! The [rules](crate::store#what-a-store-must-keep) are easy to break in ways that show only under
//! load, after a crash or with two processes. The suite provokes these, and names the promise that
//! was broken. It needs a Tokio runtime of any flavour with its clock running (not paused), brings
//! its own threads, and takes some seconds: mostly leases of [200 ms](ClaimStoreSuite::lease) that
//! it waits for.
//!
//! ```
//! use tower_conditional::MemoryStore;
//! use tower_conditional::testing::assert_claim_store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // In a test of your own: `#[tokio::test]`.
//! let store = MemoryStore::new();
//! assert_claim_store(async || store.clone()).await;
//! # }
//! ```
//!
//! A store that only knows versions, for reads and the handler mode, has a
//! [suite of its own](VersionStoreSuite).
//!
//! What it cannot check: that leases end by the store's own clock, that reads ask the primary, and
//! that errors are told apart by what may have happened. Each needs your infrastructure to fail.
//! Nor does it ask that claims be granted in the order of arrival: stores need not.

mod bench;
mod check;
mod claims;
mod drops;
mod idempotency;
mod leases;
mod races;
mod restarts;
mod threads;
mod version_store;
mod versions;
mod waits;

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::LocalBoxFuture;

use self::bench::{Bench, Handle, Verdict};
pub use self::check::Check;
pub use self::idempotency::{
    IdempotencyCheck, IdempotencyReport, IdempotencyStoreSuite, assert_idempotency_store,
};
pub use self::version_store::{Change, VersionStoreSuite};
use crate::store::ClaimStore;

/// Runs the whole suite with its defaults on the store that `open` opens.
///
/// See [`ClaimStoreSuite`] for what `open` should do and for more to choose.
///
/// # Panics
///
/// If the store breaks a promise: with all that are broken, and how.
pub async fn assert_claim_store<S: ClaimStore>(open: impl AsyncFn() -> S) {
    ClaimStoreSuite::new(open).run().await.assert_passed();
}

/// The contract of a [`ClaimStore`], ready to run.
///
/// ```
/// use std::time::Duration;
/// use tower_conditional::MemoryStore;
/// use tower_conditional::testing::ClaimStoreSuite;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = MemoryStore::new();
/// let suite = ClaimStoreSuite::new(async || store.clone())
///     .restart(async || MemoryStore::new())
///     .lease(Duration::from_millis(20));
/// let report = suite.run().await;
/// assert!(report.passed(), "{report}");
/// # }
/// ```
#[must_use = "a suite does nothing unless it is run"]
pub struct ClaimStoreSuite<'a> {
    open: Open<'a>,
    restart: Option<Open<'a>>,
    failing: Option<Open<'a>>,
    lease: Duration,
    patience: Duration,
    has_claims: bool,
}

type Open<'a> = Box<dyn Fn() -> LocalBoxFuture<'a, Arc<dyn ClaimStore>> + 'a>;

impl<'a> ClaimStoreSuite<'a> {
    /// A suite for the store that `open` opens: each time *the same* store, as another process
    /// would. So it should share as little as two processes do: a connection pool, a cache, a
    /// counter of its own for each. It is opened three times, and once more for a restart.
    ///
    /// The keys are new in each run, and stay in the store.
    pub fn new<S: ClaimStore>(open: impl AsyncFn() -> S + 'a) -> Self {
        Self {
            open: boxed(open),
            restart: None,
            failing: None,
            lease: Duration::from_millis(200),
            patience: Duration::from_secs(15),
            has_claims: true,
        }
    }

    /// How long the leases are whose end the suite waits for: as short as your store can make
    /// them, and long against one call.
    ///
    /// Defaults to 200 ms.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long anything may take before it counts as stuck: one call, or a claim after its lease
    /// has ended.
    ///
    /// Defaults to 15 s, so that a machine under load is not taken for a broken store.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How the store is opened after a restart, when all handles of the process before are gone.
    ///
    /// Defaults to opening it once more, which is right for a store outside of the process.
    pub fn restart<S: ClaimStore>(mut self, restart: impl AsyncFn() -> S + 'a) -> Self {
        self.restart = Some(boxed(restart));
        self
    }

    /// Opens a handle on a store that cannot be reached: a pool without connections, a port where
    /// nobody listens.
    ///
    /// Without it, [`Check::FailureIsAnError`] is skipped.
    pub fn failing<S: ClaimStore>(mut self, failing: impl AsyncFn() -> S + 'a) -> Self {
        self.failing = Some(boxed(failing));
        self
    }

    /// Runs all checks, one after the other.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with a timer.
    pub async fn run(&self) -> Report {
        let mut report = Report::default();
        for check in Check::ALL {
            report.add(check, self.check(check).await);
        }
        report
    }

    /// Runs one check: the answer is why it failed, if it did; nothing, if it was skipped.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with a timer.
    pub async fn check(&self, check: Check) -> Option<Result<(), String>> {
        let bench = self.bench().await;
        let running = match check {
            Check::FailureIsAnError => {
                let failing = self.failing.as_ref()?().await;
                let failing = self.handle(failing);
                tokio::spawn(restarts::failure_is_an_error(
                    bench,
                    failing,
                    self.has_claims,
                ))
            }
            Check::VersionIsFreshAfterRestart => {
                return Some(restarts::version_is_fresh(self, bench).await);
            }
            check => tokio::spawn(check.run(bench)?),
        };
        Some(joined(running).await)
    }

    /// The store after a restart.
    async fn restarted(&self) -> Handle {
        let store = self.restart.as_ref().unwrap_or(&self.open)().await;
        self.handle(store)
    }

    async fn bench(&self) -> Bench {
        let mut handles = Vec::new();
        for _ in 0..3 {
            handles.push(self.handle((self.open)().await));
        }
        let run = RandomState::new().hash_one("name space");
        Bench {
            handles,
            namespace: format!("/store-contract/{run:016x}").into(),
            lease: self.lease,
            patience: self.patience,
        }
    }

    fn handle(&self, store: Arc<dyn ClaimStore>) -> Handle {
        Handle {
            store,
            patience: self.patience,
        }
    }
}

fn boxed<'a, S: ClaimStore>(open: impl AsyncFn() -> S + 'a) -> Open<'a> {
    let open = Rc::new(open);
    Box::new(move || {
        let open = Rc::clone(&open);
        Box::pin(async move { Arc::new(open().await) as Arc<dyn ClaimStore> })
    })
}

/// The end of a check that runs on its own, so that a store that panics fails it.
async fn joined(running: tokio::task::JoinHandle<Verdict>) -> Verdict {
    let ended = running.await;
    ended.unwrap_or_else(|error| Err(threads::panicked(error)))
}

impl fmt::Debug for ClaimStoreSuite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimStoreSuite")
            .field("lease", &self.lease)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// What the suite found.
///
/// See [`ClaimStoreSuite`] for an example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a report may tell of failures"]
pub struct Report {
    /// The promises that were broken.
    pub failures: Vec<Failure>,
    /// The checks that lacked what they need.
    pub skipped: Vec<Check>,
}

/// A promise that a store broke.
///
/// See [`ClaimStoreSuite`] for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Which one.
    pub check: Check,
    /// How, for people.
    pub reason: String,
}

impl Report {
    /// Adds what [`ClaimStoreSuite::check`] answered.
    pub fn add(&mut self, check: Check, checked: Option<Result<(), String>>) {
        match checked {
            None => self.skipped.push(check),
            Some(Ok(())) => {}
            Some(Err(reason)) => self.failures.push(Failure { check, reason }),
        }
    }

    /// Did the store keep all promises that were checked?
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Panics unless the store kept all promises.
    ///
    /// # Panics
    ///
    /// With all failures, if there are any.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed() {
            return f.write_str("the store keeps the contract");
        }
        f.write_str("the store breaks the contract")?;
        for Failure { check, reason } in &self.failures {
            write!(f, "\n- {check}: {reason}")?;
        }
        Ok(())
    }
}
