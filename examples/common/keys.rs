//! First answers, kept in the service's own database: so that the transaction that writes the data
//! can also write the answer that a retry gets.
//!
//! One row for each key. A process renews the leases of the requests that it runs; when it is
//! killed, nobody does, and its keys are free after [`LEASE`].

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use sqlx::AnyConnection;
use tower_conditional::idempotency::{
    Attempt, BeginOptions, Begun, Ending, Fingerprint, IdempotencyStore, RecordKey, Settlement,
    StoredResponse,
};
use tower_conditional::store::{Answer, StoreError};

use super::database::{Database, Kind, Schema};
use super::json::{from_text, to_text};

/// How long a key stays busy after its process was killed.
pub(crate) const LEASE: Duration = Duration::from_secs(5);

/// How soon a client should ask again for an answer that is on its way.
pub(crate) const SOON: Duration = Duration::from_secs(1);

const SCHEMA: Schema = Schema {
    table: "idempotency_keys",
    postgres: TABLE,
    sqlite: TABLE,
};

/// Times are in milliseconds since 1970, by the clock of the database.
const TABLE: &str = "\
CREATE TABLE idempotency_keys (
    scope       text   NOT NULL,
    key         text   NOT NULL,
    token       bigint NOT NULL, -- of the last attempt; only grows
    state       text   NOT NULL CHECK (state IN ('free', 'open', 'done')),
    fingerprint text   NOT NULL,
    lease_ends  bigint NOT NULL, -- of an open attempt; past: nobody knows what became of it
    expires     bigint NOT NULL,
    status      bigint,
    headers     text,
    content     text,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_by_end ON idempotency_keys (expires);";

/// Keeps first answers. Clones are the same store.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    database: Database,
    /// What this process is running.
    running: Arc<Mutex<Running>>,
}

type Running = HashSet<(RecordKey, i64)>;

impl Keys {
    /// The keys in `database`. Their leases are renewed on the runtime of the caller.
    pub(crate) async fn open(database: Database) -> Result<Self, sqlx::Error> {
        database.make(&SCHEMA).await?;
        let running = Arc::default();
        tokio::spawn(renew(database.clone(), Arc::downgrade(&running)));
        Ok(Self { database, running })
    }

    async fn begin(
        &self,
        key: RecordKey,
        fingerprint: Fingerprint,
        options: BeginOptions,
    ) -> Result<Begun, sqlx::Error> {
        let now = now(&self.database);
        let mut transaction = self.database.begin().await?;
        // Whoever comes second waits here for the first.
        sqlx::query(
            "INSERT INTO idempotency_keys \
             (scope, key, token, state, fingerprint, lease_ends, expires) \
             VALUES ($1, $2, 0, 'free', '', 0, 0) ON CONFLICT DO NOTHING",
        )
        .bind(key.scope())
        .bind(key.key())
        .execute(&mut *transaction)
        .await?;
        let lock = self.database.for_update();
        let select = format!(
            "SELECT token, state, fingerprint, lease_ends - {now}, expires - {now}, \
             status, headers, content \
             FROM idempotency_keys WHERE scope = $1 AND key = $2 {lock}"
        );
        let row: Row = sqlx::query_as(&select)
            .bind(key.scope())
            .bind(key.key())
            .fetch_one(&mut *transaction)
            .await?;
        let token = row.0 + 1;
        if let Some(begun) = begun(row, &fingerprint, options.instead_of)? {
            transaction.commit().await?;
            return Ok(begun);
        }
        let start = format!(
            "UPDATE idempotency_keys SET token = $3, state = 'open', fingerprint = $4, \
             lease_ends = {now} + $5, expires = {now} + $6, \
             status = NULL, headers = NULL, content = NULL WHERE scope = $1 AND key = $2"
        );
        sqlx::query(&start)
            .bind(key.scope())
            .bind(key.key())
            .bind(token)
            .bind(fingerprint.to_string())
            .bind(millis(options.lease))
            .bind(millis(options.ttl))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        lock_of(&self.running).insert((key.clone(), token));
        let token = token.unsigned_abs();
        let attempt = Attempt::new(key, fingerprint, token, &options);
        Ok(Begun::Started(attempt.without_lease()))
    }

    async fn settle(&self, attempt: Attempt, ending: Ending) -> Result<Settlement, sqlx::Error> {
        let mut connection = self.database.pool().acquire().await?;
        let done = match ending {
            Ending::Done(response) => {
                complete(&self.database, &mut connection, &attempt, &response).await?
            }
            Ending::InDoubt => end(&mut connection, &attempt, "lease_ends = 0").await?,
            Ending::NotRun => end(&mut connection, &attempt, "state = 'free'").await?,
        };
        Ok(if done {
            Settlement::Done
        } else {
            Settlement::Fenced
        })
    }

    fn stop_renewing(&self, attempt: &Attempt) {
        lock_of(&self.running).remove(&(attempt.key().clone(), token(attempt)));
    }
}

impl IdempotencyStore for Keys {
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> Answer<Result<Begun, StoreError>> {
        let (keys, key, fingerprint) = (self.clone(), key.clone(), *fingerprint);
        Answer::later(async move {
            let begun = keys.begin(key, fingerprint, options).await;
            begun.map_err(StoreError::unknown)
        })
    }

