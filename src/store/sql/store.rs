//! The store itself, the same over every database: what to make of the rows that come back.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Pool;
use tokio::time::sleep;

use super::ask::{self, Ask, Row, Test};
use super::engine::{Engine, Texts};
use super::error::Failure;
use super::link::{Link, storable};
use super::pause::{PERSISTENCE, Pauses, persist};
use super::schema::Schema;
use super::{OpenError, TableName};
use crate::key::ResourceKey;
use crate::store::{
    Answer, Claim, ClaimOptions, ClaimStore, Claimed, Condition, Intent, Outcome, Settled,
    Snapshot, State, StoreError, Version, VersionStore,
};

/// What the statements of this version of the library expect of the table.
const SCHEMA_VERSION: i64 = 1;

/// When a client may look again: a write is a matter of milliseconds, and whole seconds are what
/// HTTP can say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Versions and claims in a table of a SQL database: [`PostgresStore`](super::PostgresStore) or
/// [`SqliteStore`](super::SqliteStore).
///
/// Clones share one table and one count of [round trips](Self::round_trips).
///
/// ```
/// # #[cfg(feature = "sqlx-sqlite")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use sqlx::sqlite::SqlitePoolOptions;
/// use tower_conditional::store::sql::SqliteStore;
/// use tower_conditional::store::{
///     ClaimOptions, ClaimStore, Claimed, Condition, Intent, Outcome, VersionStore,
/// };
/// use tower_conditional::ResourceKey;
///
/// let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
/// let store = SqliteStore::open(pool).await?;
///
/// let order = ResourceKey::new("/orders/5");
/// let options = ClaimOptions {
///     wait: Duration::ZERO,
///     lease: Duration::from_secs(30),
///     intent: Intent::Write,
/// };
/// let Claimed::Granted(claim) = store.claim(&order, &Condition::Absent, options).await? else {
///     unreachable!("nobody else is here");
/// };
/// assert!(!store.current(&order).await?.settled);
/// store.settle(claim, Outcome::Written).await?;
/// assert!(store.current(&order).await?.settled);
/// # Ok(())
/// # }
/// # #[cfg(feature = "sqlx-sqlite")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
pub struct SqlStore<DB: Engine> {
    pub(super) link: Link<DB>,
    schema: Arc<Schema>,
    texts: Arc<Texts>,
}

/// What stands between a resource and its claim.
enum Obstacle {
    /// Somebody holds it, for so long at most, to do this.
    Held(Duration, Intent),
    /// It was free, and somebody else was faster.
    Outrun,
}

impl<DB: Engine> SqlStore<DB> {
    /// A store in the default table, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// As [`open_table`](Self::open_table).
    pub async fn open(pool: Pool<DB>) -> Result<Self, OpenError> {
        Self::open_table(pool, &TableName::default()).await
    }

    /// A store in this table, which is made if it is missing; safe in many processes at once.
    ///
    /// # Errors
    ///
    /// If the table has another schema version, or cannot be made.
    pub async fn open_table(pool: Pool<DB>, table: &TableName) -> Result<Self, OpenError> {
        let store = Self::new(pool, table);
        store.schema.open(&store.link).await?;
        Ok(store)
    }

    /// A store in this table, which an administrator has made with
    /// [the migration](Self::migration): for applications that may not make tables.
    ///
    /// # Errors
    ///
    /// If the table is missing or has another schema version.
    pub async fn attach(pool: Pool<DB>, table: &TableName) -> Result<Self, OpenError> {
        let store = Self::new(pool, table);
        store.health_check().await?;
        Ok(store)
    }

    /// The SQL that makes the table: idempotent, safe to run by many at once, and commented.
    ///
    /// Its last statement sets where the numbers start. After a failover or a restored backup that
    /// lost acknowledged writes, set them to the clock again in the same way, before the first
    /// write: `setval('…_numbers', …)` in PostgreSQL, `UPDATE …_meta SET next = …` in SQLite.
    #[must_use]
    pub fn migration(table: &TableName) -> String {
        schema::<DB>(table).migration
    }

