//! A claim store whose versions are small numbers, which answers when it is told to and fails where
//! it is told to.
//!
//! It is as simple as a store can be, so that what a test shows is the layer's doing.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tower_conditional::store::{
    Answer, Claim, ClaimOptions, Claimed, Condition, Current, Intent, Outcome, Settled, Snapshot,
    State, StoreError, Version,
};
use tower_conditional::{ClaimStore, ResourceKey, VersionStore};

/// What the store can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Claim,
    Current,
    Settle,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The lease is over; only of [`Step::Settle`].
    Fenced,
    /// It happens, but no answer ever comes.
    Hangs,
    NotApplied,
    Unknown,
}

#[derive(Clone)]
pub(crate) struct ScriptedStore(Arc<Shared>);

struct Shared {
    later: bool,
    table: Mutex<Table>,
    freed: Notify,
}

#[derive(Default)]
struct Table {
    resources: HashMap<String, Resource>,
    failures: HashMap<Step, Failure>,
    asked: Vec<Step>,
    abandoned: usize,
    token: u64,
    chased: bool,
}

struct Resource {
    existence: Existence,
    version: u64,
    modified: Option<SystemTime>,
    claim: Option<(u64, Intent)>,
    in_doubt: bool,
}

#[derive(Clone, Copy)]
enum Existence {
    Absent,
    Present,
    Unseen,
}

impl Resource {
    fn new(existence: Existence, version: u64) -> Self {
        Self {
            existence,
            version,
            modified: None,
            claim: None,
            in_doubt: false,
        }
    }

    fn state(&self) -> State {
        let mut current = Current::new(Version::from(self.version));
        current.last_modified = self.modified;
        match self.existence {
            Existence::Absent => State::Absent,
            Existence::Present => State::Present(current),
            Existence::Unseen => State::Unseen(current),
        }
    }
}

impl ScriptedStore {
    /// Its answers are there at once.
    pub(crate) fn at_once() -> Self {
        Self::new(false)
    }

    /// Each of its answers is pending once.
    pub(crate) fn later() -> Self {
        Self::new(true)
    }