    fn settle(&self, attempt: &Attempt, ending: Ending) -> Answer<Result<Settlement, StoreError>> {
        self.stop_renewing(attempt);
        let (keys, attempt) = (self.clone(), attempt.clone());
        Answer::later(async move {
            let settled = keys.settle(attempt, ending).await;
            settled.map_err(StoreError::unknown)
        })
    }

    fn abandon(&self, attempt: &Attempt) {
        self.stop_renewing(attempt);
    }
}

/// Completes an attempt in the transaction of its handler. If it is not there, somebody else has
/// taken the key over, and the transaction must not commit.
pub(crate) async fn complete(
    database: &Database,
    connection: &mut AnyConnection,
    attempt: &Attempt,
    response: &StoredResponse,
) -> Result<bool, sqlx::Error> {
    let headers = response.headers().iter();
    let headers = headers.filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.to_string(), Value::from(value)))
    });
    let content = response.content();
    let content = content.and_then(|content| String::from_utf8(content.to_vec()).ok());
    let now = now(database);
    let update = format!(
        "UPDATE idempotency_keys SET state = 'done', expires = {now} + $4, \
         status = $5, headers = $6, content = $7 \
         WHERE scope = $1 AND key = $2 AND token = $3 AND state <> 'free'"
    );
    let done = sqlx::query(&update)
        .bind(attempt.key().scope())
        .bind(attempt.key().key())
        .bind(token(attempt))
        .bind(millis(attempt.ttl()))
        .bind(i64::from(response.status().as_u16()))
        .bind(to_text(&headers.collect()))
        .bind(content)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends an attempt that is open.
async fn end(
    connection: &mut AnyConnection,
    attempt: &Attempt,
    change: &str,
) -> Result<bool, sqlx::Error> {
    let update = format!(
        "UPDATE idempotency_keys SET {change} \
         WHERE scope = $1 AND key = $2 AND token = $3 AND state = 'open'"
    );
    let done = sqlx::query(&update)
        .bind(attempt.key().scope())
        .bind(attempt.key().key())
        .bind(token(attempt))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Renews the leases of what is running, and forgets what has expired, until the store is dropped.
async fn renew(database: Database, running: Weak<Mutex<Running>>) {
    let now = now(&database);
    let renew = format!(
        "UPDATE idempotency_keys SET lease_ends = {now} + $4 \
         WHERE scope = $1 AND key = $2 AND token = $3 AND state = 'open'"
    );
    let forget = format!("DELETE FROM idempotency_keys WHERE expires < {now}");
    loop {
        let Some(running) = running.upgrade().map(|running| lock_of(&running).clone()) else {
            return;
        };
        let mut done = sqlx::query(&forget).execute(database.pool()).await;
        for (key, token) in running {
            done = sqlx::query(&renew)
                .bind(key.scope())
                .bind(key.key())
                .bind(token)
                .bind(millis(LEASE))
                .execute(database.pool())
                .await;
        }
        if let Err(error) = done {
            eprintln!("leases: {error}");
        }
        tokio::time::sleep(LEASE / 4).await;
    }
}

/// A key as it is found: token, state and fingerprint; the milliseconds that the lease and the key
/// have left; status, header and content of the answer.
type Row = (
    i64,
    String,
    String,
    i64,
    i64,
    Option<i64>,
    Option<String>,
    Option<String>,
);

/// What the row says to a request; None if the request may run.
fn begun(
    row: Row,
    fingerprint: &Fingerprint,
    instead_of: Option<u64>,
) -> Result<Option<Begun>, sqlx::Error> {
    let (token, state, known, lease_left, left, status, headers, content) = row;
    let token = token.unsigned_abs();
    if state == "free" || left <= 0 {
        return Ok(None);
    }
    if known != fingerprint.to_string() {
        return Ok(Some(Begun::Mismatch));
    }
    if state == "open" && lease_left > 0 {
        return Ok(Some(Begun::InFlight { retry_after: SOON }));
    }
    if state == "open" {
        // Only a doubt is taken over: an answer is what every retry gets.
        if instead_of == Some(token) {
            return Ok(None);
        }
        return Ok(Some(Begun::InDoubt { token }));
    }
    let response = Arc::new(answer(status, headers, content)?);
    Ok(Some(Begun::Done { token, response }))
}

fn answer(
    status: Option<i64>,
    headers: Option<String>,
    content: Option<String>,
) -> Result<StoredResponse, sqlx::Error> {
    let status = status.and_then(|status| StatusCode::from_u16(status.try_into().ok()?).ok());
    let status = status.ok_or_else(|| sqlx::Error::Decode("a status that is none".into()))?;
    let mut response = StoredResponse::new(status);
    for (name, value) in from_text(&headers.unwrap_or_default())? {
        let name = HeaderName::try_from(name).map_err(decode)?;
        let value = HeaderValue::try_from(value.as_str().unwrap_or_default()).map_err(decode)?;
        response = response.with_header(name, value);
    }
    Ok(match content {
        Some(content) => response.with_content(content),
        None => response.without_content(),
    })
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

fn token(attempt: &Attempt) -> i64 {
    // It came out of a column of this type.
    i64::try_from(attempt.token()).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn lock_of(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Now, in the SQL of the database.
fn now(database: &Database) -> &'static str {
    match database.kind() {
        Kind::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        Kind::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    }
}
