//! What became of an update.

use bytes::Bytes;
use http::Response;

use crate::entity_tag::EntityTag;

/// How a successful update came about.
///
/// See [`Updated`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The write was sent, and acknowledged.
    Applied,
    /// The write was sent and not acknowledged, and what is there already says what it should:
    /// through this write, or through one that says the same.
    Found,
    /// Nothing was sent: what is there already says what it should.
    Unchanged,
}

/// A successful update.
///
/// ```
/// use tower_conditional::client::{Outcome, Updated};
///
/// fn summary(updated: &Updated) -> String {
///     match updated.outcome() {
///         Outcome::Unchanged => "nothing to do".to_owned(),
///         _ => format!("done, after {} conflict(s)", updated.conflicts()),
///     }
/// }
/// # let _ = summary;
/// ```
#[derive(Debug, Clone)]
pub struct Updated {
    pub(super) outcome: Outcome,
    pub(super) tag: Option<EntityTag>,
    pub(super) answer: Option<Response<Bytes>>,
    pub(super) conflicts: u32,
    pub(super) requests: u32,
}

impl Updated {
    /// How it came about.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The tag of the resource as it is now, as far as the last answer says.
    #[must_use]
    pub const fn tag(&self) -> Option<&EntityTag> {
        self.tag.as_ref()
    }

    /// The answer to the write, if it was [applied](Outcome::Applied). Its content is empty if it
    /// did not arrive whole, or is longer than the
    /// [content limit](super::ClientLayer::content_limit).
    #[must_use]
    pub const fn answer(&self) -> Option<&Response<Bytes>> {
        self.answer.as_ref()
    }

    /// How often the write was refused and started again from what was there by then.
    #[must_use]
    pub const fn conflicts(&self) -> u32 {
        self.conflicts
    }

    /// How many requests it took, reads included.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }
}
