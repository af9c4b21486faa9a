//! The contract suite of idempotency stores: those that keep it pass, and each broken one fails the
//! check that names its fault.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tower_conditional::idempotency::{
    Attempt, BeginOptions, Begun, Ending, Fingerprint, IdempotencyStore, MemoryIdempotencyStore,
    RecordKey, Settlement, StoredResponse,
};
use tower_conditional::store::{Answer, StoreError};
use tower_conditional::testing::{
    IdempotencyCheck as Check, IdempotencyStoreSuite, assert_idempotency_store,
};

const LEASE: Duration = Duration::from_millis(30);

#[tokio::test]
async fn memory_keeps_the_contract() {
    let store = MemoryIdempotencyStore::new();
    assert_idempotency_store(async || store.clone()).await;
}

#[tokio::test]
async fn a_store_with_leases_keeps_the_contract() {
    let store = ToyStore::new(Fault::None);
    let suite = IdempotencyStoreSuite::new(async || store.clone()).lease(LEASE);
    let report = suite.run().await;
    report.assert_passed();
    assert_eq!(report.to_string(), "the store keeps the contract");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_found_by_the_check_that_names_it() {
    for (fault, check) in [
        (Fault::AbandonFrees, Check::AbandonHolds),
        (Fault::DropsFields, Check::AnswerIsKept),
        (Fault::GetThenSet, Check::BeginIsAtomic),
        (Fault::UndoesAnswers, Check::DoneIsFinal),
        (Fault::ForgetsDoubt, Check::DoubtStays),
        (Fault::BlocksWhenDropped, Check::DropLeavesNothing),
        (Fault::JoinsScopeAndKey, Check::KeysAreIndependent),
        (Fault::FencesLateAnswers, Check::LateSettleEndsDoubt),
        (Fault::NeverEndsLeases, Check::LeaseEnds),
        (Fault::ForgetsInFlight, Check::LeaseHolds),
        (Fault::ComparesOnlyAnswers, Check::MismatchIsTold),
        (Fault::KeepsWhatDidNotRun, Check::NotRunFrees),
        (Fault::NamesAnswersAsDoubts, Check::TakeOverIsFenced),
        (Fault::NamesAnswersAsDoubts, Check::LateSettleEndsDoubt),
        (Fault::TakesOverFromAnybody, Check::TakeOverIsFenced),
        (Fault::CountsAnew, Check::TokensIncrease),
        (Fault::NeverForgets, Check::TtlEnds),
        (Fault::Panics, Check::NotRunFrees),
    ] {
        let store = ToyStore::new(fault);
        let suite = IdempotencyStoreSuite::new(async || store.clone())
            .lease(LEASE)
            .patience(Duration::from_millis(600));
        let checked = suite.check(check).await;
        assert!(checked.is_err(), "{fault:?} was not found by {check:?}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    AbandonFrees,
    BlocksWhenDropped,
    ComparesOnlyAnswers,
    CountsAnew,
    DropsFields,
    FencesLateAnswers,
    ForgetsDoubt,
    ForgetsInFlight,
    GetThenSet,
    JoinsScopeAndKey,
    KeepsWhatDidNotRun,
    NamesAnswersAsDoubts,
    NeverEndsLeases,
    NeverForgets,
    None,
    Panics,
    TakesOverFromAnybody,
    UndoesAnswers,
}

/// A store as a database would be: answers later, and counts leases from the begin.
#[derive(Clone)]
struct ToyStore {
    fault: Fault,
    rows: Arc<Mutex<HashMap<(String, String), Row>>>,
    sequence: Arc<Mutex<u64>>,
    /// One step at a time, as in a transaction.
    step: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone)]
struct Row {
    fingerprint: Fingerprint,
    token: u64,
    in_flight_until: Instant,
    forgotten_at: Instant,
    response: Option<Arc<StoredResponse>>,
}

impl ToyStore {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            rows: Arc::default(),
            sequence: Arc::default(),
            step: Arc::default(),
        }
    }

    fn id(&self, key: &RecordKey) -> (String, String) {
        match self.fault {
            Fault::JoinsScopeAndKey => (format!("{}{}", key.scope(), key.key()), String::new()),
            _ => (key.scope().to_owned(), key.key().to_owned()),
        }
    }

    fn next_token(&self) -> u64 {
        let mut sequence = self.sequence.lock().unwrap();
        // One in reserve for the answer.
        *sequence += 2;
        *sequence
    }

    fn known(&self, key: &RecordKey) -> Option<Row> {
        let row = self.rows.lock().unwrap().get(&self.id(key)).cloned()?;
        let now = Instant::now();
        let in_flight = row.response.is_none() && now < row.in_flight_until;
        let forgets = match self.fault {
            Fault::NeverForgets => false,
            Fault::ForgetsDoubt => !in_flight && row.response.is_none(),
            Fault::ForgetsInFlight => now >= row.forgotten_at,
            _ => !in_flight && now >= row.forgotten_at,
        };
        (!forgets).then_some(row)
    }

    fn begun(&self, row: &Row, fingerprint: &Fingerprint) -> Begun {
        let is_done = row.response.is_some();
        let compares = is_done || self.fault != Fault::ComparesOnlyAnswers;
        if compares && row.fingerprint != *fingerprint {
            return Begun::Mismatch;
        }
        let token = row.token;
        let left = row
            .in_flight_until
            .saturating_duration_since(Instant::now());
        match &row.response {
            Some(response) => Begun::Done {
                token: match self.fault {
                    Fault::NamesAnswersAsDoubts => token,
                    _ => token + 1,
                },
                response: Arc::clone(response),
            },
            None if left.is_zero() && self.fault != Fault::NeverEndsLeases => {
                Begun::InDoubt { token }
            }
            None => Begun::InFlight { retry_after: left },
        }
    }

    fn insert(&self, key: &RecordKey, fingerprint: Fingerprint, options: &BeginOptions) -> Begun {
        let token = match self.fault {
            Fault::CountsAnew => self.known(key).map_or(1, |row| row.token + 1),
            _ => self.next_token(),
        };
        let now = Instant::now();
        let row = Row {
            fingerprint,
            token,
            in_flight_until: now + options.lease,
            forgotten_at: now + options.ttl,
            response: None,
        };
        self.rows.lock().unwrap().insert(self.id(key), row);
        Begun::Started(Attempt::new(key.clone(), fingerprint, token, options))
    }

    fn end(&self, attempt: &Attempt, ending: Ending) -> Settlement {
        let id = self.id(attempt.key());
        let Some(mut row) = self.known(attempt.key()) else {
            return Settlement::Fenced;
        };
        let is_late = row.response.is_none() && Instant::now() >= row.in_flight_until;
        let undoes = row.response.is_some() && !matches!(ending, Ending::Done(_));
        if row.token != attempt.token()
            || (is_late && self.fault == Fault::FencesLateAnswers)
            || (undoes && self.fault != Fault::UndoesAnswers)
        {
            return Settlement::Fenced;
        }
        let mut rows = self.rows.lock().unwrap();
        match ending {
            Ending::NotRun if self.fault == Fault::KeepsWhatDidNotRun => {}
            Ending::NotRun => {
                rows.remove(&id);
                return Settlement::Done;
            }
            Ending::InDoubt => row.in_flight_until = Instant::now(),
            Ending::Done(response) => {
                let response = match (self.fault, response.content()) {
                    (Fault::DropsFields, Some(content)) => {
                        StoredResponse::new(response.status()).with_content(content.clone())
                    }
                    _ => response,
                };
                row.response = Some(Arc::new(response));
                row.forgotten_at = Instant::now() + attempt.ttl();
            }
        }
        rows.insert(id, row);
        Settlement::Done
    }
}

