//! What the layer and a handler tell each other.
//!
//! On the way in, a handler that compares versions itself finds [`Expected`] in the request's
//! extensions. On the way out, it puts a [`Report`] into the response's extensions: what it did,
//! and to which version. A handler that says nothing is judged by its status.
//!
//! ```
//! use http::{Request, Response};
//! use tower_conditional::report::{Expected, Report};
//! use tower_conditional::store::{Current, Version};
//!
//! fn save<B>(request: Request<B>) -> Response<String> {
//!     let expected = request.extensions().get::<Expected>().cloned().unwrap_or_default();
//!     // UPDATE orders SET …, version = version + 1 WHERE id = $1 AND version = ANY($2) RETURNING version
//!     let _ = expected.versions();
//!     let mut response = Response::new("saved".to_owned());
//!     response.extensions_mut().insert(Report::Wrote(Current::new(Version::from(6))));
//!     response
//! }
//! # save(Request::new(()));
//! ```

use bytes::Bytes;

use crate::http_date::HttpDate;
use crate::key::ResourceKey;
use crate::store::{Condition, Current, State, Version};

/// What the request expects of the current version; in the request's extensions in handler mode.
///
/// See the [module docs](crate::report) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expected {
    /// `If-Match`.
    pub if_match: Condition,
    /// `If-None-Match`.
    pub if_none_match: Condition,
    /// `If-Unmodified-Since`, where there is no `If-Match`.
    pub unmodified_since: Option<HttpDate>,
}

impl Expected {
    /// The versions that `If-Match` names; one of them has to be current. `None` if any will do:
    /// there is no `If-Match`, or it is `*`.
    #[must_use]
    pub fn versions(&self) -> Option<&[Version]> {
        match &self.if_match {
            Condition::AnyOf(versions) => Some(versions),
            _ => None,
        }
    }

    /// The same, for a column of integers: `WHERE … AND ($2 IS NULL OR version = ANY($2))`. What
    /// is no integer names no version, and an empty list matches nothing.
    #[must_use]
    pub fn numbers(&self) -> Option<Vec<i64>> {
        let versions = self.versions()?.iter();
        Some(versions.filter_map(Version::to_i64).collect())
    }

    /// Does the request ask for nothing?
    #[must_use]
    pub fn is_unconditional(&self) -> bool {
        *self == Self::default()
    }

    /// Does everything that the request expects hold of `state`? Call it inside the transaction
    /// that writes, on the row that it has locked.
    #[must_use]
    pub fn holds(&self, state: &State) -> bool {
        let unmodified = match (self.unmodified_since, state.current()) {
            (Some(date), Some(current)) => current
                .last_modified
                .and_then(HttpDate::from_system_time)
                .is_none_or(|modified| modified <= date),
            _ => true,
        };
        unmodified && self.if_match.may_hold(state) && self.if_none_match.may_hold(state)
    }
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            if_match: Condition::Unconditional,
            if_none_match: Condition::Unconditional,
            unmodified_since: None,
        }
    }
}

/// What a handler did; in the response's extensions.
///
/// See the [module docs](crate::report) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// It compared, and the version that the client expects is not current. Nothing was changed.
    /// The layer answers in the handler's place, exactly as if it had seen the conflict itself.
    Conflict {
        /// The current representation, read in one go with its version.
        current: Option<Representation>,
    },
    /// It created another resource than the one that the request was sent to: a `POST` to a
    /// collection. The answer gets the tag of the new one.
    Created {
        /// The key that requests for the new resource will have.
        key: ResourceKey,
        /// Its first version.
        current: Current,
    },
    /// It deleted the resource.
    Deleted,
    /// It read this version, together with the representation that it answers with.
    Read(Current),
    /// It left the resource as it was: no new version.
    Unchanged,
    /// It made this version.
    Wrote(Current),
}

/// In the extensions of an answer that is to carry no tag: that of a `PUT`, say, whose content the
/// server has changed on the way in ([RFC 9110, section 9.3.4]).
///
/// ```
/// use http::Response;
/// use tower_conditional::report::Untagged;
///
/// let mut response = Response::new("normalised");
/// response.extensions_mut().insert(Untagged);
/// ```
///
/// [RFC 9110, section 9.3.4]: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.4
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untagged;

/// In the extensions of an answer whose tag is made of its bytes, as that of a
/// `DigestLayer` (feature `digest`) is: what a proxy makes of such a tag never names the same bytes, so
/// [`Policy::tolerant`](crate::Policy::tolerant) does not apply to it.
///
/// ```
/// use http::{Response, header::ETAG};
/// use tower_conditional::report::ByteTag;
///
/// let mut response = Response::new("abc");
/// response.headers_mut().insert(ETAG, "\"ba7816bf\"".parse()?);
/// response.extensions_mut().insert(ByteTag);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteTag;

/// A representation and the version that it was read together with.
///
/// ```
/// use tower_conditional::report::Representation;
/// use tower_conditional::store::{Current, Version};
///
/// let current = Representation::json(Current::new(Version::from(7)), r#"{"total":12}"#);
/// assert_eq!(current.body(), r#"{"total":12}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representation {
    current: Current,
    body: Bytes,
}

impl Representation {
    /// A JSON representation. It goes into conflict documents as it is, unparsed.
    pub fn json(current: Current, body: impl Into<Bytes>) -> Self {
        Self {
            current,
            body: body.into(),
        }
    }

    pub(crate) fn into_parts(self) -> (Current, Bytes) {
        (self.current, self.body)
    }

    /// Its version.
    #[must_use]
    pub const fn current(&self) -> &Current {
        &self.current
    }

    /// Its bytes.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}
