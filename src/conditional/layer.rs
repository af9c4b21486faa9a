//! What is configured once for all requests of a route.

use std::fmt;
use std::sync::Arc;

use http::Method;
use http::request::Parts;
use tower_layer::Layer;

use super::{Conditional, Reader};
use crate::key::ResourceKey;
use crate::observe::{self, Audience, Observer};
use crate::openapi::{Description, Setup};
use crate::policy::Policy;
use crate::runtime::Runtime;
use crate::store::{ClaimStore, VersionStore};

/// A layer that makes lost updates impossible.
///
/// It comes in two modes. [`ConditionalLayer::new`] takes a [`ClaimStore`] and guards handlers that
/// know nothing of versions; [`ConditionalLayer::handler`] leaves the comparison to the handler,
/// which does it in its own database, and takes care of everything around it.
///
/// Put it inside authentication and routing, on routes whose representation changes only through
/// writes to the same path. In axum that is `MethodRouter::route_layer`: all other layers of axum
/// also stand around its own 405 and 404, so that a write without `If-Match` by a method that the
/// route does not know, or to a path that nobody knows, would be refused for want of `If-Match`.
///
/// ```
/// use tower::{Layer, service_fn};
/// use tower_conditional::{ConditionalLayer, MemoryStore, Policy};
/// # use std::convert::Infallible;
/// # use http::{Request, Response};
/// # use tower_conditional::RequestBody;
///
/// # async fn handler(_: Request<RequestBody<String>>) -> Result<Response<String>, Infallible> {
/// #     Ok(Response::default())
/// # }
/// # #[cfg(feature = "tokio")]
/// let service = ConditionalLayer::new(MemoryStore::new())
///     .policy(Policy::aip154())
///     .layer(service_fn(handler));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ConditionalLayer {
    config: Arc<Config>,
}

impl ConditionalLayer {
    /// Guards handlers that know nothing of versions, on the Tokio runtime that serves them. Writes
    /// run detached: a client that leaves does not stop one half way.
    #[cfg(feature = "tokio")]
    pub fn new(store: impl ClaimStore) -> Self {
        Self::with_runtime(store, Runtime::tokio())
    }

    /// The same, on another runtime.
    pub fn with_runtime(store: impl ClaimStore, runtime: Runtime) -> Self {
        Self::of(Mode::Claim(Arc::new(store)), runtime)
    }

    /// Tells the handler what the client expects, and leaves it to the handler to compare: see
    /// [`report`](crate::report). Reads are evaluated after the handler, from its own tag.
    pub fn handler() -> Self {
        Self::of(Mode::Handler(None), Runtime::clock())
    }

    /// The same, with a store that knows the handler's versions: reads can be answered before the
    /// handler, and [`Policy::existence_first`] works. How long the store may take
    /// ([`Policy::store_timeout`]) is told by the Tokio runtime that serves the requests (feature
    /// `tokio`); elsewhere it has no limit.
    pub fn handler_with(store: impl VersionStore) -> Self {
        Self::of(Mode::Handler(Some(Arc::new(store))), Runtime::clock())
    }

    fn of(mode: Mode, runtime: Runtime) -> Self {
        Self {
            config: Arc::new(Config {
                mode,
                runtime,
                policy: PolicyOf::Always(Arc::new(Policy::default())),
                key: None,
                reader: None,
                audience: Audience::default(),
            }),
        }
    }

    /// What the route does.
    ///
    /// Defaults to [`Policy::rfc9110`].
    pub fn policy(self, policy: Policy) -> Self {
        self.with(|config| config.policy = PolicyOf::Always(Arc::new(policy)))
    }

