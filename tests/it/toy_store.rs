//! A small store with leases, as one over a network would be, and with a fault if wanted.
//!
//! Without a fault it keeps the contract. Each fault is one that stores have had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::{task, time};
use tower_conditional::store::{
    Answer, Claim, ClaimOptions, Claimed, Condition, Intent, Outcome, Settled, Snapshot, State,
    StoreError, Version,
};
use tower_conditional::testing::Change;
use tower_conditional::{ClaimStore, ResourceKey, VersionStore};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    AbandonEndsAnyClaim,
    AbandonForgets,
    AbandonKeepsVersion,
    AnyOfReadsOnlyTheFirst,
    ClaimThenLease,
    ConditionIgnored,
    CountersPerHandle,
    CountersPerLife,
    CurrentCached,
    DeletedStays,
    ExpiryKeepsVersion,
    FailsUnderOpenClaim,
    HolderForgotten,
    KeysFolded,
    KeysTruncated,
    LeaseEndsAtOnce,
    LeaseNeverEnds,
    LeaseSameForAll,
    OpenClaimsHidden,
    Panics,
    ReadsNeverTakeOver,
    SettleTwice,
    SettleUnfenced,
    TestThenTake,
    TestThenTakeOnThreads,
    TokensFall,
    UnchangedBumps,
    UnknownIsAbsent,
    UnknownKeepsVersion,
    WaitForEver,
    WaitIgnored,
    WaitNeverZero,
}

/// One handle, as one process would have it.
#[derive(Clone)]
pub(crate) struct ToyStore {
    shared: Arc<Mutex<Tables>>,
    fault: Fault,
    /// For versions, where a fault has each handle count for itself.
    versions: Arc<Mutex<u64>>,
    cache: Arc<Mutex<HashMap<String, Snapshot>>>,
}

#[derive(Default)]
struct Tables {
    rows: HashMap<String, Row>,
    /// The last version and the last token.
    numbers: (u64, u64),
}

struct Numbers<'a> {
    fault: Fault,
    versions: &'a mut u64,
    tokens: &'a mut u64,
}

#[derive(Default)]
struct Row {
    version: Option<u64>,
    token: u64,
    held: Option<Held>,
}

struct Held {
    ends: Instant,
    intent: Intent,
    abandoned: bool,
}

pub(crate) const LEASE: Duration = Duration::from_millis(50);
const FOR_EVER: Duration = Duration::from_secs(1_000_000);

