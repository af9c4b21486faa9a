//! The part of the contract that a store without claims keeps: rules 1, 3 and 9.
//!
//! Its versions are made by the application's own writes, so the suite has to be told how to
//! write. An adapter then stands for a store whose claims refuse nobody, so that the checks are
//! the same ones.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;

use super::{Check, ClaimStoreSuite, Report};
use crate::key::ResourceKey;
use crate::store::{
    Answer, Claim, ClaimOptions, ClaimStore, Claimed, Condition, Outcome, Settled, Snapshot, State,
    StoreError, VersionStore,
};

/// The contract of a [`VersionStore`] whose versions the application writes, ready to run.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use tower_conditional::ResourceKey;
/// use tower_conditional::store::{
///     Answer, Snapshot, State, StoreError, Version, VersionStore,
/// };
/// use tower_conditional::testing::{Change, VersionStoreSuite};
///
/// /// The last version of all, and the one of each resource that there is.
/// #[derive(Clone, Default)]
/// struct Orders(Arc<Mutex<(u64, Vec<(ResourceKey, u64)>)>>);
///
/// impl Orders {
///     /// What the application does in its own SQL.
///     fn change(&self, key: &ResourceKey, change: Change) -> State {
///         let mut orders = self.0.lock().unwrap();
///         let (last, versions) = &mut *orders;
///         versions.retain(|(other, _)| other != key);
///         if change == Change::Delete {
///             return State::Absent;
///         }
///         *last += 1;
///         versions.push((key.clone(), *last));
///         State::present(Version::from(*last))
///     }
/// }
///
/// impl VersionStore for Orders {
///     fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
///         let orders = self.0.lock().unwrap();
///         let found = orders.1.iter().find(|(other, _)| other == key);
///         let state = found.map_or(State::Absent, |(_, version)| {
///             State::present(Version::from(*version))
///         });
///         Answer::ready(Ok(Snapshot::settled(state)))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let orders = Orders::default();
/// let table = orders.clone();
/// let suite = VersionStoreSuite::new(
///     async || orders.clone(),
///     move |key, change| {
///         let state = table.change(&key, change);
///         async move { Ok(state) }
///     },
/// );
/// suite.run().await.assert_passed();
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a suite does nothing unless it is run"]
pub struct VersionStoreSuite<'a>(ClaimStoreSuite<'a>);

/// What the suite asks the application to do with a resource.
///
/// See [`VersionStoreSuite`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Delete it, if it is there.
    Delete,
    /// Create or change it.
    Write,
}

impl<'a> VersionStoreSuite<'a> {
    /// A suite for the store that `open` opens, each time the same one, as for
    /// [`ClaimStoreSuite::new`]; and whose resources `change` changes, as the application would,
    /// unconditionally. It answers with what is current then, as the statement that made the
    /// change says it, not as the store reads it.
    ///
    /// The keys are texts of all kinds, long ones too. An application whose keys are not, such as
    /// UUIDs, may keep a map from the one to the other for the test.
    pub fn new<S, F>(
        open: impl AsyncFn() -> S + 'a,
        change: impl Fn(ResourceKey, Change) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: VersionStore,
        F: Future<Output = Result<State, StoreError>> + Send + 'static,
    {
        let change: Apply = Arc::new(move |key, asked| Box::pin(change(key, asked)));
        let mut suite = ClaimStoreSuite::new(async move || Unclaimed {
            store: open().await,
            change: Arc::clone(&change),
        });
        suite.has_claims = false;
        Self(suite)
    }

    /// See [`ClaimStoreSuite::patience`].
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.0.patience = patience;
        self
    }

    /// See [`ClaimStoreSuite::failing`].
    pub fn failing<S: VersionStore>(mut self, failing: impl AsyncFn() -> S + 'a) -> Self {
        self.0 = self.0.failing(async move || Unclaimed {
            store: failing().await,
            change: Arc::new(|_, _| Box::pin(async { Ok(State::Absent) })),
        });
        self
    }

    /// Runs the checks that need no claims; the others are neither run nor skipped.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with a timer.
    pub async fn run(&self) -> Report {
        let mut report = Report::default();
        for check in CHECKS {
            report.add(check, self.check(check).await);
        }
        report
    }

    /// Runs one check, see [`ClaimStoreSuite::check`]. One that needs claims is skipped.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with a timer.
    pub async fn check(&self, check: Check) -> Option<Result<(), String>> {
        if !CHECKS.contains(&check) {
            return None;
        }
        self.0.check(check).await
    }
}

const CHECKS: [Check; 7] = [
    Check::OutcomeIsApplied,
    Check::CurrentIsLinearizable,
    Check::VersionIsFresh,
    Check::VersionIsFreshAfterDelete,
    Check::KeysAreIndependent,
    Check::VersionIsFreshAfterRestart,
    Check::FailureIsAnError,
];

type Apply =
    Arc<dyn Fn(ResourceKey, Change) -> BoxFuture<'static, Result<State, StoreError>> + Send + Sync>;

/// A store that grants any claim whose condition holds, and settles by the application's writes.
struct Unclaimed<S> {
    store: S,
    change: Apply,
}

impl<S: VersionStore> VersionStore for Unclaimed<S> {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        self.store.current(key)
    }
}

impl<S: VersionStore> ClaimStore for Unclaimed<S> {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        _: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let (current, key, condition) = (self.current(key), key.clone(), condition.clone());
        Answer::later(async move {
            let Snapshot { state, .. } = current.await?;
            Ok(match condition.may_hold(&state) {
                true => Claimed::Granted(Claim::new(key, 1, state)),
                false => Claimed::Failed(state),
            })
        })
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let key = claim.key().clone();
        let change = match outcome {
            Outcome::Deleted => (self.change)(key, Change::Delete),
            Outcome::Unknown | Outcome::Written => (self.change)(key, Change::Write),
            Outcome::Unchanged => return Answer::ready(Ok(Settled::Done(claim.state().clone()))),
        };
        Answer::later(async move { Ok(Settled::Done(change.await?)) })
    }

    fn abandon(&self, _: Claim) {}
}
