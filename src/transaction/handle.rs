//! The transaction as a handler sees it: not begun until it asks for a connection, and over when
//! the request is.

use std::error::Error;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::{Pool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::decision::Access;
use crate::store::StoreError;
use crate::store::sql::Engine;

/// The transaction of one request; in its extensions, under a
/// [`TransactionLayer`](super::TransactionLayer). Clones are the same transaction.
///
/// See the [module docs](crate::transaction) for an example.
pub struct RequestTransaction<DB: Engine> {
    slot: Arc<Mutex<Slot<DB>>>,
}

/// Where a request is with its transaction.
pub(super) enum Slot<DB: Engine> {
    Begun(Transaction<'static, DB>),
    NotBegun { pool: Pool<DB>, begin: &'static str },
    Over,
}

impl<DB: Engine> RequestTransaction<DB> {
    pub(super) fn new(pool: Pool<DB>, access: Access) -> Self {
        let begin = match access {
            Access::Write => DB::BEGIN_WRITE,
            Access::Read | Access::Unconditional => "BEGIN",
        };
        Self {
            slot: Arc::new(Mutex::new(Slot::NotBegun { pool, begin })),
        }
    }

    /// The connection of this transaction, which begins with the first one. Whoever asks while
    /// another has it waits; give it back, by dropping it, before the handler answers.
    ///
    /// On SQLite the transaction of a write takes the lock for writing at once: one that reads
    /// first could not write any more if anybody else did in between.
    ///
    /// # Errors
    ///
    /// If the transaction cannot begin, or the request is over.
    pub async fn connection(&self) -> Result<RequestConnection<DB>, TransactionError> {
        let mut slot = Arc::clone(&self.slot).lock_owned().await;
        match &*slot {
            Slot::Begun(_) => {}
            Slot::NotBegun { pool, begin } => {
                let begun = pool.begin_with(*begin).await;
                *slot = Slot::Begun(begun.map_err(TransactionError::begin)?);
            }
            Slot::Over => return Err(TransactionError::over()),
        }
        let connection = OwnedMutexGuard::try_map(slot, |slot| match slot {
            Slot::Begun(transaction) => Some(transaction),
            Slot::NotBegun { .. } | Slot::Over => None,
        });
        match connection {
            Ok(guard) => Ok(RequestConnection { guard }),
            Err(_) => Err(TransactionError::over()),
        }
    }

    /// Ends the handler's part: what is left to commit or to roll back. None if somebody still has
    /// the connection.
    pub(super) fn end(&self) -> Option<Slot<DB>> {
        let mut slot = self.slot.try_lock().ok()?;
        Some(std::mem::replace(&mut *slot, Slot::Over))
    }
}

impl<DB: Engine> Clone for RequestTransaction<DB> {
    fn clone(&self) -> Self {
        Self {
            slot: Arc::clone(&self.slot),
        }
    }
}

impl<DB: Engine> fmt::Debug for RequestTransaction<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestTransaction")
            .field("database", &DB::NAME)
            .finish_non_exhaustive()
    }
}

/// The connection of a [`RequestTransaction`]. Dereferences to the connection of `sqlx`; do not
/// commit or roll back by SQL on it, the layer does.
///
/// See the [module docs](crate::transaction) for an example.
pub struct RequestConnection<DB: Engine> {
    guard: tokio::sync::OwnedMappedMutexGuard<Slot<DB>, Transaction<'static, DB>>,
}

impl<DB: Engine> Deref for RequestConnection<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.guard
    }
}

impl<DB: Engine> DerefMut for RequestConnection<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.guard
    }
}

impl<DB: Engine> fmt::Debug for RequestConnection<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestConnection")
            .field("database", &DB::NAME)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection: nothing was changed. With the feature `axum` it is an answer: 503.
///
/// See the [module docs](crate::transaction) for an example.
#[derive(Debug)]
pub struct TransactionError(StoreError);

impl TransactionError {
    fn begin(error: sqlx::Error) -> Self {
        Self(StoreError::not_applied(error))
    }

    fn over() -> Self {
        Self(StoreError::not_applied("the request is over"))
    }
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transaction of this request cannot be used")
    }
}

impl Error for TransactionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(feature = "axum")]
mod extract {
    use axum::extract::FromRequestParts;
    use axum::http::request::Parts;
    use axum::response::{IntoResponse, Response};
    use http::StatusCode;

    use super::{RequestTransaction, TransactionError};
    use crate::problem::{Problem, Reason, trace_id};
    use crate::store::sql::Engine;
    use crate::transaction::service::unavailable;

    impl<DB: Engine, S: Sync> FromRequestParts<S> for RequestTransaction<DB> {
        type Rejection = Problem;

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
            parts.extensions.get::<Self>().cloned().ok_or_else(|| {
                Problem::of(Reason::StoreUnavailable, StatusCode::INTERNAL_SERVER_ERROR)
                    .with_detail("The route has no TransactionLayer for this database.")
                    .with_trace_id(trace_id(&parts.headers))
            })
        }
    }

    impl IntoResponse for TransactionError {
        fn into_response(self) -> Response {
            unavailable().into_response()
        }
    }
}
