//! SQLite: one statement, which takes the lock for writing before it reads.

use futures_core::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Execute, Executor, Sqlite, query_as};

use super::ask::{Ask, Record};
use super::engine::{Dialect, Statements, Templates};
use super::error::Meaning;
use super::link::Text;
use super::{SqlStore, TableName};
use crate::store::Intent;

/// Milliseconds since 1970, in a form that every version of SQLite knows.
const NOW: &str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

/// Versions and claims in a SQLite file, over a `sqlx::SqlitePool`.
///
/// Several processes on one file share its claims. Use WAL, so that readers do not wait for
/// writers; keep `synchronous = FULL`, which is what `sqlx` asks for, or a power failure loses
/// acknowledged versions; and a busy timeout, which is how long a statement waits for the lock
/// (`sqlx` waits 5 s).
///
/// A database in memory belongs to one connection: give its pool `max_connections(1)`, no
/// `idle_timeout` and no `max_lifetime`.
///
/// ```
/// use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
/// use tower_conditional::store::sql::SqliteStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let options = SqliteConnectOptions::new()
///     .filename("app.db")
///     .create_if_missing(true)
///     .journal_mode(SqliteJournalMode::Wal);
/// let pool = SqlitePoolOptions::new().connect_with(options).await?;
/// let store = SqliteStore::open(pool).await?;
/// # Ok(())
/// # }
/// ```
pub type SqliteStore = SqlStore<Sqlite>;

impl Dialect for Sqlite {
    const EXISTS: &'static str = include_str!("exists.sql");
    const SCHEMA_VERSION: &'static str = include_str!("schema_version.sql");

    const TRIGGER: &'static str = include_str!("trigger.sql");

    const BEGIN_WRITE: &'static str = "BEGIN IMMEDIATE";

    const IS_ALIVE: Option<&'static str> = None;

    fn fill(template: &str, table: &TableName) -> String {
        let catalog = match table.schema() {
            Some(schema) => format!("\"{schema}\".sqlite_master"),
            None => "sqlite_master".to_owned(),
        };
        template
            .replace("{table}", &table.quoted(""))
            .replace("{table:bare}", &table.bare(""))
            .replace("{table:first_claim}", &table.quoted("_first_claim"))
            .replace("{table:next_claim}", &table.quoted("_next_claim"))
            .replace("{table:counts}", &table.quoted("_counts_versions"))
            .replace("{table:raise}", &table.quoted("_raise"))
            .replace("{forget_at}", &table.quoted("_forget_at"))
            .replace("{meta}", &table.quoted("_meta"))
            .replace("{meta:bare}", &table.bare("_meta"))
            .replace("{meta:text}", &table.plain("_meta"))
            .replace("{catalog}", &catalog)
            .replace("{now}", NOW)
    }

    fn meaning(code: &str) -> Meaning {
        // The low byte is the primary code, the rest is detail.
        match code.parse::<i32>().map(|code| code & 0xFF) {
            // SQLITE_BUSY, SQLITE_LOCKED.
            Ok(5 | 6) => Meaning::Contended,
            // SQLITE_IOERR: perhaps while it committed.
            Ok(10) | Err(_) => Meaning::Unknown,
            Ok(_) => Meaning::Refused,
        }
    }

    fn numbers<'a>(
        connection: &'a mut SqliteConnection,
        text: Text<'a>,
        parameter: Option<i64>,
    ) -> BoxFuture<'a, Result<Vec<i64>, sqlx::Error>> {
        let query = sqlx::query_scalar(text.text).persistent(text.keeps);
        let query = match parameter {
            Some(parameter) => query.bind(parameter),
            None => query,
        };
        Box::pin(query.fetch_all(connection))
    }

    fn rows<'e, 'q: 'e>(
        connection: &'e mut SqliteConnection,
        query: impl Execute<'q, Self> + 'q,
    ) -> BoxFuture<'e, Result<Vec<Self::Row>, sqlx::Error>> {
        connection.fetch_all(query)
    }

    fn script<'a>(
        connection: &'a mut SqliteConnection,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Self::QueryResult, sqlx::Error>> {
        connection.execute(text)
    }
}

impl Statements for Sqlite {
    const TEMPLATES: Templates = Templates {
        claim: include_str!("claim.sql"),
        current: include_str!("current.sql"),
        forget: include_str!("forget.sql"),
        migration: include_str!("migration.sql"),
        prune: include_str!("prune.sql"),
        seen: include_str!("seen.sql"),
        settle: include_str!("settle.sql"),
    };

    fn ask<'a>(
        connection: &'a mut SqliteConnection,
        text: Text<'a>,
        ask: &'a Ask<'a>,
    ) -> BoxFuture<'a, Result<Vec<Record>, sqlx::Error>> {
        let query = query_as(text.text).persistent(text.keeps);
        let query = match ask {
            Ask::Claim {
                key,
                test,
                lease,
                intent,
            } => query
                .bind(*key)
                .bind(*lease)
                .bind(*intent == Intent::Delete)
                .bind(test.word)
                // A list of numbers looks the same in Rust and in JSON.
                .bind(format!("{:?}", test.versions)),
            Ask::Current { key } => query.bind(*key),
            Ask::Forget { key, token } => query.bind(*key).bind(*token),
            Ask::Settle {
                key,
                token,
                outcome,
            } => query.bind(*key).bind(*token).bind(*outcome),
        };
        Box::pin(query.fetch_all(connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_code_says_whether_the_step_may_have_happened() {
        for (code, meaning) in [
            ("5", Meaning::Contended),
            ("517", Meaning::Contended),
            ("6", Meaning::Contended),
            ("13", Meaning::Refused),
            ("1555", Meaning::Refused),
            ("1034", Meaning::Unknown),
            ("", Meaning::Unknown),
        ] {
            assert_eq!(Sqlite::meaning(code), meaning, "{code}");
        }
    }
}
