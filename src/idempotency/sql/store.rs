//! The store itself, the same over every database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Pool;

use super::engine::{Begin, Kept, Settle, Texts};
use super::row::Row;
use crate::idempotency::fingerprint::Fingerprint;
use crate::idempotency::form;
use crate::idempotency::store::{
    Attempt, BeginOptions, Begun, Ending, IdempotencyStore, RecordKey, Settlement,
};
use crate::idempotency::stored::StoredResponse;
use crate::idempotency::ticket::Ticket;
use crate::store::sql::{
    Engine, Failure, Link, OpenError, Schema, TableName, millis, persist, storable, store_error,
};
use crate::store::{Answer, StoreError};

/// What the statements of this version of the library expect of the table.
const SCHEMA_VERSION: i64 = 1;

/// How often a key is looked at that others use at the same moment. Each time somebody got on.
const TRIES: usize = 16;

/// How many rows are pruned in one statement.
const PORTION: i64 = 1000;

/// First answers in a table of a SQL database: [`PostgresIdempotencyStore`] or
/// [`SqliteIdempotencyStore`].
///
/// Clones share one table and one count of [round trips](Self::round_trips).
///
/// ```
/// # #[cfg(feature = "sqlx-sqlite")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use http::StatusCode;
/// use sqlx::sqlite::SqlitePoolOptions;
/// use tower_conditional::idempotency::sql::SqliteIdempotencyStore;
/// use tower_conditional::idempotency::{
///     BeginOptions, Begun, Ending, Fingerprint, IdempotencyStore, RecordKey, StoredResponse,
/// };
///
/// let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
/// let store = SqliteIdempotencyStore::open(pool).await?;
///
/// let (key, request) = (RecordKey::new("acme", "9f1c"), Fingerprint::of_nothing());
/// let options = BeginOptions {
///     lease: Duration::from_secs(9),
///     ttl: Duration::from_secs(86_400),
///     instead_of: None,
/// };
/// let Begun::Started(attempt) = store.begin(&key, &request, options).await? else {
///     unreachable!("the key is new");
/// };
/// store.settle(&attempt, Ending::Done(StoredResponse::new(StatusCode::CREATED))).await?;
/// let begun = store.begin(&key, &request, options).await?;
/// assert!(matches!(begun, Begun::Done { .. }));
/// # Ok(())
/// # }
/// # #[cfg(feature = "sqlx-sqlite")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
///
/// [`PostgresIdempotencyStore`]: super::PostgresIdempotencyStore
/// [`SqliteIdempotencyStore`]: super::SqliteIdempotencyStore
pub struct SqlIdempotencyStore<DB: Engine> {
    pub(super) link: Link<DB>,
    schema: Arc<Schema>,
    texts: Arc<Texts>,
}

impl<DB: Engine> SqlIdempotencyStore<DB> {
    /// A store in the table `conditional_keys`, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// As [`open_table`](Self::open_table).
    pub async fn open(pool: Pool<DB>) -> Result<Self, OpenError> {
        Self::open_table(pool, &TableName::ours("conditional_keys")).await
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

    /// How many statements were sent so far, over this store and its clones; without those of
    /// [`complete_in`](Self::complete_in).
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.link.trips()
    }

