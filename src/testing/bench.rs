//! What checks work with: handles on the store whose answers are complaints when they are not what
//! was asked for.

use std::collections::HashSet;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time;

use crate::key::ResourceKey;
use crate::store::{
    Claim, ClaimOptions, ClaimStore, Claimed, Condition, Intent, Outcome, Settled, Snapshot, State,
    StoreError, Version,
};

/// Why a check failed, for people.
pub(super) type Verdict<T = ()> = Result<T, String>;

/// Fails the check unless something holds.
macro_rules! ensure {
    ($holds:expr, $($reason:tt)+) => {
        if !$holds {
            return Err(format!($($reason)+));
        }
    };
}
pub(super) use ensure;

/// A claim that no check outlasts.
pub(super) const LONG: ClaimOptions = ClaimOptions {
    wait: Duration::ZERO,
    lease: Duration::from_secs(600),
    intent: Intent::Write,
};

/// The same store, as several processes would have it, and a name space that is new in it.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) handles: Vec<Handle>,
    pub(super) namespace: Arc<str>,
    pub(super) lease: Duration,
    pub(super) patience: Duration,
}

impl Bench {
    pub(super) fn key(&self, name: impl AsRef<str>) -> ResourceKey {
        ResourceKey::new(format!("{}/{}", self.namespace, name.as_ref()))
    }

    /// The handles in turn.
    pub(super) fn handle(&self, turn: usize) -> &Handle {
        &self.handles[turn % self.handles.len()]
    }

    /// A claim that ends soon.
    pub(super) const fn short(&self) -> ClaimOptions {
        ClaimOptions {
            lease: self.lease,
            ..LONG
        }
    }

    /// A claim that waits as long as there is any hope.
    pub(super) const fn patient(&self) -> ClaimOptions {
        ClaimOptions {
            wait: self.patience,
            ..LONG
        }
    }

    /// All handles read this state, settled.
    pub(super) async fn all_read(&self, key: &ResourceKey, state: &State) -> Verdict {
        for (number, handle) in self.handles.iter().enumerate() {
            let read = handle.current(key).await?;
            ensure!(
                read == Snapshot::settled(state.clone()),
                "handle {number} reads {read:?} where {state:?} was settled"
            );
        }
        Ok(())
    }
}

/// One handle on the store.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) store: Arc<dyn ClaimStore>,
    pub(super) patience: Duration,
}

impl Handle {
    pub(super) async fn current(&self, key: &ResourceKey) -> Verdict<Snapshot> {
        within(self.patience, "current", self.store.current(key)).await
    }

    pub(super) async fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Verdict<Claimed> {
        let claimed = self.store.claim(key, condition, options);
        within(self.patience + options.wait, "claim", claimed).await
    }

    /// A claim that there is no reason to refuse.
    pub(super) async fn granted(&self, key: &ResourceKey, options: ClaimOptions) -> Verdict<Claim> {
        match self.claim(key, &Condition::Unconditional, options).await? {
            Claimed::Granted(claim) => Ok(claim),
            other => Err(format!(
                "an unconditional claim that nothing stands against got {other:?}"
            )),
        }
    }

    /// A claim on what was claimed before, as soon as that ends.
    pub(super) async fn taken_over(
        &self,
        key: &ResourceKey,
        options: ClaimOptions,
    ) -> Verdict<Claim> {
        let started = Instant::now();
        loop {
            match self.claim(key, &Condition::Unconditional, options).await? {
                Claimed::Granted(claim) => return Ok(claim),
                Claimed::Busy { .. } if started.elapsed() < self.patience => pause().await,
                other => {
                    let elapsed = started.elapsed();
                    return Err(format!(
                        "after {elapsed:?} a claim whose lease should have ended is still in the \
                         way: {other:?}"
                    ));
                }
            }
        }
    }

    pub(super) async fn settle(&self, claim: Claim, outcome: Outcome) -> Verdict<Settled> {
        let settled = self.store.settle(claim, outcome);
        within(self.patience, "settle", settled).await
    }

    /// Settles a claim that nobody took over.
    pub(super) async fn done(&self, claim: Claim, outcome: Outcome) -> Verdict<State> {
        match self.settle(claim, outcome).await? {
            Settled::Done(state) => Ok(state),
            Settled::Fenced(state) => Err(format!(
                "a claim whose lease has not ended is fenced, in {state:?}"
            )),
        }
    }

    /// Claims and settles; returns what is current then.
    pub(super) async fn write(&self, key: &ResourceKey, outcome: Outcome) -> Verdict<State> {
        let claim = self.granted(key, LONG).await?;
        self.done(claim, outcome).await
    }

    /// Writes a version.
    pub(super) async fn version(&self, key: &ResourceKey) -> Verdict<Version> {
        version(&self.write(key, Outcome::Written).await?)
    }

    /// Dies with the claim. A claim without a lease ends only if it is abandoned.
    pub(super) fn die_with(&self, claim: Claim) {
        if claim.lease().is_none() {
            self.store.abandon(claim);
        }
    }

    /// The state once nothing is open or in doubt any more, though nobody claims it.
    pub(super) async fn once_settled(&self, key: &ResourceKey) -> Verdict<State> {
        let started = Instant::now();
        loop {
            let Snapshot { state, settled } = self.current(key).await?;
            if settled {
                return Ok(state);
            }
            let elapsed = started.elapsed();
            ensure!(
                elapsed < self.patience,
                "after {elapsed:?} reads still say that a claim is open, though its lease has \
                 ended: a resource that is only read would never have a tag again"
            );
            pause().await;
        }
    }
}

async fn within<T>(
    limit: Duration,
    method: &str,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Verdict<T> {
    match time::timeout(limit, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("`{method}` failed: {}", describe(&error))),
        Err(_) => Err(format!("`{method}` did not answer within {limit:?}")),
    }
}

/// The versions of one resource so far.
#[derive(Default)]
pub(super) struct Seen(HashSet<Version>);

impl Seen {
    /// Notes a version that must be new.
    pub(super) fn fresh(&mut self, state: &State, after: &str) -> Verdict {
        let version = version(state)?;
        let is_new = self.0.insert(version.clone());
        ensure!(
            is_new,
            "{after} gave the resource version {version}, which it had before"
        );
        Ok(())
    }

    pub(super) fn contains(&self, state: &State) -> bool {
        version(state).is_ok_and(|version| self.0.contains(&version))
    }
}

pub(super) fn version(state: &State) -> Verdict<Version> {
    let version = state.current().and_then(|current| current.version.clone());
    version.ok_or_else(|| format!("{state:?} has no version"))
}

/// An error with its sources.
pub(super) fn describe(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Between two looks at something that ends by itself.
pub(super) async fn pause() {
    time::sleep(Duration::from_millis(5)).await;
}