    /// The same with another limit on how long one statement may take, and how long to wait for a
    /// connection. What exceeds it is an error, and its connection is closed.
    ///
    /// Defaults to 10 s, more than SQLite's usual busy timeout.
    #[must_use]
    pub fn with_statement_limit(mut self, limit: Duration) -> Self {
        self.link.limit = limit;
        self
    }

    /// Is the database there, with a table that fits? One round trip, three at most if it is not.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub async fn health_check(&self) -> Result<(), OpenError> {
        self.schema.check(&self.link).await
    }

    /// How many statements were sent so far, over this store and its clones.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.link.trips()
    }

    /// Deletes the rows of resources that nobody has claimed for `idle`, and says how many.
    ///
    /// They, and all others without a row, then have a version that no resource had before: nothing
    /// is lost but the next conditional write of a client that knows such a resource from earlier,
    /// which has to read it again. Deletes in portions, each a statement of its own.
    ///
    /// # Errors
    ///
    /// If the database fails; what was deleted so far is.
    pub async fn prune(&self, idle: Duration) -> Result<u64, StoreError> {
        let idle = Some(ask::millis(idle));
        let mut pruned = 0;
        loop {
            let portion = persist(|| self.link.numbers(&self.texts.prune, idle)).await?;
            if portion.is_empty() {
                return Ok(pruned);
            }
            pruned += portion.len() as u64;
        }
    }

    fn new(pool: Pool<DB>, table: &TableName) -> Self {
        Self {
            link: Link::new(pool),
            schema: Arc::new(schema::<DB>(table)),
            texts: Arc::new(Texts::new::<DB>(table)),
        }
    }

    /// One statement on one resource, and its row, if it has one.
    async fn ask(&self, ask: Ask<'_>) -> Result<Option<Row>, Failure> {
        let (text, key) = match &ask {
            Ask::Claim { key, .. } => (&self.texts.claim, key),
            Ask::Current { key } => (&self.texts.current, key),
            Ask::Forget { key, .. } => (&self.texts.forget, key),
            Ask::Settle { key, .. } => (&self.texts.settle, key),
        };
        storable(&[key])?;
        let mut connection = self.link.connection().await?;
        let rows = async {
            self.link.begin(&mut connection).await?;
            let rows = DB::ask(&mut connection, self.link.text(text), &ask).await?;
            self.link.commit(&mut connection).await?;
            Ok(rows)
        };
        let rows = self.link.bounded(rows).await;
        let mut rows = Link::checked(&mut connection, rows)?;
        let row = rows.pop().map(Row::try_from).transpose();
        row.map_err(|error| Failure::Unknown(error.into()))
    }

    async fn look(&self, key: &str) -> Result<Row, StoreError> {
        let row = persist(|| self.ask(Ask::Current { key })).await?;
        // The meta table has one row, and this is a left join to it.
        row.ok_or_else(|| StoreError::not_applied("the meta table of the versions is empty"))
    }

    async fn take(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Result<Claimed, StoreError> {
        let test = Test::from(condition);
        let started = Instant::now();
        let mut pauses = Pauses::new();
        loop {
            let asked = Instant::now();
            let row = match self.ask(claim(key, &test, options)).await {
                Ok(Some(row)) => Some(row),
                Ok(None) => Some(self.look(key.as_str()).await?),
                Err(Failure::Contended(_)) => None,
                Err(failure) => return Err(failure.into()),
            };
            let obstacle = match row {
                Some(row) if row.taken => {
                    // Since the database granted it, as much time may have gone by.
                    let lease = options.lease.saturating_sub(asked.elapsed());
                    let claim = Claim::new(key.clone(), row.token, row.state).with_lease(lease);
                    return self.granted(claim, condition).await;
                }
                Some(Row {
                    open: Some(open), ..
                }) => Obstacle::Held(open.left, open.intent),
                Some(row) if !condition.may_hold(&row.state) => {
                    return Ok(Claimed::Failed(row.state));
                }
                _ => Obstacle::Outrun,
            };
            let (wait, left, holder) = match obstacle {
                Obstacle::Held(left, holder) => (options.wait, left, holder),
                Obstacle::Outrun => (options.wait.max(PERSISTENCE), RETRY_AFTER, Intent::Write),
            };
            let remaining = wait.saturating_sub(started.elapsed());
            if remaining.is_zero() {
                return Ok(Claimed::Busy {
                    retry_after: left.min(RETRY_AFTER),
                    holder,
                });
            }
            sleep(pauses.next().min(remaining)).await;
        }
    }

    /// A resource may have lost its row between the test and the claim; the claim then is on a
    /// state that was not tested.
    async fn granted(&self, claim: Claim, condition: &Condition) -> Result<Claimed, StoreError> {
        if condition.may_hold(claim.state()) {
            return Ok(Claimed::Granted(claim));
        }
        match self.end(claim, Outcome::Unchanged).await? {
            Settled::Done(state) | Settled::Fenced(state) => Ok(Claimed::Failed(state)),
        }
    }

    async fn end(&self, claim: Claim, outcome: Outcome) -> Result<Settled, StoreError> {
        let key = claim.key().as_str();
        let token = i64::try_from(claim.token()).map_err(StoreError::not_applied)?;
        if outcome == Outcome::Unchanged && matches!(claim.state(), State::Unseen(_)) {
            let forgotten = persist(|| self.ask(Ask::Forget { key, token })).await?;
            if let Some(row) = forgotten {
                return Ok(Settled::Done(row.state));
            }
        }
        let outcome = ask::outcome(outcome);
        let settle = || {
            self.ask(Ask::Settle {
                key,
                token,
                outcome,
            })
        };
        let (row, again) = match persist(settle).await {
            // The answer was lost, not necessarily the step: ask once more, it is fenced.
            Err(Failure::Unknown(_)) => (persist(settle).await?, true),
            row => (row?, false),
        };
        if let Some(row) = row {
            return Ok(Settled::Done(row.state));
        }
        let row = self.look(key).await?;
        // Had the claim run out instead, its token would be the version.
        let token = Version::from(claim.token());
        let version = row
            .state
            .current()
            .and_then(|current| current.version.as_ref());
        let settled_at_first =
            again && row.token == claim.token() && row.open.is_none() && version != Some(&token);
        Ok(if settled_at_first {
            Settled::Done(row.state)
        } else {
            Settled::Fenced(row.state)
        })
    }
}

