//! The way to the database: takes a connection from the pool, sends one statement, counts it, and
//! says what a failure means.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolConnection;
use tokio::time::timeout;

use super::TableName;
use super::ask::{Ask, Row};
use super::engine::{Statements, Texts};
use super::error::Failure;

/// More than PostgreSQL refuses to index at; the same for both, so that keys can move.
const LONGEST_KEY: usize = 2048;

#[derive(Debug)]
pub(super) struct Link<DB: Statements> {
    pub(super) texts: Arc<Texts>,
    /// On how long one statement takes, and on how long a connection lets us wait.
    pub(super) limit: Duration,
    pool: Pool<DB>,
    trips: Arc<AtomicU64>,
}

impl<DB: Statements> Link<DB> {
    pub(super) fn new(pool: Pool<DB>, table: &TableName, limit: Duration) -> Self {
        Self {
            texts: Arc::new(Texts::new::<DB>(table)),
            limit,
            pool,
            trips: Arc::default(),
        }
    }

    pub(super) fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// One statement on one resource, and its row, if it has one.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Option<Row>, Failure> {
        let (text, key) = match &ask {
            Ask::Claim { key, .. } => (&self.texts.claim, key),
            Ask::Current { key } => (&self.texts.current, key),
            Ask::Forget { key, .. } => (&self.texts.forget, key),
            Ask::Settle { key, .. } => (&self.texts.settle, key),
        };
        if key.len() > LONGEST_KEY || key.contains('\0') {
            let error = "a key for a SQL store is at most 2048 bytes long and holds no NUL";
            return Err(Failure::NotApplied(sqlx::Error::InvalidArgument(
                error.to_owned(),
            )));
        }
        let mut connection = self.connection().await?;
        let rows = self.bounded(DB::ask(&mut connection, text, &ask)).await;
        let mut rows = Self::checked(&mut connection, rows)?;
        let row = rows.pop().map(Row::try_from).transpose();
        row.map_err(|error| Failure::Unknown(error.into()))
    }

    /// One statement that gives numbers.
    pub(super) async fn numbers(
        &self,
        text: &str,
        parameter: Option<i64>,
    ) -> Result<Vec<i64>, Failure> {
        let mut connection = self.connection().await?;
        let numbers = DB::numbers(&mut connection, text, parameter);
        let numbers = self.bounded(numbers).await;
        Self::checked(&mut connection, numbers)
    }

    /// Several statements, with a transaction of their own.
    pub(super) async fn script(&self, text: &str) -> Result<(), Failure> {
        let mut connection = self.connection().await?;
        let done = self
            .bounded(DB::script(&mut connection, text))
            .await
            .map(drop);
        if done.is_err() {
            // The transaction may still be open.
            connection.close_on_drop();
        }
        Self::checked(&mut connection, done)
    }

    async fn connection(&self) -> Result<PoolConnection<DB>, Failure> {
        let acquired = timeout(self.limit, self.pool.acquire()).await;
        let connection = acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        let connection = connection.map_err(Failure::NotApplied)?;
        self.trips.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
    }

    async fn bounded<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Failure> {
        match timeout(self.limit, answer).await {
            Ok(answer) => answer.map_err(|error| Failure::of(error, DB::meaning)),
            Err(elapsed) => Err(Failure::Unknown(Box::new(elapsed))),
        }
    }

    /// A connection on which something went wrong half way must not serve anybody else.
    fn checked<T>(
        connection: &mut PoolConnection<DB>,
        answer: Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Err(Failure::Unknown(_)) = &answer {
            connection.close_on_drop();
        }
        answer
    }
}

impl<DB: Statements> Clone for Link<DB> {
    fn clone(&self) -> Self {
        Self {
            texts: Arc::clone(&self.texts),
            limit: self.limit,
            pool: self.pool.clone(),
            trips: Arc::clone(&self.trips),
        }
    }
}