    /// What each request's route does, for a layer that stands around many. A request without a
    /// policy passes through untouched.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tower_conditional::{ConditionalLayer, Policy};
    ///
    /// let orders = Arc::new(Policy::aip154());
    /// let layer = ConditionalLayer::handler().policy_for(move |parts| {
    ///     parts.uri.path().starts_with("/orders/").then(|| Arc::clone(&orders))
    /// });
    /// # let _ = layer;
    /// ```
    pub fn policy_for(
        self,
        policy: impl Fn(&Parts) -> Option<Arc<Policy>> + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| config.policy = PolicyOf::Request(Arc::new(policy)))
    }

    /// Which resource a request is about. A request without a key passes through untouched.
    ///
    /// Defaults to [`ResourceKey::from_path`].
    ///
    /// ```
    /// use tower_conditional::{ConditionalLayer, ResourceKey};
    ///
    /// let layer = ConditionalLayer::handler().key(|parts| {
    ///     let tenant = parts.headers.get("x-tenant")?.to_str().ok()?;
    ///     Some(ResourceKey::from_path(parts).scoped(tenant))
    /// });
    /// # let _ = layer;
    /// ```
    pub fn key(self, key: impl Fn(&Parts) -> Option<ResourceKey> + Send + Sync + 'static) -> Self {
        self.with(|config| config.key = Some(Arc::new(key)))
    }

    /// Where to find out whether a resource exists of which the store was never told.
    ///
    /// Defaults to none: then a write whose conditions depend on that (`If-None-Match: *`, or
    /// `If-Match: *` by a method that can create) is 500, type `existence-unknown`, until the
    /// resource was written once. A [`VersionStore`] that always knows needs no reader.
    pub fn reader(self, reader: Reader) -> Self {
        self.with(|config| config.reader = Some(reader))
    }

    /// What this layer adds to the description of an operation by `method`; see
    /// [`openapi`](crate::openapi) for an example. None if each request has a policy of its own:
    /// describe that.
    #[must_use]
    pub fn describe(&self, method: &Method) -> Option<Description> {
        let setup = Setup {
            claims: matches!(self.config.mode, Mode::Claim(_)),
            handler_compares: matches!(self.config.mode, Mode::Handler(_)),
            has_store: self.config.versions().is_some(),
        };
        Some(self.config.policy.always()?.describe_in(method, setup))
    }

    /// Who hears of every request that this layer decided; see [`observe`](crate::observe).
    ///
    /// Defaults to nobody, which costs nothing.
    pub fn observer(self, observer: impl Observer) -> Self {
        self.with(|config| config.audience.set_observer(observer))
    }

    /// Which route a request came by, for the observer: a name of which there are few, since
    /// whoever counts does so for each of them apart.
    ///
    /// Defaults to the path that axum has matched, such as `/orders/{id}` (feature `axum`), and to
    /// none elsewhere.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tower_conditional::ConditionalLayer;
    ///
    /// let orders: Arc<str> = "orders".into();
    /// let layer = ConditionalLayer::handler().route(move |_| Some(Arc::clone(&orders)));
    /// # let _ = layer;
    /// ```
    pub fn route(self, route: impl Fn(&Parts) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        self.with(|config| config.audience.set_route(route))
    }

    /// On whose behalf a request is made, for the observer.
    ///
    /// Defaults to nobody.
    pub fn actor(self, actor: impl Fn(&Parts) -> Option<Arc<str>> + Send + Sync + 'static) -> Self {
        self.with(|config| config.audience.set_actor(actor))
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<S> Layer<S> for ConditionalLayer {
    type Service = Conditional<S>;

    fn layer(&self, inner: S) -> Conditional<S> {
        Conditional::new(inner, Arc::clone(&self.config))
    }
}

/// Who compares versions.
#[derive(Clone)]
pub(super) enum Mode {
    Claim(Arc<dyn ClaimStore>),
    Handler(Option<Arc<dyn VersionStore>>),
}

/// Which policy a request is under.
pub(crate) enum PolicyOf<P> {
    Always(Arc<P>),
    Request(OfRequest<Arc<P>>),
}

impl<P> PolicyOf<P> {
    /// The one that all requests are under.
    pub(crate) fn always(&self) -> Option<&P> {
        match self {
            Self::Always(policy) => Some(policy),
            Self::Request(_) => None,
        }
    }

    pub(crate) fn of(&self, parts: &Parts) -> Option<Arc<P>> {
        match self {
            Self::Always(policy) => Some(Arc::clone(policy)),
            Self::Request(policy) => policy(parts),
        }
    }
}

// Not derived: a policy need not be `Clone`.
impl<P> Clone for PolicyOf<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Always(policy) => Self::Always(Arc::clone(policy)),
            Self::Request(policy) => Self::Request(Arc::clone(policy)),
        }
    }
}

pub(crate) type OfRequest<T> = Arc<dyn Fn(&Parts) -> Option<T> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Config {
    pub(super) mode: Mode,
    pub(super) runtime: Runtime,
    policy: PolicyOf<Policy>,
    key: Option<OfRequest<ResourceKey>>,
    pub(super) reader: Option<Reader>,
    pub(super) audience: Audience,
}

impl Mode {
    pub(super) const fn kind(&self) -> observe::Mode {
        match self {
            Self::Claim(_) => observe::Mode::Claim,
            Self::Handler(_) => observe::Mode::Handler,
        }
    }
}

impl Config {
    pub(super) fn policy(&self, parts: &Parts) -> Option<Arc<Policy>> {
        self.policy.of(parts)
    }

    pub(super) fn key(&self, parts: &Parts) -> Option<ResourceKey> {
        match &self.key {
            Some(key) => key(parts),
            None => Some(ResourceKey::from_path(parts)),
        }
    }

    /// The store that knows what is current, if there is one.
    pub(super) fn versions(&self) -> Option<&dyn VersionStore> {
        match &self.mode {
            Mode::Claim(store) => Some(&**store),
            Mode::Handler(store) => store.as_deref(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("mode", &self.mode.kind())
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}
