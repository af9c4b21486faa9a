//! First answers in the memory of one process.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::fingerprint::Fingerprint;
use super::store::{Attempt, BeginOptions, Begun, Ending, IdempotencyStore, RecordKey, Settlement};
use super::stored::StoredResponse;
use crate::store::{Answer, StoreError};

/// First answers in the memory of one process.
///
/// Clones share one store. Nothing runs in the background: whoever uses the store sweeps it.
///
/// - **No leases while a holder lives.** An attempt is in flight until it is settled or abandoned;
///   its lease begins when it is [abandoned](IdempotencyStore::abandon).
/// - **Bounded memory**, and no key forgotten early: see [`with_capacity`](Self::with_capacity).
/// - **Gone with the process.** A retry after a restart runs again; where that must not be, use a
///   store in a database.
///
/// An answer that is [ready](Answer::try_ready) has happened already: to drop it unread is to lose
/// the attempt in it, and its key stays in flight.
///
/// ```
/// use std::time::Duration;
/// use http::StatusCode;
/// use tower_conditional::idempotency::{
///     BeginOptions, Begun, Ending, Fingerprint, IdempotencyStore, MemoryIdempotencyStore,
///     RecordKey, StoredResponse,
/// };
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryIdempotencyStore::new();
/// let key = RecordKey::new("acme", "9f1c");
/// let request = Fingerprint::of_nothing();
/// let options = BeginOptions {
///     lease: Duration::from_secs(60),
///     ttl: Duration::from_secs(86_400),
///     instead_of: None,
/// };
///
/// let Begun::Started(attempt) = store.begin(&key, &request, options).await? else {
///     unreachable!("the key is new");
/// };
/// let begun = store.begin(&key, &request, options).await?;
/// assert!(matches!(begun, Begun::InFlight { .. }));
///
/// store.settle(&attempt, Ending::Done(StoredResponse::new(StatusCode::CREATED))).await?;
/// let begun = store.begin(&key, &request, options).await?;
/// assert!(matches!(begun, Begun::Done { .. }));
/// # Ok(())
/// # }
/// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
/// # let polled = pin!(example()).poll(&mut Context::from_waker(Waker::noop()));
/// # assert!(matches!(polled, Poll::Ready(Ok(()))));
/// ```
#[derive(Clone)]
pub struct MemoryIdempotencyStore(Arc<Shared>);

struct Shared {
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    records: Mutex<Records>,
}

impl MemoryIdempotencyStore {
    /// See [`with_capacity`](Self::with_capacity).
    pub(crate) const CAPACITY: usize = 64 * 1024 * 1024;

    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Instant::now)
    }

    /// An empty store that tells the time by `clock`: for tests of what happens tomorrow.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            clock: Box::new(clock),
            records: Mutex::default(),
        }))
    }

    /// The same store, for all who share it, with room for about this many bytes.
    ///
    /// When it is full, it drops the content of the oldest answers, whose replay is then 409
    /// `result-not-stored`. When even that is not enough, it refuses keys that it does not know:
    /// 503. It never forgets a key early, because the retry would be run a second time.
    ///
    /// Defaults to 64 MiB: some 150,000 keys with short answers.
    #[must_use]
    pub fn with_capacity(self, bytes: usize) -> Self {
        self.0.lock().capacity = bytes;
        self
    }

    /// How many keys it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.swept(|records, _| records.by_key.len())
    }

    /// Does it know no key at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for MemoryIdempotencyStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryIdempotencyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryIdempotencyStore")
            .field("len", &self.len())
            .finish()
    }
}

impl IdempotencyStore for MemoryIdempotencyStore {
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> Answer<Result<Begun, StoreError>> {
        Answer::ready(
            self.0
                .swept(|records, now| records.begin(key, fingerprint, options, now)),
        )
    }