impl ToyStore {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            shared: Arc::default(),
            fault,
            versions: Arc::default(),
            cache: Arc::default(),
        }
    }

    /// The same store in another process.
    pub(crate) fn handle(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            ..Self::new(self.fault)
        }
    }

    fn name(&self, key: &ResourceKey) -> String {
        match self.fault {
            Fault::KeysFolded => key.as_str().to_lowercase(),
            Fault::KeysTruncated => key.as_str().chars().take(255).collect(),
            _ => key.as_str().to_owned(),
        }
    }

    /// Does one step on a row, as one transaction.
    fn step<T>(&self, name: &str, step: impl FnOnce(&mut Row, &mut Numbers<'_>) -> T) -> T {
        let mut tables = lock(&self.shared);
        let Tables { rows, numbers } = &mut *tables;
        let mut numbers = Numbers {
            fault: self.fault,
            versions: match self.fault {
                Fault::CountersPerHandle => &mut lock(&self.versions),
                _ => &mut numbers.0,
            },
            tokens: &mut numbers.1,
        };
        let row = rows.entry(name.to_owned()).or_default();
        step(row, &mut numbers)
    }

    fn take_over(&self, row: &mut Row, numbers: &mut Numbers<'_>) {
        let now = Instant::now();
        if let Some(held) = row.held.take_if(|held| held.ends <= now) {
            let keeps_version = match self.fault {
                Fault::ExpiryKeepsVersion => true,
                Fault::AbandonKeepsVersion => held.abandoned,
                _ => false,
            };
            if !keeps_version {
                row.version = Some(numbers.version(row));
            }
        }
    }

    /// One attempt at a claim.
    fn attempt(&self, name: &str, condition: &Condition, options: ClaimOptions) -> Attempt {
        self.step(name, |row, numbers| {
            self.take_over(row, numbers);
            let state = row.state();
            let holds = self.holds(condition, &state);
            if !holds && self.fault == Fault::FailsUnderOpenClaim {
                return Attempt::Failed(state);
            }
            match &row.held {
                Some(_) if self.fault == Fault::HolderForgotten => Attempt::Busy(Intent::Write),
                Some(held) => Attempt::Busy(held.intent),
                None if !holds => Attempt::Failed(state),
                None if self.tests_first() => Attempt::Tested,
                None => self.take(row, numbers, options),
            }
        })
    }

    fn holds(&self, condition: &Condition, state: &State) -> bool {
        match (self.fault, condition) {
            (Fault::ConditionIgnored, _) => true,
            (Fault::AnyOfReadsOnlyTheFirst, Condition::AnyOf(versions)) => {
                let first = versions.iter().take(1).cloned().collect();
                Condition::AnyOf(first).may_hold(state)
            }
            (_, condition) => condition.may_hold(state),
        }
    }

    fn tests_first(&self) -> bool {
        matches!(
            self.fault,
            Fault::TestThenTake | Fault::TestThenTakeOnThreads
        )
    }

    fn take(&self, row: &mut Row, numbers: &mut Numbers<'_>, options: ClaimOptions) -> Attempt {
        let lease = match self.fault {
            Fault::ClaimThenLease | Fault::LeaseNeverEnds => FOR_EVER,
            Fault::LeaseEndsAtOnce => Duration::ZERO,
            Fault::LeaseSameForAll => LEASE,
            _ => options.lease,
        };
        row.token = numbers.token();
        row.held = Some(Held {
            ends: Instant::now() + lease,
            intent: options.intent,
            abandoned: false,
        });
        Attempt::Granted(row.token, row.state())
    }

    async fn claim_in_time(
        self,
        key: ResourceKey,
        condition: Condition,
        options: ClaimOptions,
    ) -> Claimed {
        let name = self.name(&key);
        let wait = match self.fault {
            Fault::WaitForEver if !options.wait.is_zero() => FOR_EVER,
            Fault::WaitIgnored => Duration::ZERO,
            Fault::WaitNeverZero if options.wait.is_zero() => FOR_EVER,
            _ => options.wait,
        };
        let started = Instant::now();
        loop {
            // On the way to the database.
            task::yield_now().await;
            let mut attempt = self.attempt(&name, &condition, options);
            if let Attempt::Tested = attempt {
                if self.fault == Fault::TestThenTake {
                    task::yield_now().await;
                } else {
                    // Blocks, so only another thread gets in between.
                    thread::sleep(Duration::from_millis(1));
                }
                attempt = self.step(&name, |row, numbers| self.take(row, numbers, options));
            }
            // On the way back.
            task::yield_now().await;
            match attempt {
                Attempt::Failed(state) => return Claimed::Failed(state),
                Attempt::Granted(token, state) => {
                    if self.fault == Fault::ClaimThenLease {
                        self.step(&name, |row, _| {
                            if let Some(held) = &mut row.held {
                                held.ends = Instant::now() + options.lease;
                            }
                        });
                    }
                    let claim = Claim::new(key, token, state);
                    return Claimed::Granted(claim.with_lease(options.lease));
                }
                Attempt::Busy(holder) if started.elapsed() >= wait => {
                    return Claimed::Busy {
                        retry_after: Duration::from_secs(1),
                        holder,
                    };
                }
                Attempt::Busy(_) | Attempt::Tested => time::sleep(Duration::from_millis(2)).await,
            }
        }
    }

    /// A write that asks nobody.
    pub(crate) fn change(&self, key: &ResourceKey, change: Change) -> State {
        self.step(&self.name(key), |row, numbers| {
            row.version = match change {
                Change::Delete if self.fault != Fault::DeletedStays => None,
                Change::Delete | Change::Write => Some(numbers.version(row)),
            };
            row.state()
        })
    }

    fn settle_now(&self, claim: &Claim, outcome: Outcome) -> Settled {
        self.step(&self.name(claim.key()), |row, numbers| {
            self.take_over(row, numbers);
            let is_ours = match self.fault {
                Fault::SettleTwice => row.token == claim.token(),
                Fault::SettleUnfenced => true,
                _ => row.token == claim.token() && row.held.is_some(),
            };
            if !is_ours {
                return Settled::Fenced(row.state());
            }
            let fresh = Some(numbers.version(row));
            row.version = match (outcome, self.fault) {
                (Outcome::Deleted, Fault::DeletedStays) => fresh,
                (Outcome::Deleted, _) => None,
                (Outcome::Unchanged, Fault::UnchangedBumps) => fresh,
                (Outcome::Unknown, Fault::UnknownIsAbsent) if row.version.is_none() => None,
                (Outcome::Unchanged, _) | (Outcome::Unknown, Fault::UnknownKeepsVersion) => {
                    row.version
                }
                (Outcome::Unknown | Outcome::Written, _) => fresh,
            };
            row.held = None;
            Settled::Done(row.state())
        })
    }

    fn current_now(&self, key: &ResourceKey) -> Snapshot {
        let name = self.name(key);
        let read = || {
            self.step(&name, |row, numbers| {
                if self.fault != Fault::ReadsNeverTakeOver {
                    self.take_over(row, numbers);
                }
                let hidden = self.fault == Fault::OpenClaimsHidden;
                let settled = row.held.is_none() || hidden;
                let state = row.state();
                Snapshot { state, settled }
            })
        };
        if self.fault == Fault::CurrentCached {
            return lock(&self.cache)
                .entry(name.clone())
                .or_insert_with(read)
                .clone();
        }
        read()
    }
}

