//! Where the data are: SQLite or PostgreSQL, as `DATABASE_URL` says.
//!
//! A service of your own has one database, and needs nothing of this but [`Database::write`].

use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{Any, AnyPool, Executor, Transaction, raw_sql};

use super::problems::Failure;
use super::setting;

/// The tables of a service, as each database wants them to be made.
pub(crate) struct Schema {
    /// One of them: if it is there, they all are.
    pub(crate) table: &'static str,
    pub(crate) postgres: &'static str,
    pub(crate) sqlite: &'static str,
}

#[derive(Debug, Clone)]
pub(crate) struct Database {
    pool: AnyPool,
    kind: Kind,
    /// Before each write, so that others can try to come in between.
    delay: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
}

impl Database {
    /// The database of `DATABASE_URL`; without that, one in memory. `HANDLER_DELAY_MS` makes
    /// writes slow.
    pub(crate) async fn from_environment(
        schema: &Schema,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let url = std::env::var("DATABASE_URL").ok();
        let delay = Duration::from_millis(setting("HANDLER_DELAY_MS", 0)?);
        let database = Self::open(url.as_deref(), schema).await?;
        Ok(Self { delay, ..database })
    }

    /// A database in memory.
    pub(crate) async fn in_memory(schema: &Schema) -> Result<Self, sqlx::Error> {
        Self::open(None, schema).await
    }

    async fn open(url: Option<&str>, schema: &Schema) -> Result<Self, sqlx::Error> {
        install_default_drivers();
        let url = url.unwrap_or("sqlite::memory:");
        let (kind, options) = if !url.starts_with("sqlite:") {
            (Kind::Postgres, AnyPoolOptions::new().max_connections(16))
        } else if url.contains(":memory:") {
            // The data live and die with their one connection.
            let options = AnyPoolOptions::new().max_connections(1);
            (Kind::Sqlite, options.idle_timeout(None).max_lifetime(None))
        } else {
            (Kind::Sqlite, AnyPoolOptions::new().max_connections(8))
        };
        let options = options.after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(kind.session()).await?;
                Ok(())
            })
        });
        let database = Self {
            pool: options.connect(&kind.url(url)).await?,
            kind,
            delay: Duration::ZERO,
        };
        database.make(schema).await?;
        Ok(database)
    }

    /// Makes the tables, unless somebody has; two processes may start at once.
    pub(crate) async fn make(&self, schema: &Schema) -> Result<(), sqlx::Error> {
        let (lock, find, script) = match self.kind {
            Kind::Postgres => (
                "SELECT 1 FROM (SELECT pg_advisory_xact_lock(7219204001)) AS locked",
                "SELECT to_regclass($1)::text",
                schema.postgres,
            ),
            Kind::Sqlite => (
                "SELECT 1",
                "SELECT max(name) FROM sqlite_master WHERE name = $1",
                schema.sqlite,
            ),
        };
        let mut transaction = self.begin().await?;
        transaction.execute(lock).await?;
        let found: Option<String> = sqlx::query_scalar(find)
            .bind(schema.table)
            .fetch_one(&mut *transaction)
            .await?;
        if found.is_none() {
            raw_sql(script).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// For reads.
    pub(crate) const fn pool(&self) -> &AnyPool {
        &self.pool
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// A transaction that writes.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        tokio::time::sleep(self.delay).await;
        self.begin().await
    }

    /// The same at once, for what is no write of a client.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.pool.begin_with(self.kind.begin()).await
    }

    /// At the end of a `SELECT` in a transaction that writes: nobody else changes the row before
    /// this transaction ends. Says nothing on SQLite, where that holds of the whole database.
    pub(crate) const fn for_update(&self) -> &'static str {
        match self.kind {
            // As an UPDATE locks it: rows that refer to it can still be inserted.
            Kind::Postgres => "FOR NO KEY UPDATE",
            Kind::Sqlite => "",
        }
    }
}

/// Commits what was written. If the answer to that is lost, nobody knows whether it was.
pub(crate) async fn commit(transaction: Transaction<'static, Any>) -> Result<(), Failure> {
    transaction.commit().await.map_err(|error| {
        eprintln!("commit: {error}");
        Failure::outcome_unknown()
    })
}

impl Kind {
    fn url(self, url: &str) -> String {
        match self {
            Self::Postgres => url.to_owned(),
            Self::Sqlite if url.contains(":memory:") => url.to_owned(),
            // Created if it is missing.
            Self::Sqlite if url.contains('?') => format!("{url}&mode=rwc"),
            Self::Sqlite => format!("{url}?mode=rwc"),
        }
    }

    /// For each connection: how long it waits for locks, and, on SQLite, a journal that lets
    /// readers read while somebody writes.
    const fn session(self) -> &'static str {
        match self {
            Self::Postgres => "SET lock_timeout = '10s'",
            Self::Sqlite => "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL",
        }
    }

    const fn begin(self) -> &'static str {
        match self {
            // What is compared under a row lock is the newest there is, not that of a snapshot.
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
            // Takes the lock for writing before anything is read: a transaction that reads first
            // and writes then fails if somebody else has written in between.
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }
}
