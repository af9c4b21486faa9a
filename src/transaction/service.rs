//! The service: runs the handler, then commits or rolls back, then answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use http::{Request, Response, StatusCode};
use sqlx::{Pool, Transaction};
use tower_service::Service;

use super::handle::{RequestTransaction, Slot};
use crate::conditional::{ResponseBody, kept_fields};
use crate::decision::Access;
use crate::problem::{Problem, Reason};
use crate::render::Renderer;
use crate::report::Report;
use crate::store::StoreError;
use crate::store::sql::{Engine, Text, store_error};

/// The service that [`TransactionLayer`](super::TransactionLayer) makes; see there for an example.
pub struct Transactional<S, DB: Engine> {
    inner: S,
    pool: Pool<DB>,
    renderer: Renderer,
}

impl<S, DB: Engine> Transactional<S, DB> {
    pub(super) const fn new(inner: S, pool: Pool<DB>, renderer: Renderer) -> Self {
        Self {
            inner,
            pool,
            renderer,
        }
    }
}

impl<S, B, R, DB> Service<Request<B>> for Transactional<S, DB>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Send + 'static,
    DB: Engine,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let access = Access::of(request.method());
        let transaction = RequestTransaction::new(self.pool.clone(), access);
        request.extensions_mut().insert(transaction.clone());
        let headers = kept_fields(request.headers());
        let renderer = self.renderer.clone();
        let handler = Guarded {
            handler: Box::pin(self.inner.call(request)),
            unended: Some(transaction),
        };
        Box::pin(async move {
            let (answer, transaction) = handler.await;
            let response = answer?;
            Ok(match end(&transaction, succeeded(&response)).await {
                Ok(()) => response.map(ResponseBody::inner),
                Err(problem) => renderer.answer(&headers, problem),
            })
        })
    }
}

/// A handler, and its transaction, which ends with it: also if it panics, or is dropped.
struct Guarded<F, DB: Engine> {
    handler: Pin<Box<F>>,
    unended: Option<RequestTransaction<DB>>,
}

impl<F, DB> Future for Guarded<F, DB>
where
    F: Future,
    DB: Engine,
{
    type Output = (F::Output, RequestTransaction<DB>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(self.handler.as_mut().poll(context));
        let transaction = self.unended.take();
        let transaction = transaction.expect("a future is polled to its end only once");
        Poll::Ready((answer, transaction))
    }
}

impl<F, DB: Engine> Drop for Guarded<F, DB> {
    fn drop(&mut self) {
        // A transaction that is dropped is rolled back. If the handler still has the connection,
        // that goes with the handler, and the transaction with it.
        if let Some(transaction) = self.unended.take() {
            drop(transaction.end());
        }
    }
}

fn succeeded<R>(response: &Response<R>) -> bool {
    let conflict = matches!(
        response.extensions().get::<Report>(),
        Some(Report::Conflict { .. })
    );
    let status = response.status();
    (status.is_success() || status.is_redirection()) && !conflict
}

async fn end<DB: Engine>(
    transaction: &RequestTransaction<DB>,
    succeeded: bool,
) -> Result<(), Problem> {
    match (transaction.end(), succeeded) {
        (Some(Slot::Begun(transaction)), true) => commit(transaction).await,
        (Some(Slot::Begun(transaction)), false) => {
            // Before the client hears of it, so that it meets no lock of its own when it tries
            // again. Whatever fails here, a transaction that is not committed is rolled back.
            drop(transaction.rollback().await);
            Ok(())
        }
        // Nobody can commit what somebody still writes to.
        (None, true) => Err(in_use()),
        (None, false) | (Some(Slot::NotBegun { .. } | Slot::Over), _) => Ok(()),
    }
}

async fn commit<DB: Engine>(mut transaction: Transaction<'static, DB>) -> Result<(), Problem> {
    // PostgreSQL answers COMMIT with success after a statement has failed, and rolls back.
    if let Some(probe) = DB::IS_ALIVE
        && DB::numbers(&mut transaction, Text::once(probe), None)
            .await
            .is_err()
    {
        drop(transaction.rollback().await);
        return Err(unavailable());
    }
    match transaction.commit().await {
        Ok(()) => Ok(()),
        Err(error) => Err(match store_error::<DB>(error) {
            StoreError::NotApplied(_) => unavailable(),
            StoreError::Unknown(_) => unknown(),
        }),
    }
}

pub(super) fn unavailable() -> Problem {
    Problem::of(Reason::StoreUnavailable, StatusCode::SERVICE_UNAVAILABLE)
        .with_detail("The database did not take the change. Nothing was changed.")
        .with_retry_after(Duration::from_secs(1))
}

fn unknown() -> Problem {
    Problem::of(Reason::OutcomeUnknown, StatusCode::INTERNAL_SERVER_ERROR)
        .with_detail("The database was lost while it took the change. Read the resource again.")
}

fn in_use() -> Problem {
    Problem::of(Reason::StoreUnavailable, StatusCode::INTERNAL_SERVER_ERROR).with_detail(
        "The handler answered while its transaction was still in use. Nothing was changed.",
    )
}

impl<S: Clone, DB: Engine> Clone for Transactional<S, DB> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            pool: self.pool.clone(),
            renderer: self.renderer.clone(),
        }
    }
}

impl<S: fmt::Debug, DB: Engine> fmt::Debug for Transactional<S, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactional")
            .field("inner", &self.inner)
            .field("database", &DB::NAME)
            .finish_non_exhaustive()
    }
}
