//! PostgreSQL: one statement, one round trip.

use futures_core::future::BoxFuture;
use sqlx::Postgres;
use sqlx::postgres::PgConnection;

use super::SqlIdempotencyStore;
use super::engine::{Begin, Record, Records, Settle, Templates};

/// First answers in PostgreSQL (12 or newer), over a `sqlx::PgPool`.
///
/// Works at every isolation level that the pool's connections may default to, and behind a pooler
/// in transaction mode if the connections are made with `statement_cache_capacity(0)`.
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
        text: &'a str,
        begin: &'a Begin<'a>,
    ) -> BoxFuture<'a, Result<Vec<Record>, sqlx::Error>> {
        let query = sqlx::query_as(text)
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
        text: &'a str,
        begin: &'a Begin<'a>,
    ) -> BoxFuture<'a, Result<Vec<Record>, sqlx::Error>> {
        let query = sqlx::query_as(text)
            .bind(begin.scope)
            .bind(begin.key)
            .bind(begin.fingerprint);
        Box::pin(query.fetch_all(connection))
    }

    fn settle<'a>(
        connection: &'a mut PgConnection,
        text: &'a str,
        settle: &'a Settle<'a>,
    ) -> BoxFuture<'a, Result<Option<i64>, sqlx::Error>> {
        let query = sqlx::query_scalar(text)
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