    fn new(later: bool) -> Self {
        Self(Arc::new(Shared {
            later,
            table: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// The resource exists, in this version. What is neither present nor absent is unseen, in
    /// version 1.
    pub(crate) fn present(self, path: &str, version: u64) -> Self {
        let resource = Resource::new(Existence::Present, version);
        self.table().resources.insert(path.to_owned(), resource);
        self
    }

    pub(crate) fn modified(self, path: &str, time: SystemTime) -> Self {
        self.with(path, |resource| resource.modified = Some(time));
        self
    }

    /// The resource does not exist.
    pub(crate) fn absent(self, path: &str) -> Self {
        let resource = Resource::new(Existence::Absent, 0);
        self.table().resources.insert(path.to_owned(), resource);
        self
    }

    /// From now on, this step fails.
    pub(crate) fn failing(self, step: Step, failure: Failure) -> Self {
        self.table().failures.insert(step, failure);
        self
    }

    pub(crate) fn recover(&self) {
        self.table().failures.clear();
    }

    /// A write is in doubt, until further notice.
    pub(crate) fn in_doubt(self, path: &str, in_doubt: bool) -> Self {
        self.with(path, |resource| resource.in_doubt = in_doubt);
        self
    }

    /// Somebody else takes the claim, or gives it back.
    pub(crate) fn held(self, path: &str, by: Option<Intent>) -> Self {
        self.with(path, |resource| {
            resource.claim = by.map(|intent| (u64::MAX, intent));
        });
        self.0.freed.notify_waiters();
        self
    }

    /// From now on, somebody else writes as soon as a write is settled.
    pub(crate) fn chased(self) -> Self {
        self.table().chased = true;
        self
    }

    /// Somebody else writes.
    pub(crate) fn bump(&self, path: &str) {
        self.with(path, |resource| {
            resource.existence = Existence::Present;
            resource.version += 1;
        });
    }

    /// The version of the resource; `None` if it is absent or unseen.
    pub(crate) fn version(&self, path: &str) -> Option<u64> {
        let table = self.table();
        let resource = table.resources.get(path)?;
        matches!(resource.existence, Existence::Present).then_some(resource.version)
    }

    pub(crate) fn is_absent(&self, path: &str) -> bool {
        let table = self.table();
        let resource = table.resources.get(path);
        resource.is_some_and(|resource| matches!(resource.existence, Existence::Absent))
    }

    /// How many claims are open.
    pub(crate) fn claims(&self) -> usize {
        let table = self.table();
        let held = |resource: &&Resource| resource.claim.is_some();
        table.resources.values().filter(held).count()
    }

    /// How many claims were abandoned.
    pub(crate) fn abandoned(&self) -> usize {
        self.table().abandoned
    }

    /// What it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Step> {
        self.table().asked.clone()
    }

    /// The keys that it has heard of.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.table().resources.keys().cloned().collect();
        keys.sort();
        keys
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap()
    }

    fn with<T>(&self, path: &str, change: impl FnOnce(&mut Resource) -> T) -> T {
        let mut table = self.table();
        let unseen = || Resource::new(Existence::Unseen, 1);
        change(
            table
                .resources
                .entry(path.to_owned())
                .or_insert_with(unseen),
        )
    }

    /// What fails here, by the script.
    fn fails(&self, step: Step) -> Result<Option<Failure>, StoreError> {
        let mut table = self.table();
        table.asked.push(step);
        match table.failures.get(&step) {
            Some(Failure::NotApplied) => Err(StoreError::not_applied("by the script")),
            Some(Failure::Unknown) => Err(StoreError::unknown("by the script")),
            other => Ok(other.copied()),
        }
    }

    fn answer<T: Send + 'static>(&self, step: Step, answer: T) -> Answer<T> {
        if self.table().failures.get(&step) == Some(&Failure::Hangs) {
            return Answer::later(std::future::pending());
        }
        if !self.0.later {
            return Answer::ready(answer);
        }
        Answer::later(async move {
            pending_once().await;
            answer
        })
    }

    fn try_claim(&self, key: &ResourceKey, condition: &Condition, intent: Intent) -> Claimed {
        let mut table = self.table();
        table.token += 1;
        let token = table.token;
        drop(table);
        self.with(key.as_str(), |resource| {
            let state = resource.state();
            match resource.claim {
                Some((_, holder)) => Claimed::Busy {
                    retry_after: Duration::from_millis(1_200),
                    holder,
                },
                None if condition.may_hold(&state) => {
                    resource.claim = Some((token, intent));
                    Claimed::Granted(Claim::new(key.clone(), token, state))
                }
                None => Claimed::Failed(state),
            }
        })
    }
}

async fn pending_once() {
    let mut polled = false;
    poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl VersionStore for ScriptedStore {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let snapshot = self.fails(Step::Current).map(|_| {
            self.with(key.as_str(), |resource| Snapshot {
                state: resource.state(),
                settled: resource.claim.is_none() && !resource.in_doubt,
            })
        });
        self.answer(Step::Current, snapshot)
    }
}

impl ClaimStore for ScriptedStore {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        if let Err(error) = self.fails(Step::Claim) {
            return self.answer(Step::Claim, Err(error));
        }
        let claimed = self.try_claim(key, condition, options.intent);
        if !matches!(claimed, Claimed::Busy { .. }) || options.wait.is_zero() {
            return self.answer(Step::Claim, Ok(claimed));
        }
        let (store, key, condition) = (self.clone(), key.clone(), condition.clone());
        Answer::later(async move {
            let wait = async {
                loop {
                    let freed = store.0.freed.notified();
                    let claimed = store.try_claim(&key, &condition, options.intent);
                    if !matches!(claimed, Claimed::Busy { .. }) {
                        break claimed;
                    }
                    freed.await;
                }
            };
            let waited = tokio::time::timeout(options.wait, wait).await;
            Ok(waited.unwrap_or(claimed))
        })
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let fenced = match self.fails(Step::Settle) {
            Ok(failure) => failure == Some(Failure::Fenced),
            Err(error) => return self.answer(Step::Settle, Err(error)),
        };
        let state = self.with(claim.key().as_str(), |resource| {
            if resource.claim.map(|(token, _)| token) == Some(claim.token()) {
                resource.claim = None;
            }
            match outcome {
                Outcome::Unchanged => {}
                Outcome::Deleted => resource.existence = Existence::Absent,
                Outcome::Unknown => resource.version += 1,
                Outcome::Written => {
                    resource.existence = Existence::Present;
                    resource.version += 1;
                }
            }
            resource.state()
        });
        if self.table().chased {
            self.bump(claim.key().as_str());
        }
        self.0.freed.notify_waiters();
        self.answer(
            Step::Settle,
            Ok(if fenced {
                Settled::Fenced(state)
            } else {
                Settled::Done(state)
            }),
        )
    }

    fn abandon(&self, claim: Claim) {
        self.table().abandoned += 1;
        // As if its lease had ended.
        self.with(claim.key().as_str(), |resource| {
            if resource.claim.map(|(token, _)| token) == Some(claim.token()) {
                resource.claim = None;
                resource.version += 1;
            }
        });
        self.0.freed.notify_waiters();
    }
}
