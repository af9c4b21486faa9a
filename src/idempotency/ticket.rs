//! Exactly once: the record of a request, for the handler's own transaction.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::store::Attempt;

/// The attempt that a handler is running, in the extensions of its request.
///
/// A layer can only store the answer after the handler has committed; a crash in between leaves
/// the key in doubt. A handler that writes the record itself, in the transaction that writes its
/// data, leaves no such gap: either both are there or neither is.
///
/// It updates the row of the attempt's [key](Attempt::key) where the
/// [token](Attempt::token) is the attempt's, to done; rolls back if there is no such row, because
/// then somebody else has taken the key over; commits; and says so with
/// [`completed`](Self::completed). Stores that keep their records in a database come with a
/// function for that. What never ran then is certain, and such a route may
/// [rerun](super::IdempotencyPolicy::in_doubt) what is in doubt.
///
/// ```
/// use http::Request;
/// use tower_conditional::idempotency::Ticket;
///
/// fn handle<B>(request: &Request<B>) {
///     // Without a key there is no ticket.
///     if let Some(ticket) = request.extensions().get::<Ticket>() {
///         // UPDATE idempotency SET response = $4 WHERE scope = $1 AND key = $2 AND token = $3
///         let attempt = ticket.attempt();
///         let _ = (attempt.key().scope(), attempt.key().key(), attempt.token());
///         // … and, after COMMIT:
///         ticket.completed();
///     }
/// }
/// # handle(&Request::new(()));
/// ```
#[derive(Clone)]
pub struct Ticket {
    attempt: Attempt,
    completed: Arc<AtomicBool>,
}

impl Ticket {
    pub(super) fn new(attempt: Attempt) -> Self {
        Self {
            attempt,
            completed: Arc::default(),
        }
    }

    /// The attempt.
    pub const fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// Tells the layer that the record was committed with the data. The layer then keeps the
    /// answer, whatever its status is, unless it is a 4xx or 5xx: the one in the record stays.
    pub fn completed(&self) {
        self.completed.store(true, Ordering::Release);
    }

    pub(super) fn is_completed(&self) -> bool {
        self.completed.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("attempt", &self.attempt)
            .field("completed", &self.is_completed())
            .finish()
    }
}
