//! SQLite: one statement, which takes the lock for writing before it reads.

use futures_core::future::BoxFuture;
use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::SqlIdempotencyStore;
use super::engine::{Begin, Record, Records, Settle, Templates};
use crate::store::sql::Text;

/// First answers in a SQLite file, over a `sqlx::SqlitePool`.
///
/// Wants the same of its pool as [`SqliteStore`](crate::store::sql::SqliteStore), and may share it.
/// See [`SqlIdempotencyStore`] for an example.
pub type SqliteIdempotencyStore = SqlIdempotencyStore<Sqlite>;

impl Records for Sqlite {
    const RECORDS: Templates = Templates {
        begin: include_str!("begin.sql"),
        complete: include_str!("complete.sql"),
        doubt: include_str!("doubt.sql"),
        look: Some(include_str!("look.sql")),
        migration: include_str!("migration.sql"),
        prune: include_str!("prune.sql"),
        release: include_str!("release.sql"),
    };

    fn begin<'a>(
        connection: &'a mut SqliteConnection,
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
        connection: &'a mut SqliteConnection,
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
        connection: &'a mut SqliteConnection,
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