    fn settle(&self, attempt: &Attempt, ending: Ending) -> Answer<Result<Settlement, StoreError>> {
        Answer::ready(Ok(self
            .0
            .swept(|records, now| records.settle(attempt, ending, now))))
    }

    fn abandon(&self, attempt: &Attempt) {
        self.0.swept(|records, now| records.abandon(attempt, now));
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Records> {
        // A panic in one step (out of memory, say) leaves each record as it was or as it was to be.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One atomic step, on what is not over yet.
    fn swept<T>(&self, step: impl FnOnce(&mut Records, Instant) -> T) -> T {
        let mut records = self.lock();
        let now = (self.clock)();
        records.sweep(now);
        step(&mut records, now)
    }
}

/// What a record takes besides its texts and its answer: entries of the three tables.
const RECORD: usize = 320;
/// When to ask again after an attempt whose end nobody can foresee.
const SOON: Duration = Duration::from_secs(1);

struct Records {
    by_key: HashMap<RecordKey, Record>,
    /// When records are over, soonest first. A record in flight is not in it.
    ends: BTreeMap<(Instant, u64), RecordKey>,
    /// The answers with content, by token: oldest first.
    contents: BTreeMap<u64, RecordKey>,
    bytes: usize,
    capacity: usize,
    last_token: u64,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            ends: BTreeMap::new(),
            contents: BTreeMap::new(),
            bytes: 0,
            capacity: MemoryIdempotencyStore::CAPACITY,
            last_token: 0,
        }
    }
}

struct Record {
    fingerprint: Fingerprint,
    token: u64,
    /// What a take-over has to name.
    turn: u64,
    /// For an attempt that is abandoned.
    lease: Duration,
    ttl: Duration,
    stage: Stage,
    ends: Option<Instant>,
}

enum Stage {
    /// In flight until then, and in doubt afterwards.
    Abandoned(Instant),
    Done(Arc<StoredResponse>),
    InFlight,
}

impl Records {
    fn begin(
        &mut self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
        now: Instant,
    ) -> Result<Begun, StoreError> {
        if let Some(record) = self.by_key.get(key) {
            if record.fingerprint != *fingerprint {
                return Ok(Begun::Mismatch);
            }
            let token = record.turn;
            let begun = match &record.stage {
                Stage::InFlight => Begun::InFlight { retry_after: SOON },
                Stage::Abandoned(until) if *until > now => Begun::InFlight {
                    retry_after: *until - now,
                },
                Stage::Abandoned(_) => Begun::InDoubt { token },
                Stage::Done(response) => Begun::Done {
                    token,
                    response: Arc::clone(response),
                },
            };
            let may_take_over = !matches!(begun, Begun::InFlight { .. });
            if !(may_take_over && options.instead_of == Some(token)) {
                return Ok(begun);
            }
            self.remove(key);
        } else {
            self.make_room(size_of_key(key))?;
        }
        self.bytes += size_of_key(key);
        self.last_token += 2;
        let record = Record {
            fingerprint: *fingerprint,
            token: self.last_token,
            turn: self.last_token,
            lease: options.lease,
            ttl: options.ttl,
            stage: Stage::InFlight,
            ends: None,
        };
        let attempt = Attempt::new(key.clone(), *fingerprint, record.token, &options);
        self.by_key.insert(key.clone(), record);
        Ok(Begun::Started(attempt.without_lease()))
    }

    fn settle(&mut self, attempt: &Attempt, ending: Ending, now: Instant) -> Settlement {
        let key = attempt.key();
        let Some(record) = self.by_key.get(key) else {
            return Settlement::Fenced;
        };
        let is_done = matches!(record.stage, Stage::Done(_));
        let may_follow = !is_done || matches!(ending, Ending::Done(_));
        if record.token != attempt.token() || !may_follow {
            return Settlement::Fenced;
        }
        match ending {
            Ending::Done(response) => {
                self.pass_turn(key);
                self.complete(key, response, now);
            }
            Ending::InDoubt => self.end(key, Stage::Abandoned(now), now),
            Ending::NotRun => self.remove(key),
        }
        Settlement::Done
    }

