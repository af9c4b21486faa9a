//! Requests in numbers, by the crate `metrics`.

use std::sync::Arc;

use http::Method;
use metrics::{SharedString, counter, describe_counter, describe_histogram, histogram};

use super::{Event, Mode, Observer, StoreFailure};

const REQUESTS: &str = "conditional_requests_total";
const STORE_FAILURES: &str = "conditional_store_failures_total";
const UNPROTECTED: &str = "conditional_unprotected_writes_total";
const WAIT: &str = "conditional_wait_seconds";

/// An observer that counts requests with the crate `metrics`.
///
/// The guide [`operations`](crate::guide::operations) has the names and the labels. All labels are
/// of fixed lists but for the route, and of routes there are as many as the application names.
///
/// ```
/// use tower_conditional::ConditionalLayer;
/// use tower_conditional::observe::Metered;
///
/// let layer = ConditionalLayer::handler().observer(Metered::new());
/// # let _ = layer;
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct Metered(());

impl Metered {
    /// Describes the metrics to the recorder that is installed, if there is one by now.
    pub fn new() -> Self {
        describe_counter!(REQUESTS, "Requests decided, by outcome");
        describe_counter!(
            UNPROTECTED,
            "Writes without If-Match that a stricter policy would have refused"
        );
        describe_counter!(STORE_FAILURES, "Steps that a store failed to do");
        describe_histogram!(
            WAIT,
            metrics::Unit::Seconds,
            "How long writes waited for their turn"
        );
        Self(())
    }
}

impl Observer for Metered {
    fn event(&self, event: &Event<'_>) {
        let route = route(event);
        let (method, mode) = (method(event.method), event.mode.name());
        let outcome = event.outcome();
        counter!(
            REQUESTS,
            "route" => route.clone(), "method" => method, "mode" => mode, "outcome" => outcome
        )
        .increment(1);
        if event.unprotected {
            counter!(
                UNPROTECTED,
                "route" => route.clone(), "method" => method, "mode" => mode
            )
            .increment(1);
        }
        // Nobody waits in the handler mode, and a read nowhere.
        if event.mode != Mode::Handler && !event.method.is_safe() {
            histogram!(WAIT, "route" => route, "mode" => mode).record(event.waited);
        }
    }

    fn store_failed(&self, failure: &StoreFailure<'_>) {
        let (mode, step) = (failure.mode.name(), failure.step.name());
        counter!(STORE_FAILURES, "mode" => mode, "step" => step).increment(1);
    }
}

fn route(event: &Event<'_>) -> SharedString {
    match event.route {
        Some(route) => SharedString::from(Arc::<str>::from(route)),
        None => SharedString::const_str("none"),
    }
}

/// Clients may invent methods.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}
