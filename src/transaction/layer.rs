//! The layer: what is configured once.

use std::fmt;
use std::sync::Arc;

use sqlx::Pool;
use tower_layer::Layer;

use super::service::Transactional;
use crate::problem::Problem;
use crate::render::Renderer;
use crate::store::sql::Engine;

/// Gives each request a [`RequestTransaction`](super::RequestTransaction) on a pool of the
/// application.
///
/// See the [module docs](crate::transaction) for where it belongs and for a handler.
///
/// ```
/// # #[cfg(feature = "sqlx-sqlite")]
/// # async fn example() -> Result<(), sqlx::Error> {
/// use sqlx::SqlitePool;
/// use tower_conditional::transaction::TransactionLayer;
///
/// let layer = TransactionLayer::new(SqlitePool::connect("sqlite://app.db").await?);
/// # Ok(())
/// # }
/// ```
pub struct TransactionLayer<DB: Engine> {
    pool: Pool<DB>,
    renderer: Renderer,
}

impl<DB: Engine> TransactionLayer<DB> {
    /// Transactions on this pool.
    #[must_use]
    pub fn new(pool: Pool<DB>) -> Self {
        Self {
            pool,
            renderer: Renderer::default(),
        }
    }

    /// What the `type` of every problem starts with.
    ///
    /// Defaults to `/problems/`.
    #[must_use]
    pub fn problem_base(mut self, base: impl Into<Arc<str>>) -> Self {
        self.renderer.set_base(base.into());
        self
    }

    /// Changes every problem before it is answered, as
    /// [`Policy::problems`](crate::Policy::problems) does.
    #[must_use]
    pub fn problems(mut self, change: impl Fn(Problem) -> Problem + Send + Sync + 'static) -> Self {
        self.renderer.set_change(change);
        self
    }
}

impl<DB: Engine, S> Layer<S> for TransactionLayer<DB> {
    type Service = Transactional<S, DB>;

    fn layer(&self, inner: S) -> Self::Service {
        Transactional::new(inner, self.pool.clone(), self.renderer.clone())
    }
}

impl<DB: Engine> Clone for TransactionLayer<DB> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            renderer: self.renderer.clone(),
        }
    }
}

impl<DB: Engine> fmt::Debug for TransactionLayer<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionLayer")
            .field("database", &DB::NAME)
            .finish_non_exhaustive()
    }
}
