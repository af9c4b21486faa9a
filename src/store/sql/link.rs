//! The way to the database: takes a connection from the pool, sends one statement, counts it, and
//! says what a failure means.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolConnection;
use tokio::time::timeout;

use super::engine::Dialect;
use super::error::Failure;

/// Longer than SQLite's usual busy timeout, shorter than clients wait.
const STATEMENT_LIMIT: Duration = Duration::from_secs(10);

/// The text of a statement.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    pub(crate) text: &'a str,
    /// Is it kept, prepared, for the next time?
    pub(crate) keeps: bool,
}

impl<'a> Text<'a> {
    /// A statement that is not kept.
    pub(crate) const fn once(text: &'a str) -> Self {
        Self { text, keeps: false }
    }
}

#[derive(Debug)]
pub(crate) struct Link<DB: Dialect> {
    /// On how long one statement takes, and on how long a connection lets us wait.
    pub(crate) limit: Duration,
    /// Is each statement sent in a transaction of its own?
    pub(crate) in_transactions: bool,
    pool: Pool<DB>,
    trips: Arc<AtomicU64>,
}

impl<DB: Dialect> Link<DB> {
    pub(crate) fn new(pool: Pool<DB>) -> Self {
        Self {
            limit: STATEMENT_LIMIT,
            in_transactions: false,
            pool,
            trips: Arc::default(),
        }
    }

    pub(crate) fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// One statement that gives numbers.
    pub(crate) async fn numbers(
        &self,
        text: &str,
        parameter: Option<i64>,
    ) -> Result<Vec<i64>, Failure> {
        let mut connection = self.connection().await?;
        let numbers = async {
            self.begin(&mut connection).await?;
            let text = self.text(text);
            let numbers = DB::numbers(&mut connection, text, parameter).await?;
            self.commit(&mut connection).await?;
            Ok(numbers)
        };
        let numbers = self.bounded(numbers).await;
        Self::checked(&mut connection, numbers)
    }

    /// Several statements, with a transaction of their own.
    pub(crate) async fn script(&self, text: &str) -> Result<(), Failure> {
        let mut connection = self.connection().await?;
        connection.is_amid = true;
        let done = self.bounded(DB::script(&mut connection, text)).await;
        connection.is_amid = done.is_err();
        Self::checked(&mut connection, done.map(drop))
    }

    /// To send one statement over.
    pub(crate) async fn connection(&self) -> Result<Lent<DB>, Failure> {
        let acquired = timeout(self.limit, self.pool.acquire()).await;
        let connection = acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        let connection = connection.map_err(Failure::NotApplied)?;
        self.trips.fetch_add(1, Ordering::Relaxed);
        Ok(Lent {
            connection,
            is_amid: false,
        })
    }

    /// A statement as it is sent: prepared under a name that lasts as long as the connection, unless
    /// nobody knows how long that is.
    pub(crate) const fn text<'a>(&self, text: &'a str) -> Text<'a> {
        Text {
            text,
            keeps: !self.in_transactions,
        }
    }

    /// Before a statement, if it is to be in a transaction.
    pub(crate) async fn begin(&self, connection: &mut Lent<DB>) -> Result<(), sqlx::Error> {
        if self.in_transactions {
            connection.is_amid = true;
            DB::script(connection, "BEGIN").await?;
        }
        Ok(())
    }

    /// After it.
    pub(crate) async fn commit(&self, connection: &mut Lent<DB>) -> Result<(), sqlx::Error> {
        if self.in_transactions {
            DB::script(connection, "COMMIT").await?;
            connection.is_amid = false;
        }
        Ok(())
    }

    /// The answer to a statement that was sent, if it comes in time.
    pub(crate) async fn bounded<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Failure> {
        match timeout(self.limit, answer).await {
            Ok(answer) => answer.map_err(|error| Failure::of(error, DB::meaning)),
            Err(elapsed) => Err(Failure::Unknown(Box::new(elapsed))),
        }
    }

    /// A connection on which something went wrong half way must not serve anybody else.
    pub(crate) fn checked<T>(
        connection: &mut Lent<DB>,
        answer: Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Err(Failure::Unknown(_)) = &answer {
            connection.is_amid = true;
        }
        answer
    }
}

/// A connection of the application's pool, which gets it back only if nothing is half done on it:
/// whoever comes next would be in the middle of our transaction, and what they write would never be
/// committed. Nobody may wait for the end: then it is dropped at any moment.
pub(crate) struct Lent<DB: Dialect> {
    connection: PoolConnection<DB>,
    /// Is something under way on it?
    is_amid: bool,
}

impl<DB: Dialect> Deref for Lent<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.connection
    }
}

impl<DB: Dialect> DerefMut for Lent<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }
}

impl<DB: Dialect> Drop for Lent<DB> {
    fn drop(&mut self) {
        if self.is_amid {
            self.connection.close_on_drop();
        }
    }
}

impl<DB: Dialect> Clone for Link<DB> {
    fn clone(&self) -> Self {
        Self {
            limit: self.limit,
            in_transactions: self.in_transactions,
            pool: self.pool.clone(),
            trips: Arc::clone(&self.trips),
        }
    }
}

/// A key that every database can hold, index and compare.
pub(crate) fn storable(parts: &[&str]) -> Result<(), Failure> {
    /// Less than PostgreSQL refuses to index; the same for both, so that keys can move.
    const LONGEST_KEY: usize = 2048;
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length <= LONGEST_KEY && !parts.iter().any(|part| part.contains('\0')) {
        return Ok(());
    }
    let error = "a key for a SQL store is at most 2048 bytes long and holds no NUL";
    Err(Failure::NotApplied(sqlx::Error::InvalidArgument(
        error.to_owned(),
    )))
}