    /// Whoever was told of a doubt, and is about to take over, is to look again.
    fn pass_turn(&mut self, key: &RecordKey) {
        if let Some(record) = self.by_key.get_mut(key) {
            record.turn = record.token + 1;
        }
    }

    fn abandon(&mut self, attempt: &Attempt, now: Instant) {
        let key = attempt.key();
        let Some(record) = self.by_key.get(key) else {
            return;
        };
        if record.token == attempt.token() && matches!(record.stage, Stage::InFlight) {
            let until = after(now, record.lease);
            self.end(key, Stage::Abandoned(until), now);
        }
    }

    fn complete(&mut self, key: &RecordKey, response: StoredResponse, now: Instant) {
        self.end(key, Stage::Done(Arc::new(response)), now);
        // Its own content goes last, but go it does if it is too long for the whole store.
        while self.bytes > self.capacity && self.drop_oldest_content() {}
    }

    /// Brings a record to a stage that it may stay in until it is over.
    fn end(&mut self, key: &RecordKey, stage: Stage, now: Instant) {
        let Some(mut record) = self.take(key) else {
            return;
        };
        let in_flight_until = match &stage {
            Stage::Abandoned(until) => *until,
            Stage::Done(_) | Stage::InFlight => now,
        };
        let ends = after(in_flight_until, record.ttl);
        if let Stage::Done(response) = &stage
            && response
                .content()
                .is_some_and(|content| !content.is_empty())
        {
            self.contents.insert(record.token, key.clone());
        }
        record.stage = stage;
        record.ends = Some(ends);
        self.bytes += size_of_key(key) + record.size();
        self.ends.insert((ends, record.token), key.clone());
        self.by_key.insert(key.clone(), record);
    }

    fn remove(&mut self, key: &RecordKey) {
        self.take(key);
    }

    /// Takes a record out, and all that is counted for it.
    fn take(&mut self, key: &RecordKey) -> Option<Record> {
        let record = self.by_key.remove(key)?;
        self.bytes -= size_of_key(key) + record.size();
        if let Some(ends) = record.ends {
            self.ends.remove(&(ends, record.token));
        }
        self.contents.remove(&record.token);
        Some(record)
    }

    /// Forgets what is over.
    fn sweep(&mut self, now: Instant) {
        while let Some(first) = self.ends.first_entry()
            && first.key().0 <= now
        {
            let key = first.remove();
            self.take(&key);
        }
    }

    /// Drops contents, oldest first, until another `bytes` fit.
    fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        while self.bytes + bytes > self.capacity {
            if !self.drop_oldest_content() {
                return Err(StoreError::not_applied("no room for another key"));
            }
        }
        Ok(())
    }

    /// Says no if there is none.
    fn drop_oldest_content(&mut self) -> bool {
        let Some((_, key)) = self.contents.pop_first() else {
            return false;
        };
        if let Some(record) = self.by_key.get_mut(&key)
            && let Stage::Done(response) = &record.stage
        {
            let before = record.size();
            let bare = StoredResponse::clone(response).without_content();
            record.stage = Stage::Done(Arc::new(bare));
            self.bytes -= before - record.size();
        }
        true
    }
}

impl Record {
    fn size(&self) -> usize {
        match &self.stage {
            Stage::Done(response) => {
                response.header_size() + response.content().map_or(0, bytes::Bytes::len)
            }
            Stage::Abandoned(_) | Stage::InFlight => 0,
        }
    }
}

fn size_of_key(key: &RecordKey) -> usize {
    RECORD + key.scope().len() + key.key().len()
}

/// A time to live beyond all clocks is a century.
fn after(now: Instant, duration: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
    now.checked_add(duration.min(CENTURY)).unwrap_or(now)
}
