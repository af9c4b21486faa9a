//! What happened to each request, told to whoever counts or logs.
//!
//! An [`Observer`] hears of every request that the layer decided, after the fact: which resource,
//! from which version to which, with what status and for what reason. It is called in the middle
//! of answering, so it must not block. What gets no answer is no event: a client that left before
//! its write had its turn, a service that failed with an error of its own, a request that passes
//! through. A write whose claims are settled at the end of the body is told then. For an audit *trail*, write a row in the transaction of the
//! change itself: an observer hears nothing after a crash.
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

use std::time::Duration;

use http::{Method, StatusCode};

use crate::key::ResourceKey;
use crate::problem::Reason;
use crate::store::Version;

/// Hears of every request that the layer decided.
///
/// See the [module docs](crate::observe) for an example; any closure over an [`Event`] is one.
pub trait Observer: Send + Sync + 'static {
    /// The request has been answered. Must neither block nor panic.
    fn event(&self, event: &Event<'_>);
}

impl<F> Observer for F
where
    F: Fn(&Event<'_>) + Send + Sync + 'static,
{
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// One request that the layer decided.
///
/// See the [module docs](crate::observe) for an example.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The resource.
    pub key: &'a ResourceKey,
    /// What was to be done with it.
    pub method: &'a Method,
    /// Who compares versions on this route.
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
    /// Why the layer answered in the handler's place; `None` if it did not.
    pub reason: Option<Reason>,
    /// Did the write lack an `If-Match` that the policy only warns of?
    pub unprotected: bool,
    /// How long it waited for other writes of the resource.
    pub waited: Duration,
}

/// Who compares versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The store, under an exclusive claim.
    Claim,
    /// The handler, in the step that writes.
    Handler,
}
