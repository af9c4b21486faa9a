//! A store of claims with leases, as one in a database has them: every call takes a while, a claim
//! that nobody settles ends with its lease, and whoever comes next bumps the version.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tower_conditional::store::{
    Answer, Claim, ClaimOptions, Claimed, Condition, Intent, Outcome, Settled, Snapshot, State,
    StoreError, Version,
};
use tower_conditional::{ClaimStore, ResourceKey, VersionStore};

use super::rules::Rule;

#[derive(Debug, Clone, Default)]
pub(crate) struct LeaseStore(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rows: Mutex<Rows>,
    broken: Option<Rule>,
    takeovers: AtomicUsize,
}

#[derive(Debug, Default)]
struct Rows {
    by_key: HashMap<ResourceKey, Row>,
    /// One for all keys, so that nothing comes twice.
    last: u64,
}

#[derive(Debug)]
struct Row {
    state: State,
    claim: Option<Open>,
}

#[derive(Debug)]
struct Open {
    token: u64,
    ends: Instant,
    intent: Intent,
}

impl Rows {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn fresh(&mut self) -> tower_conditional::store::Current {
        tower_conditional::store::Current::new(Version::from(self.next()))
    }
}

impl LeaseStore {
    pub(crate) fn breaking(broken: Option<Rule>) -> Self {
        Self(Arc::new(Inner {
            broken,
            ..Inner::default()
        }))
    }

    /// How many claims ended with their lease.
    pub(crate) fn takeovers(&self) -> usize {
        self.0.takeovers.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// One step on one row, whose claim has ended if its lease has.
    fn step<T>(&self, key: &ResourceKey, step: impl FnOnce(&mut Row, &mut Rows) -> T) -> T {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut row = match rows.by_key.remove(key) {
            Some(row) => row,
            None => Row {
                state: State::Unseen(rows.fresh()),
                claim: None,
            },
        };
        if row
            .claim
            .as_ref()
            .is_some_and(|open| open.ends <= Instant::now())
        {
            row.claim = None;
            self.takeovers.fetch_add(1, Ordering::Relaxed);
            if self.broken != Some(Rule::R4) {
                row.state = State::Unseen(rows.fresh());
            }
        }
        let result = step(&mut row, &mut rows);
        rows.by_key.insert(key.clone(), row);
        result
    }

    fn claim(&self, key: &ResourceKey, condition: &Condition, options: ClaimOptions) -> Claimed {
        self.step(key, |row, rows| {
            if let Some(open) = &row.claim {
                return Claimed::Busy {
                    retry_after: open.ends.saturating_duration_since(Instant::now()),
                    holder: open.intent,
                };
            }
            if !condition.may_hold(&row.state) {
                return Claimed::Failed(row.state.clone());
            }
            let token = rows.next();
            if self.broken != Some(Rule::R1) {
                row.claim = Some(Open {
                    token,
                    ends: Instant::now() + options.lease,
                    intent: options.intent,
                });
            }
            let claim = Claim::new(key.clone(), token, row.state.clone());
            Claimed::Granted(claim.with_lease(options.lease))
        })
    }

    fn settle(&self, claim: &Claim, outcome: Outcome) -> Settled {
        self.step(claim.key(), |row, rows| {
            let held = row
                .claim
                .as_ref()
                .is_some_and(|open| open.token == claim.token());
            if !held && self.broken != Some(Rule::R1) {
                return Settled::Fenced(row.state.clone());
            }
            row.claim = None;
            match outcome {
                Outcome::Deleted => row.state = State::Absent,
                Outcome::Unchanged => {}
                Outcome::Unknown if self.broken == Some(Rule::R4) => {}
                Outcome::Unknown => row.state = State::Unseen(rows.fresh()),
                Outcome::Written => row.state = State::Present(rows.fresh()),
            }
            Settled::Done(row.state.clone())
        })
    }
}

/// The way to a database and back.
async fn travel() {
    tokio::task::yield_now().await;
}

impl VersionStore for LeaseStore {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        Answer::later(async move {
            travel().await;
            let snapshot = inner.step(&key, |row, _| Snapshot {
                state: row.state.clone(),
                settled: row.claim.is_none(),
            });
            travel().await;
            Ok(snapshot)
        })
    }
}

impl ClaimStore for LeaseStore {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let (inner, key, condition) = (Arc::clone(&self.0), key.clone(), condition.clone());
        Answer::later(async move {
            let deadline = Instant::now() + options.wait;
            loop {
                travel().await;
                let claimed = inner.claim(&key, &condition, options);
                let again = matches!(claimed, Claimed::Busy { .. }) && Instant::now() < deadline;
                if !again {
                    travel().await;
                    return Ok(claimed);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let inner = Arc::clone(&self.0);
        Answer::later(async move {
            travel().await;
            let settled = inner.settle(&claim, outcome);
            travel().await;
            Ok(settled)
        })
    }

    /// Nothing to do: the lease ends by itself.
    fn abandon(&self, _claim: Claim) {}
}
