//! Requests in the log, by the crate `tracing`.

use std::error::Error;
use std::fmt;

use tracing::{Level, event};

use super::{Event, Observer, StoreFailure};
use crate::problem::Reason;

/// An observer that makes an event of the crate `tracing` of each request that a layer decided.
///
/// The guide [`operations`](crate::guide::operations) has the fields and the levels. A conflict is
/// what the layer is there for, and never more than `info`. Without a subscriber an event costs one
/// comparison.
///
/// ```
/// use tower_conditional::ConditionalLayer;
/// use tower_conditional::observe::Traced;
///
/// let layer = ConditionalLayer::handler().observer(Traced);
/// # let _ = layer;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Traced;

/// What all events have in common: `tracing` wants the level at compile time.
macro_rules! decided {
    ($level:expr, $event:expr) => {
        event!(
            target: "tower_conditional",
            $level,
            outcome = $event.outcome(),
            route = $event.route,
            method = $event.method.as_str(),
            mode = $event.mode.name(),
            status = $event.status.as_u16(),
            key = $event.key.as_str(),
            base = $event.base.map(display),
            new = $event.new.map(display),
            actor = $event.actor,
            unprotected = $event.unprotected,
            waited_ms = u64::try_from($event.waited.as_millis()).unwrap_or(u64::MAX),
            "conditional request decided"
        )
    };
}

impl Observer for Traced {
    fn event(&self, event: &Event<'_>) {
        match level(event) {
            Level::ERROR => decided!(Level::ERROR, event),
            Level::WARN => decided!(Level::WARN, event),
            Level::INFO => decided!(Level::INFO, event),
            _ => decided!(Level::DEBUG, event),
        }
    }

    fn store_failed(&self, failure: &StoreFailure<'_>) {
        let error: &(dyn Error + 'static) = failure.error;
        event!(
            target: "tower_conditional",
            Level::WARN,
            step = failure.step.name(),
            mode = failure.mode.name(),
            key = failure.key.as_str(),
            error = %Chain(error),
            "version store failed"
        );
    }
}

/// How loud: clients' affairs are `info`, what the service owes them is `warn`, and what somebody
/// has to mend in it is `error`.
const fn level(event: &Event<'_>) -> Level {
    match event.reason {
        None | Some(Reason::NotModified) if event.unprotected => Level::INFO,
        None | Some(Reason::NotModified) => Level::DEBUG,
        Some(Reason::ExistenceUnknown | Reason::NotEnforced) => Level::ERROR,
        Some(
            Reason::Busy
            | Reason::EarlierOutcomeUnknown
            | Reason::OutcomeUnknown
            | Reason::StoreUnavailable,
        ) => Level::WARN,
        Some(_) => Level::INFO,
    }
}

/// An error with all of its sources.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut error = self.0;
        while let Some(source) = error.source() {
            write!(f, ": {source}")?;
            error = source;
        }
        Ok(())
    }
}
