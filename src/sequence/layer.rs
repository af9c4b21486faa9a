//! What is configured once for all requests of a route.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use tower_layer::Layer;

use super::service::Sequence;
use crate::key::ResourceKey;
use crate::observe::{Audience, Observer};
use crate::policy::STORE_TIMEOUT;
use crate::problem::Problem;
use crate::render::Renderer;
use crate::runtime::Runtime;
use crate::store::{ClaimStore, Intent};

/// A layer that runs the writes of one resource one after the other.
///
/// See the [module docs](crate::sequence) for an example.
#[derive(Debug, Clone)]
#[must_use]
pub struct SequenceLayer {
    config: Arc<Config>,
}

impl SequenceLayer {
    /// See [`request_limit`](Self::request_limit).
    pub(crate) const REQUEST_LIMIT: usize = 1024 * 1024;

    /// Queues in `store`, on the Tokio runtime that serves the requests.
    ///
    /// `key` says which resource a request is about, out of its head and its body. A request
    /// without a key is not queued; nor is one by a safe method.
    #[cfg(feature = "tokio")]
    pub fn new(
        store: impl ClaimStore,
        key: impl Fn(&Parts, &Bytes) -> Option<ResourceKey> + Send + Sync + 'static,
    ) -> Self {
        Self::with_runtime(store, key, Runtime::tokio())
    }

    /// The same, on another runtime.
    pub fn with_runtime(
        store: impl ClaimStore,
        key: impl Fn(&Parts, &Bytes) -> Option<ResourceKey> + Send + Sync + 'static,
        runtime: Runtime,
    ) -> Self {
        Self {
            config: Arc::new(Config {
                store: Arc::new(store),
                key: Arc::new(key),
                runtime,
                is_delete: Arc::new(|parts| parts.method == Method::DELETE),
                wait: Duration::from_secs(5),
                lease: Duration::from_secs(30),
                store_timeout: STORE_TIMEOUT,
                request_limit: Self::REQUEST_LIMIT,
                audience: Audience::default(),
                renderer: Renderer::default(),
            }),
        }
    }

    /// How long a request waits for its turn, at most. The time in which it is handled does not
    /// count.
    ///
    /// Defaults to 5 seconds.
    pub fn wait(self, limit: Duration) -> Self {
        self.with(|config| config.wait = limit)
    }

    /// Which requests delete? One that finds its resource being deleted is refused at once.
    ///
    /// Defaults to those by the method `DELETE`.
    pub fn deletes(self, is_delete: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|config| config.is_delete = Arc::new(is_delete))
    }

    /// How long a resource stays claimed after a handler that never ended: the longest that its
    /// effects may outlast it, and the longest that a crash blocks the queue. Where the store
    /// counts leases, the handler gets nine tenths of it to finish.
    ///
    /// Defaults to 30 seconds, as in [`Policy::lease`](crate::Policy::lease).
    pub fn lease(self, lease: Duration) -> Self {
        self.with(|config| config.lease = lease)
    }

    /// How long the store may take for each answer, beside the [wait](Self::wait). If it takes
    /// longer, the request is 503, and a turn that the store may have given it is over with the
    /// [lease](Self::lease).
    ///
    /// Defaults to 15 seconds, as in [`Policy::store_timeout`](crate::Policy::store_timeout).
    pub fn store_timeout(self, limit: Duration) -> Self {
        self.with(|config| config.store_timeout = limit)
    }

    /// How long the content of a request may be, in bytes; more is `413 Content Too Large`. It is
    /// read before the request is queued: nobody waits for an upload.
    ///
    /// Defaults to 1 MiB.
    pub fn request_limit(self, bytes: usize) -> Self {
        self.with(|config| config.request_limit = bytes)
    }

    /// What the `type` of every problem starts with.
    ///
    /// Defaults to `/problems/`.
    pub fn problem_base(self, base: impl Into<Arc<str>>) -> Self {
        self.with(|config| config.renderer.set_base(base.into()))
    }

    /// Changes the problems of this layer on their way out; see
    /// [`Policy::problems`](crate::Policy::problems).
    pub fn problems(self, change: impl Fn(Problem) -> Problem + Send + Sync + 'static) -> Self {
        self.with(|config| config.renderer.set_change(change))
    }

    /// Writes the refusals of this layer, instead of [`Problem::to_response`]; see
    /// [`Policy::render`](crate::Policy::render).
    pub fn render(
        self,
        render: impl Fn(&Problem) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| config.renderer.set_render(render))
    }

    /// Who hears of every request that was queued, or refused; see [`observe`](crate::observe).
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

impl<S> Layer<S> for SequenceLayer {
    type Service = Sequence<S>;

    fn layer(&self, inner: S) -> Sequence<S> {
        Sequence::new(inner, Arc::clone(&self.config))
    }
}

#[derive(Clone)]
pub(super) struct Config {
    pub(super) store: Arc<dyn ClaimStore>,
    key: Arc<dyn Fn(&Parts, &Bytes) -> Option<ResourceKey> + Send + Sync>,
    pub(super) runtime: Runtime,
    is_delete: Arc<dyn Fn(&Parts) -> bool + Send + Sync>,
    pub(super) wait: Duration,
    pub(super) lease: Duration,
    pub(super) store_timeout: Duration,
    pub(super) request_limit: usize,
    pub(super) audience: Audience,
    pub(super) renderer: Renderer,
}

impl Config {
    pub(super) fn key(&self, parts: &Parts, content: &Bytes) -> Option<ResourceKey> {
        (self.key)(parts, content)
    }

    pub(super) fn intent(&self, parts: &Parts) -> Intent {
        if (self.is_delete)(parts) {
            Intent::Delete
        } else {
            Intent::Write
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("runtime", &self.runtime)
            .field("wait", &self.wait)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
