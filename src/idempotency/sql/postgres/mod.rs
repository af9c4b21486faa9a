//! PostgreSQL: one statement, one round trip.

use futures_core::future::BoxFuture;
use sqlx::Postgres;
use sqlx::postgres::PgConnection;

use super::SqlIdempotencyStore;
use super::engine::{Begin, Record, Records, Settle, Templates};
use crate::store::sql::Text;

/// First answers in PostgreSQL (12 or newer), over a `sqlx::PgPool`.
///
/// Works at every isolation level that the pool's connections may default to, and
/// [behind a pooler](SqlIdempotencyStore::behind_pooler) in transaction mode.
///
/// ```no_run
/// use sqlx::postgres::PgPoolOptions;
/// use tower_conditional::idempotency::sql::PostgresIdempotencyStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = PgPoolOptions::new()
///     .test_before_acquire(false)
///     .connect("postgres://localhost/app")
///     .await?;
/// let store = PostgresIdempotencyStore::open(pool).await?;
/// # Ok(())
/// # }
/// ```
pub type PostgresIdempotencyStore = SqlIdempotencyStore<Postgres>;

impl SqlIdempotencyStore<Postgres> {
    /// The same behind a pooler in transaction mode that does not follow prepared statements, such as
    /// PgBouncer before 1.21.
    ///
    /// `sqlx` prepares a statement and runs it in two steps, and between the two such a pooler may
    /// change the connection to the server. So each statement is sent in a transaction of its own:
    /// three round trips instead of one, of which [`round_trips`](Self::round_trips) counts one.
    ///
    /// ```no_run
    /// use sqlx::postgres::PgPoolOptions;
    /// use tower_conditional::idempotency::sql::PostgresIdempotencyStore;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = PgPoolOptions::new().connect("postgres://pooler:6432/app").await?;
    /// let store = PostgresIdempotencyStore::open(pool).await?.behind_pooler();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn behind_pooler(mut self) -> Self {
        self.link.in_transactions = true;
        self
    }
}

impl Records for Postgres {
    const RECORDS: Templates = Templates {
        begin: include_str!("begin.sql"),
        complete: include_str!("complete.sql"),
        doubt: include_str!("doubt.sql"),
        look: None,
        migration: include_str!("migration.sql"),
        prune: include_str!("prune.sql"),
        release: include_str!("release.sql"),
    };

    fn begin<'a>(
        connection: &'a mut PgConnection,
        text: Text<'a>,
        begin: &'a Begin<'a>,
    ) -> BoxFuture<'a, Result<Vec<Record>, sqlx::Error>> {
        let query = sqlx::query_as(text.text)
            .persistent(text.keeps)
            .bind(begin.scope)
            .bind(begin.key)
            .bind(begin.fingerprint)
            .bind(begin.lease)
            .bind(begin.ttl)
            .bind(begin.instead_of);
        Box::pin(query.fetch_all(connection))
    }

    fn look<'a>(
        connection: &'a mut PgConnection,
        text: Text<'a>,
        begin: &'a Begin<'a>,
    ) -> BoxFuture<'a, Result<Vec<Record>, sqlx::Error>> {
        let query = sqlx::query_as(text.text)
            .persistent(text.keeps)
            .bind(begin.scope)
            .bind(begin.key)
            .bind(begin.fingerprint);
        Box::pin(query.fetch_all(connection))
    }

    fn settle<'a>(
        connection: &'a mut PgConnection,
        text: Text<'a>,
        settle: &'a Settle<'a>,
    ) -> BoxFuture<'a, Result<Option<i64>, sqlx::Error>> {
        let query = sqlx::query_scalar(text.text)
            .persistent(text.keeps)
            .bind(settle.scope)
            .bind(settle.key)
            .bind(settle.token);
        let query = match &settle.answer {
            Some(answer) => query
                .bind(answer.status)
                .bind(answer.headers.as_slice())
                .bind(answer.content)
                .bind(answer.ttl),
            None => query,
        };
        Box::pin(query.fetch_optional(connection))
    }
}
