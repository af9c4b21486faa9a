//! PostgreSQL: one statement, one round trip.

use futures_core::future::BoxFuture;
use sqlx::postgres::PgConnection;
use sqlx::{Execute, Executor, Postgres, Row as _, query_as};

use super::ask::{Ask, Record};
use super::engine::{Dialect, Statements, Templates};
use super::error::Meaning;
use super::link::Text;
use super::{SqlStore, TableName};
use crate::store::Intent;

/// Versions and claims in PostgreSQL (12 or newer), over a `sqlx::PgPool`.
///
/// Works at every isolation level that the pool's connections may default to, and
/// [behind a pooler](SqlStore::behind_pooler) in transaction mode.
///
/// ```no_run
/// use sqlx::postgres::PgPoolOptions;
/// use tower_conditional::store::sql::PostgresStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = PgPoolOptions::new()
///     .test_before_acquire(false)
///     .connect("postgres://localhost/app")
///     .await?;
/// let store = PostgresStore::open(pool).await?;
/// # Ok(())
/// # }
/// ```
pub type PostgresStore = SqlStore<Postgres>;

impl SqlStore<Postgres> {
    /// The same behind a pooler in transaction mode that does not follow prepared statements, such as
    /// PgBouncer before 1.21.
    ///
    /// `sqlx` prepares a statement and runs it in two steps, and between the two such a pooler may
    /// change the connection to the server. So each statement is sent in a transaction of its own:
    /// three round trips instead of one, of which [`round_trips`](Self::round_trips) counts one.
    ///
    /// ```no_run
    /// use sqlx::postgres::PgPoolOptions;
    /// use tower_conditional::store::sql::PostgresStore;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = PgPoolOptions::new().connect("postgres://pooler:6432/app").await?;
    /// let store = PostgresStore::open(pool).await?.behind_pooler();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn behind_pooler(mut self) -> Self {
        self.link.in_transactions = true;
        self
    }
}

impl Dialect for Postgres {
    const EXISTS: &'static str = include_str!("exists.sql");
    const SCHEMA_VERSION: &'static str = include_str!("schema_version.sql");

    const TRIGGER: &'static str = include_str!("trigger.sql");

    const BEGIN_WRITE: &'static str = "BEGIN";

    const IS_ALIVE: Option<&'static str> = Some("SELECT 1::bigint");

    fn fill(template: &str, table: &TableName) -> String {
        template
            .replace("{table}", &table.quoted(""))
            .replace("{table:counts}", &table.quoted("_counts_versions"))
            .replace("{trigger}", &table.bare("_counts_versions"))
            .replace("{meta}", &table.quoted("_meta"))
            .replace("{forget_at}", &table.bare("_forget_at"))
            .replace("{sequence}", &table.quoted("_numbers"))
    }

    fn meaning(code: &str) -> Meaning {
        match code {
            // Serialization failure, deadlock, lock not available.
            "40001" | "40P01" | "55P03" => Meaning::Contended,
            // The server went away, perhaps while it committed.
            "57P01" | "57P02" | "57P03" | "57P05" | "40003" => Meaning::Unknown,
            // Connection exceptions, as poolers report them; system errors; internal errors.
            _ if ["08", "58", "XX"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Meaning::Unknown
            }
            _ => Meaning::Refused,
        }
    }

    fn numbers<'a>(
        connection: &'a mut PgConnection,
        text: Text<'a>,
        parameter: Option<i64>,
    ) -> BoxFuture<'a, Result<Vec<i64>, sqlx::Error>> {
        match parameter {
            Some(parameter) => {
                let query = sqlx::query_scalar(text.text).persistent(text.keeps);
                Box::pin(query.bind(parameter).fetch_all(connection))
            }
            // In one step, which no pooler can tear apart.
            None => {
                let rows = connection.fetch_all(text.text);
                Box::pin(async move { rows.await?.iter().map(|row| row.try_get(0)).collect() })
            }
        }
    }

    fn rows<'e, 'q: 'e>(
        connection: &'e mut PgConnection,
        query: impl Execute<'q, Self> + 'q,
    ) -> BoxFuture<'e, Result<Vec<Self::Row>, sqlx::Error>> {
        connection.fetch_all(query)
    }

    fn script<'a>(
        connection: &'a mut PgConnection,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Self::QueryResult, sqlx::Error>> {
        connection.execute(text)
    }
}

impl Statements for Postgres {
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
        connection: &'a mut PgConnection,
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
                .bind(&test.versions),
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
            ("40001", Meaning::Contended),
            ("40P01", Meaning::Contended),
            ("55P03", Meaning::Contended),
            ("57014", Meaning::Refused),
            ("42P01", Meaning::Refused),
            ("23505", Meaning::Refused),
            ("08006", Meaning::Unknown),
            ("57P01", Meaning::Unknown),
            ("XX000", Meaning::Unknown),
        ] {
            assert_eq!(Postgres::meaning(code), meaning, "{code}");
        }
    }
}