impl IdempotencyStore for ToyStore {
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> Answer<Result<Begun, StoreError>> {
        assert!(self.fault != Fault::Panics, "it panics on purpose");
        let (store, key, fingerprint) = (self.clone(), key.clone(), *fingerprint);
        Answer::later(async move {
            tokio::task::yield_now().await;
            let step = Arc::clone(&store.step);
            let alone = match store.fault {
                Fault::GetThenSet => None,
                _ => Some(step.lock().await),
            };
            let known = store.known(&key);
            if store.fault == Fault::GetThenSet {
                // A round trip of a database that is not far away.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if let Some(row) = &known {
                let begun = store.begun(row, &fingerprint);
                let token = match begun {
                    Begun::Done { token, .. } | Begun::InDoubt { token } => token,
                    begun => return Ok(begun),
                };
                let named = options.instead_of;
                let is_named = named == Some(token)
                    || (named.is_some() && store.fault == Fault::TakesOverFromAnybody);
                if !is_named {
                    return Ok(begun);
                }
            }
            let mut options = options;
            if store.fault == Fault::BlocksWhenDropped {
                // Without a lease, until its holder says how long it may take.
                let lease = std::mem::replace(&mut options.lease, Duration::from_secs(600));
                let begun = store.insert(&key, fingerprint, &options);
                tokio::task::yield_now().await;
                if let Some(row) = store.rows.lock().unwrap().get_mut(&store.id(&key)) {
                    row.in_flight_until = Instant::now() + lease;
                }
                return Ok(begun);
            }
            let begun = store.insert(&key, fingerprint, &options);
            drop(alone);
            Ok(begun)
        })
    }

    fn settle(&self, attempt: &Attempt, ending: Ending) -> Answer<Result<Settlement, StoreError>> {
        let (store, attempt) = (self.clone(), attempt.clone());
        Answer::later(async move {
            tokio::task::yield_now().await;
            Ok(store.end(&attempt, ending))
        })
    }

    fn abandon(&self, attempt: &Attempt) {
        if self.fault == Fault::AbandonFrees {
            self.end(attempt, Ending::NotRun);
        }
    }
}