    /// Deletes the keys whose time to live is over, and says how many. They count as absent already:
    /// this only saves room. Deletes in portions, each a statement of its own.
    ///
    /// # Errors
    ///
    /// If the database fails; what was deleted so far is.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        let mut pruned = 0;
        loop {
            let portion = || self.link.numbers(&self.texts.prune, Some(PORTION));
            let portion = persist(portion).await?;
            if portion.is_empty() {
                return Ok(pruned);
            }
            pruned += portion.len() as u64;
        }
    }

    /// Completes the ticket with `answer` in the handler's own transaction, which is any on the
    /// database of this store. Together with the data the answer is committed, or not. Call
    /// [`Ticket::completed`] after the commit.
    ///
    /// `answer` is what retries get if the process dies before the layer has stored the whole answer:
    /// its status, and the fields and the content that clients need.
    ///
    /// Call it last, so that others wait as briefly as may be: until the transaction ends, the row is
    /// locked. In SQLite, begin the transaction with `BEGIN IMMEDIATE` if it reads before it writes.
    ///
    /// See the [module docs](super) for an example.
    ///
    /// # Errors
    ///
    /// If the key is somebody else's by now, or was forgotten, or the database fails. Roll back then:
    /// what is committed all the same may be done twice.
    pub async fn complete_in(
        &self,
        connection: &mut DB::Connection,
        ticket: &Ticket,
        answer: &StoredResponse,
    ) -> Result<(), StoreError> {
        let attempt = ticket.attempt();
        let settle = settlement(attempt, Some(answer))?;
        let completed = DB::settle(connection, self.link.text(&self.texts.complete), &settle).await;
        match completed.map_err(store_error::<DB>)? {
            Some(_) => Ok(()),
            None => Err(StoreError::not_applied(
                "the idempotency key was taken over, or forgotten, before the transaction was done",
            )),
        }
    }

    fn new(pool: Pool<DB>, table: &TableName) -> Self {
        Self {
            link: Link::new(pool),
            schema: Arc::new(schema::<DB>(table)),
            texts: Arc::new(Texts::new::<DB>(table)),
        }
    }

    async fn start(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        mut options: BeginOptions,
    ) -> Result<Begun, StoreError> {
        storable(&[key.scope(), key.key()])?;
        let wanted = options.instead_of;
        for _ in 0..TRIES {
            // A number that no token of ours can be names nobody.
            let instead_of = options.instead_of;
            let instead_of = instead_of.and_then(|token| i64::try_from(token).ok());
            let begin = Begin {
                scope: key.scope(),
                key: key.key(),
                fingerprint: fingerprint.as_bytes(),
                lease: millis(options.lease),
                ttl: millis(options.ttl),
                instead_of,
            };
            let row = match options.instead_of {
                None => persist(|| self.ask(&begin)).await?,
                Some(_) => match self.ask(&begin).await {
                    // Perhaps by a completion: look again before it is taken over.
                    Err(Failure::Contended(_)) => {
                        options.instead_of = None;
                        continue;
                    }
                    row => row?,
                },
            };
            match row {
                Some(Row::Started(token)) => {
                    let attempt = Attempt::new(key.clone(), *fingerprint, token, &options);
                    return Ok(Begun::Started(attempt));
                }
                // Somebody else was faster, or it was completed: what was seen is old.
                Some(Row::There(Begun::Done { token, .. } | Begun::InDoubt { token }))
                    if options.instead_of == Some(token) =>
                {
                    options.instead_of = None;
                }
                // Looked at again, and in doubt still.
                Some(Row::There(Begun::InDoubt { token })) if wanted == Some(token) => {
                    options.instead_of = wanted;
                }
                Some(Row::There(begun)) => return Ok(begun),
                // It was absent when it was looked at.
                None => {}
            }
        }
        Err(StoreError::not_applied(
            "others use the same key all the time",
        ))
    }

    /// One statement, and its row, if it has one.
    async fn ask(&self, begin: &Begin<'_>) -> Result<Option<Row>, Failure> {
        let mut connection = self.link.connection().await?;
        let begun = async {
            self.link.begin(&mut connection).await?;
            let begun =
                DB::begin(&mut connection, self.link.text(&self.texts.begin), begin).await?;
            self.link.commit(&mut connection).await?;
            Ok(begun)
        };
        let begun = self.link.bounded(begun).await;
        let mut rows = Link::checked(&mut connection, begun)?;
        if let (true, Some(look)) = (rows.is_empty(), &self.texts.look) {
            drop(connection);
            connection = self.link.connection().await?;
            let looked = DB::look(&mut connection, self.link.text(look), begin);
            let looked = self.link.bounded(looked).await;
            rows = Link::checked(&mut connection, looked)?;
        }
        let row = rows.pop().map(Row::try_from).transpose();
        row.map_err(|error| Failure::Unknown(error.into()))
    }

    async fn end(&self, attempt: &Attempt, ending: &Ending) -> Result<Settlement, StoreError> {
        let (text, answer) = match ending {
            Ending::Done(answer) => (&self.texts.complete, Some(answer)),
            Ending::InDoubt => (&self.texts.doubt, None),
            Ending::NotRun => (&self.texts.release, None),
        };
        let settle = settlement(attempt, answer)?;
        let step = || async {
            let mut connection = self.link.connection().await?;
            let settled = async {
                self.link.begin(&mut connection).await?;
                let settled = DB::settle(&mut connection, self.link.text(text), &settle).await?;
                self.link.commit(&mut connection).await?;
                Ok(settled)
            };
            let settled = self.link.bounded(settled).await;
            Link::checked(&mut connection, settled)
        };
        let lost = match persist(step).await {
            Ok(Some(_)) => return Ok(Settlement::Done),
            Ok(None) => return Ok(Settlement::Fenced),
            Err(Failure::Unknown(lost)) => lost,
            Err(failure) => return Err(failure.into()),
        };
        // The answer was lost, not necessarily the step. Twice is as good as once; but if there is
        // nothing to do any more, nobody knows whose doing that is.
        match persist(step).await {
            Ok(Some(_)) => Ok(Settlement::Done),
            _ => Err(Failure::Unknown(lost).into()),
        }
    }
}

fn schema<DB: Engine>(table: &TableName) -> Schema {
    Schema::new::<DB>(DB::RECORDS.migration, SCHEMA_VERSION, table)
}

/// With an answer, if there is one.
fn settlement<'a>(
    attempt: &'a Attempt,
    answer: Option<&'a StoredResponse>,
) -> Result<Settle<'a>, StoreError> {
    Ok(Settle {
        scope: attempt.key().scope(),
        key: attempt.key().key(),
        token: i64::try_from(attempt.token()).map_err(StoreError::not_applied)?,
        answer: answer.map(|answer| Kept {
            status: answer.status().as_u16().into(),
            headers: form::lines(answer.headers()),
            content: answer.content().map(|content| &**content),
            ttl: millis(attempt.ttl()),
        }),
    })
}

impl<DB: Engine> IdempotencyStore for SqlIdempotencyStore<DB> {
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> Answer<Result<Begun, StoreError>> {
        let (store, key, fingerprint) = (self.clone(), key.clone(), *fingerprint);
        Answer::later(async move { store.start(&key, &fingerprint, options).await })
    }

    fn settle(&self, attempt: &Attempt, ending: Ending) -> Answer<Result<Settlement, StoreError>> {
        let (store, attempt) = (self.clone(), attempt.clone());
        Answer::later(async move { store.end(&attempt, &ending).await })
    }

    /// Nothing to do: when its lease is over, everybody finds it in doubt.
    fn abandon(&self, _attempt: &Attempt) {}
}

impl<DB: Engine> Clone for SqlIdempotencyStore<DB> {
    fn clone(&self) -> Self {
        Self {
            link: self.link.clone(),
            schema: Arc::clone(&self.schema),
            texts: Arc::clone(&self.texts),
        }
    }
}

impl<DB: Engine> fmt::Debug for SqlIdempotencyStore<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlIdempotencyStore")
            .field("database", &DB::NAME)
            .field("round_trips", &self.round_trips())
            .finish_non_exhaustive()
    }
}