fn schema<DB: Engine>(table: &TableName) -> Schema {
    Schema::new::<DB>(DB::TEMPLATES.migration, SCHEMA_VERSION, table)
}

fn claim<'a>(key: &'a ResourceKey, test: &'a Test, options: ClaimOptions) -> Ask<'a> {
    Ask::Claim {
        key: key.as_str(),
        test,
        lease: ask::millis(options.lease),
        intent: options.intent,
    }
}

impl<DB: Engine> VersionStore for SqlStore<DB> {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let (store, key) = (self.clone(), key.clone());
        Answer::later(async move {
            let row = store.look(key.as_str()).await?;
            Ok(Snapshot {
                settled: row.open.is_none(),
                state: row.state,
            })
        })
    }
}

impl<DB: Engine> ClaimStore for SqlStore<DB> {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let (store, key, condition) = (self.clone(), key.clone(), condition.clone());
        Answer::later(async move { store.take(&key, &condition, options).await })
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let store = self.clone();
        Answer::later(async move { store.end(claim, outcome).await })
    }

    /// Nothing to do: when its lease is over, every reader and writer takes it for what it is.
    fn abandon(&self, _claim: Claim) {}
}

impl<DB: Engine> Clone for SqlStore<DB> {
    fn clone(&self) -> Self {
        Self {
            link: self.link.clone(),
            schema: Arc::clone(&self.schema),
            texts: Arc::clone(&self.texts),
        }
    }
}

impl<DB: Engine> fmt::Debug for SqlStore<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore")
            .field("database", &DB::NAME)
            .field("round_trips", &self.round_trips())
            .finish_non_exhaustive()
    }
}
