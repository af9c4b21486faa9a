//! What is configured once for all requests of a route.

use std::fmt;
use std::sync::Arc;

use http::Method;
use http::request::Parts;
use tower_layer::Layer;

use super::policy::IdempotencyPolicy;
use super::service::Idempotency;
use super::store::IdempotencyStore;
use crate::conditional::{OfRequest, PolicyOf};
use crate::observe::{Audience, Observer};
use crate::openapi::Description;
use crate::runtime::Runtime;

/// A layer that answers a retry with the first answer.
///
/// See the [module docs](crate::idempotency) for an example, and for where it belongs.
#[derive(Debug, Clone)]
#[must_use]
pub struct IdempotencyLayer {
    config: Arc<Config>,
}

impl IdempotencyLayer {
    /// Keeps first answers in `store`, on the Tokio runtime that serves the requests. A request
    /// with a key runs detached: an answer that its client no longer waits for is kept all the
    /// same.
    ///
    /// `principal` says whose key it is, out of what authentication has found. Keys of different
    /// principals have nothing to do with each other. A request with a key for which it says `None`
    /// is refused, 400 `idempotency-identity-required`: run unprotected, it would break the promise
    /// that the client relies on, and under a key that strangers share it would be answered with
    /// what is theirs. An API without users says so, with a principal that is always the same.
    #[cfg(feature = "tokio")]
    pub fn new(
        store: impl IdempotencyStore,
        principal: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self::with_runtime(store, principal, Runtime::tokio())
    }

    /// The same, on another runtime.
    pub fn with_runtime(
        store: impl IdempotencyStore,
        principal: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
        runtime: Runtime,
    ) -> Self {
        Self {
            config: Arc::new(Config {
                store: Arc::new(store),
                principal: Arc::new(principal),
                runtime,
                policy: PolicyOf::Always(Arc::new(IdempotencyPolicy::default())),
                audience: Audience::default(),
            }),
        }
    }

    /// What the route does.
    ///
    /// Defaults to [`IdempotencyPolicy::new`].
    pub fn policy(self, policy: IdempotencyPolicy) -> Self {
        self.with(|config| config.policy = PolicyOf::Always(Arc::new(policy)))
    }

    /// What each request's route does, for a layer that stands around many. A request without a
    /// policy passes through untouched.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tower_conditional::idempotency::{
    ///     IdempotencyLayer, IdempotencyPolicy, MemoryIdempotencyStore,
    /// };
    ///
    /// # #[cfg(feature = "tokio")] {
    /// let orders = Arc::new(IdempotencyPolicy::new());
    /// let user = |parts: &http::request::Parts| parts.extensions.get::<String>().cloned();
    /// let layer = IdempotencyLayer::new(MemoryIdempotencyStore::new(), user).policy_for(
    ///     move |parts| parts.uri.path().starts_with("/orders").then(|| Arc::clone(&orders)),
    /// );
    /// # let _ = layer;
    /// # }
    /// ```
    pub fn policy_for(
        self,
        policy: impl Fn(&Parts) -> Option<Arc<IdempotencyPolicy>> + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| config.policy = PolicyOf::Request(Arc::new(policy)))
    }

    /// What this layer adds to the description of an operation by `method`; see
    /// [`openapi`](crate::openapi). None if each request has a policy of its own: describe that.
    #[must_use]
    pub fn describe(&self, method: &Method) -> Option<Description> {
        Some(self.config.policy.always()?.describe(method))
    }

    /// Who hears of every request with a key, and of those that were refused for want of one; see
    /// [`observe`](crate::observe).
    ///
    /// Defaults to nobody, which costs nothing.
    pub fn observer(self, observer: impl Observer) -> Self {
        self.with(|config| config.audience.set_observer(observer))
    }

    /// Which route a request came by, for the observer; see
    /// [`ConditionalLayer::route`](crate::ConditionalLayer::route), also for the default.
    pub fn route(self, route: impl Fn(&Parts) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        self.with(|config| config.audience.set_route(route))
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = Idempotency<S>;

    fn layer(&self, inner: S) -> Idempotency<S> {
        Idempotency::new(inner, Arc::clone(&self.config))
    }
}

#[derive(Clone)]
pub(super) struct Config {
    pub(super) store: Arc<dyn IdempotencyStore>,
    pub(super) principal: OfRequest<String>,
    pub(super) runtime: Runtime,
    pub(super) policy: PolicyOf<IdempotencyPolicy>,
    pub(super) audience: Audience,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}
