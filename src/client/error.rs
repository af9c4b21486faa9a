//! Why an update ended without success.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::entity_tag::EntityTag;
use crate::merge::Conflict;

type BoxError = Box<dyn Error + Send + Sync>;

/// Why [`update`](super::Client::update) and its like ended without success.
///
/// Whether the write may have happened is the first thing to know: only after
/// [`ErrorKind::InDoubt`].
///
/// ```
/// use tower_conditional::client::{ClientError, ErrorKind};
///
/// fn advice(error: &ClientError) -> &'static str {
///     match error.kind() {
///         ErrorKind::Busy | ErrorKind::Stale | ErrorKind::Unreachable => "Try again later.",
///         ErrorKind::InDoubt => "Look before you try again: it may have happened.",
///         ErrorKind::Unmerged => "Somebody has changed the same fields: choose.",
///         _ => "Trying again will not help.",
///     }
/// }
/// # let _ = advice;
/// ```
#[derive(Debug)]
pub struct ClientError(Box<Facts>);

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) kind: ErrorKind,
    pub(super) status: Option<StatusCode>,
    pub(super) type_name: String,
    pub(super) detail: String,
    pub(super) tag: Option<EntityTag>,
    pub(super) retry_after: Option<Duration>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) requests: u32,
    pub(super) source: Option<BoxError>,
}

impl ClientError {
    pub(super) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Facts {
            kind,
            status: None,
            type_name: String::new(),
            detail: String::new(),
            tag: None,
            retry_after: None,
            conflicts: Vec::new(),
            requests: 0,
            source: None,
        }))
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.0);
        self
    }

    /// What kind of end it was.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The status of the last answer, if it was one that ended it.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The last part of the problem type in that answer; may be empty.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.0.type_name
    }

    /// What that answer said for people; may be empty.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The tag that was refused, where tags are the trouble.
    #[must_use]
    pub const fn tag(&self) -> Option<&EntityTag> {
        self.0.tag.as_ref()
    }

    /// How long the server asked to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The places that both edits have changed, in different ways: what is left after a merge, for a
    /// person to decide. Empty unless the kind is [`ErrorKind::Unmerged`].
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.0.conflicts
    }

    /// How many requests were sent.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.0.requests
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            ErrorKind::Busy => "the server is busy, the write has not happened",
            ErrorKind::InDoubt => "the write may have happened or not",
            ErrorKind::MarkedTag => "a proxy marks the tag, and the server refuses it as marked",
            ErrorKind::Missing => "If-Match was sent and did not arrive",
            ErrorKind::NoTag => "the resource has no entity-tag to base a write on",
            ErrorKind::NotFound => "there is no such resource",
            ErrorKind::Refused => "the server refuses",
            ErrorKind::RefusedTwice => "the server refuses the tag that it gives",
            ErrorKind::Stale => "others were faster each time, the write has not happened",
            ErrorKind::Unmerged => "somebody else has changed the same fields",
            ErrorKind::Unreachable => "the resource cannot be read, nothing was written",
            ErrorKind::Unreadable => "the answer is no JSON, or too long",
        })?;
        if let Some(tag) = &self.0.tag {
            write!(f, " ({tag})")?;
        }
        for (at, conflict) in self.0.conflicts.iter().enumerate() {
            let before = if at == 0 { ": " } else { ", " };
            let pointer = match &*conflict.pointer {
                "" => "the whole document",
                pointer => pointer,
            };
            write!(f, "{before}{pointer}")?;
        }
        if let Some(status) = self.0.status {
            write!(f, ": {status}")?;
        }
        if !self.0.detail.is_empty() {
            write!(f, ": {}", self.0.detail)?;
        }
        write!(f, ", after {} request(s)", self.0.requests)
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

/// The kinds of [`ClientError`]; see there for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server had no time for it, up to the last request or for longer than the longest wait.
    /// Nothing was written.
    Busy,
    /// A write got no answer, or one that leaves it open whether it happened, and what is there now
    /// does not tell.
    InDoubt,
    /// The tag of the resource is weak or ends in the name of a content coding, a proxy's doing, and
    /// the server refuses it as it is. It would refuse it for ever.
    MarkedTag,
    /// The server asks for the `If-Match` that it was sent: something on the way removes it.
    /// Nothing was written.
    Missing,
    /// The resource comes without an entity-tag, each time that it is read.
    NoTag,
    /// There is no such resource, or no longer. Nothing was written.
    NotFound,
    /// The server refuses for a reason of its own; see [`ClientError::status`]. Nothing was written.
    Refused,
    /// The server has refused the same tag twice, and says that it is current.
    RefusedTwice,
    /// Each write was refused because somebody else was faster, up to the last request. Nothing was
    /// written.
    Stale,
    /// The current resource contradicts the edit; see [`ClientError::conflicts`]. Nothing was
    /// written.
    Unmerged,
    /// The resource could not be read. Nothing was written.
    Unreachable,
    /// The resource is no JSON, or longer than the
    /// [content limit](super::ClientLayer::content_limit). Nothing was written.
    Unreadable,
}