impl VersionStore for ToyStore {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let (store, key) = (self.clone(), key.clone());
        Answer::later(async move {
            task::yield_now().await;
            assert!(store.fault != Fault::Panics, "out of cheese");
            Ok(store.current_now(&key))
        })
    }
}

impl ClaimStore for ToyStore {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let claimed = self
            .clone()
            .claim_in_time(key.clone(), condition.clone(), options);
        Answer::later(async move { Ok(claimed.await) })
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let store = self.clone();
        Answer::later(async move {
            task::yield_now().await;
            let settled = store.settle_now(&claim, outcome);
            task::yield_now().await;
            lock(&store.cache).remove(claim.key().as_str());
            Ok(settled)
        })
    }

    fn abandon(&self, claim: Claim) {
        self.step(&self.name(claim.key()), |row, _| {
            let is_ours = row.token == claim.token() || self.fault == Fault::AbandonEndsAnyClaim;
            if let Some(held) = row.held.as_mut().filter(|_| is_ours) {
                held.abandoned = true;
                if matches!(
                    self.fault,
                    Fault::AbandonForgets | Fault::AbandonEndsAnyClaim
                ) {
                    held.ends = Instant::now();
                }
            }
        });
    }
}

impl Row {
    fn state(&self) -> State {
        let version = self.version.map(Version::from);
        version.map_or(State::Absent, State::present)
    }
}

impl Numbers<'_> {
    fn version(&mut self, row: &Row) -> u64 {
        if self.fault == Fault::CountersPerLife {
            return row.version.unwrap_or_default() + 1;
        }
        *self.versions += 1;
        *self.versions
    }

    fn token(&mut self) -> u64 {
        *self.tokens += 1;
        match self.fault {
            Fault::TokensFall => u64::MAX - *self.tokens,
            _ => *self.tokens,
        }
    }
}

enum Attempt {
    Busy(Intent),
    Failed(State),
    Granted(u64, State),
    /// By a store that tests first and takes later.
    Tested,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handle on a store that is out of reach.
pub(crate) struct Unreachable {
    pub(crate) says_so: bool,
}

impl Unreachable {
    fn or_else<T: Send + 'static>(&self, lie: T) -> Answer<Result<T, StoreError>> {
        let error = || StoreError::not_applied("connection refused");
        Answer::ready(if self.says_so { Err(error()) } else { Ok(lie) })
    }
}

impl VersionStore for Unreachable {
    fn current(&self, _: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        self.or_else(Snapshot::settled(State::Absent))
    }
}

impl ClaimStore for Unreachable {
    fn claim(
        &self,
        _: &ResourceKey,
        _: &Condition,
        _: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        self.or_else(Claimed::Failed(State::Absent))
    }

    fn settle(&self, _: Claim, _: Outcome) -> Answer<Result<Settled, StoreError>> {
        self.or_else(Settled::Fenced(State::Absent))
    }

    fn abandon(&self, _: Claim) {}
}
