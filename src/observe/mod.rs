//! What happened to each request, told to whoever counts or logs.
//!
//! An [`Observer`] hears of every request that a layer decided, after the fact: which resource,
//! from which version to which, with what status and for what reason. It is called in the middle
//! of answering, so it must not block. What gets no answer is no event: a client that left before
//! its write had its turn, a service that failed with an error of its own, a request that passes
//! through. A write whose claims are settled at the end of the body is told then. For an audit
//! *trail*, write a row in the transaction of the change itself: an observer hears nothing after a
//! crash.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use tower_conditional::ConditionalLayer;
//! use tower_conditional::observe::Event;
//! use tower_conditional::problem::Reason;
//!
//! let conflicts = Arc::new(AtomicU64::new(0));
//! let counted = Arc::clone(&conflicts);
//! let layer = ConditionalLayer::handler().observer(move |event: &Event<'_>| {
//!     if event.reason == Some(Reason::Stale) {
//!         counted.fetch_add(1, Ordering::Relaxed);
//!     }
//! });
//! # let _ = layer;
//! ```
//!
//! All three layers have observers: [`ConditionalLayer`](crate::ConditionalLayer::observer),
//! [`IdempotencyLayer`](crate::IdempotencyLayer::observer) and
//! [`SequenceLayer`](crate::SequenceLayer::observer). One within the other, each tells of what it
//! decided itself: a replay is one event, a request that runs under a key and a condition is two.
//! They say a lot of each request, and so whatever is made of it can say little: the guide
//! [`operations`](crate::guide::operations) has the names that `Traced` (feature `tracing`) and
//! `Metered` (feature `metrics`) use.

mod audience;
#[cfg(feature = "metrics")]
mod metered;
mod route;
#[cfg(feature = "tracing")]
mod traced;

use std::time::Duration;

use http::{Method, StatusCode};

pub(crate) use self::audience::{Audience, Subject};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use self::metered::Metered;
pub(crate) use self::route::Route;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use self::traced::Traced;
use crate::key::ResourceKey;
use crate::problem::Reason;
use crate::store::{StoreError, Version};

/// Hears of every request that a layer decided.
///
/// See the [module docs](crate::observe) for an example; any closure over an [`Event`] is one, and
/// so is a pair of them.
pub trait Observer: Send + Sync + 'static {
    /// The request has been answered. Must neither block nor panic.
    fn event(&self, event: &Event<'_>);

    /// A store did not do what it was asked. How the request is answered is told apart: a write is
    /// refused, a plain read goes on. Must neither block nor panic.
    ///
    /// Does nothing by itself.
    fn store_failed(&self, failure: &StoreFailure<'_>) {
        let _ = failure;
    }
}

impl<F> Observer for F
where
    F: Fn(&Event<'_>) + Send + Sync + 'static,
{
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    fn event(&self, event: &Event<'_>) {
        self.0.event(event);
        self.1.event(event);
    }

    fn store_failed(&self, failure: &StoreFailure<'_>) {
        self.0.store_failed(failure);
        self.1.store_failed(failure);
    }
}

/// One request that a layer decided.
///
/// See the [module docs](crate::observe) for an example.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The resource.
    pub key: &'a ResourceKey,
    /// What was to be done with it.
    pub method: &'a Method,
    /// Which route it came by, under a name of which there are few: what
    /// [`ConditionalLayer::route`](crate::ConditionalLayer::route) made of the request, else the
    /// path that axum has matched (feature `axum`).
    pub route: Option<&'a str>,
    /// Which layer tells, and on whom it relies.
    pub mode: Mode,
    /// The version that was current when the conditions were evaluated, if the layer knows.
    pub base: Option<&'a Version>,
    /// The version that this write made, if it made one and the layer knows.
    pub new: Option<&'a Version>,
    /// On whose behalf: what [`ConditionalLayer::actor`](crate::ConditionalLayer::actor) made of
    /// the request.
    pub actor: Option<&'a str>,
    /// The status of the answer.
    pub status: StatusCode,
    /// Why the layer answered in the handler's place; `None` if it did not, and of a replay.
    pub reason: Option<Reason>,
    /// Was it made before under its idempotency key, and answered as it was then?
    pub replayed: bool,
    /// Did the write lack an `If-Match` that the policy only warns of?
    pub unprotected: bool,
    /// How long it waited for other writes of the resource.
    pub waited: Duration,
}

impl Event<'_> {
    /// What became of the request, in one word of a fixed list: `handled` if its handler has
    /// answered, `replayed`, or the [name](Reason::name) of the reason.
    ///
    /// A handler that answers 404 or 500 has handled it: the status says so.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self.reason {
            Some(reason) => reason.name(),
            None if self.replayed => "replayed",
            None => "handled",
        }
    }
}

/// Which layer tells, and on whom it relies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The conditional layer; the store compares, under an exclusive claim.
    Claim,
    /// The conditional layer; the handler compares, in the step that writes.
    Handler,
    /// The idempotency layer.
    Idempotency,
    /// The sequence layer.
    Sequence,
}

impl Mode {
    /// In lower case, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Handler => "handler",
            Self::Idempotency => "idempotency",
            Self::Sequence => "sequence",
        }
    }
}

/// A store that did not do what it was asked.
///
/// ```
/// use tower_conditional::observe::{Event, Observer, StoreFailure};
///
/// struct Log;
///
/// impl Observer for Log {
///     fn event(&self, _: &Event<'_>) {}
///
///     fn store_failed(&self, failure: &StoreFailure<'_>) {
///         eprintln!("{} of {}: {}", failure.step.name(), failure.key, failure.error);
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StoreFailure<'a> {
    /// The resource.
    pub key: &'a ResourceKey,
    /// Which layer tells.
    pub mode: Mode,
    /// What the store was asked.
    pub step: StoreStep,
    /// Why it failed, with its sources.
    pub error: &'a StoreError,
}

/// What a store can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreStep {
    /// To begin an attempt under an idempotency key.
    Begin,
    /// To claim a resource.
    Claim,
    /// Which version is current.
    Current,
    /// To settle a claim, or an attempt.
    Settle,
}

impl StoreStep {
    /// In lower case, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Claim => "claim",
            Self::Current => "current",
            Self::Settle => "settle",
        }
    }
}
