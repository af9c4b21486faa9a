//! The decision: conditions of the request × state of the resource × rules of the route.
//!
//! One pure function, without I/O, clock or async, in the order of [RFC 9110, section 13.2.2].
//! Everything else in this crate exists to feed [`decide`] with a state that is true at the moment
//! of the write, and to do what it says.
//!
//! ```
//! use http::{HeaderMap, HeaderValue, header::IF_MATCH};
//! use tower_conditional::EntityTag;
//! use tower_conditional::decision::{Access, Decision, Refusal, Rules, Selected, Validators, decide};
//! use tower_conditional::precondition::Preconditions;
//!
//! let mut headers = HeaderMap::new();
//! headers.insert(IF_MATCH, HeaderValue::from_static(r#""5""#));
//! let current = EntityTag::strong("7")?;
//!
//! let decision = decide(
//!     Access::Write,
//!     &Preconditions::from_headers(&headers),
//!     Selected::Present(Validators::of(&current)),
//!     &Rules::default(),
//!     None,
//! );
//! assert_eq!(decision, Decision::Refuse(Refusal::IfMatch));
//! # Ok::<(), tower_conditional::EntityTagError>(())
//! ```
//!
//! [RFC 9110, section 13.2.2]: https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2

use http::Method;

use crate::entity_tag::{EntityTag, EntityTagError, EntityTagRef};
use crate::http_date::HttpDate;
use crate::precondition::{IfRange, Limits, ListMatch, Preconditions, TagField};

/// What a method does, as far as conditions are concerned.
///
/// ```
/// use http::Method;
/// use tower_conditional::decision::Access;
///
/// assert_eq!(Access::of(&Method::HEAD), Access::Read);
/// assert_eq!(Access::of(&Method::OPTIONS), Access::Unconditional);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `GET` and `HEAD`.
    Read,
    /// `OPTIONS`, `TRACE` and `CONNECT`, which ignore conditions ([RFC 9110, section 13.2.1]), and
    /// `QUERY`, whose answer depends on more than the resource that it names.
    ///
    /// [RFC 9110, section 13.2.1]: https://www.rfc-editor.org/rfc/rfc9110#section-13.2.1
    Unconditional,
    /// Everything else, methods that we do not know too: they may change the resource.
    Write,
}

impl Access {
    /// The access of `method`.
    #[must_use]
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            Method::DELETE | Method::PATCH | Method::POST | Method::PUT => Self::Write,
            Method::CONNECT | Method::OPTIONS | Method::TRACE => Self::Unconditional,
            _ if method.as_str() == "QUERY" => Self::Unconditional,
            _ => Self::Write,
        }
    }
}

/// The current representation of the resource, as far as it is known.
///
/// See the [module docs](crate::decision) for an example.
#[derive(Debug, Clone, Copy)]
pub enum Selected<'a> {
    /// There is none.
    Absent,
    /// There is one.
    Present(Validators<'a>),
    /// Nobody has said yet whether there is one; if so, these are its validators.
    Unseen(Validators<'a>),
}

impl<'a> Selected<'a> {
    /// The validators of the representation that there is, or may be.
    #[must_use]
    pub const fn validators(self) -> Option<Validators<'a>> {
        match self {
            Self::Absent => None,
            Self::Present(validators) | Self::Unseen(validators) => Some(validators),
        }
    }
}

/// What tells the current representation from others.
///
/// See the [module docs](crate::decision) for an example.
#[derive(Debug, Clone, Copy, Default)]
pub struct Validators<'a> {
    /// Its entity-tag; a representation may have none.
    pub tag: Option<EntityTagRef<'a>>,
    /// Other strong tags of this very representation: from before the key of opaque tags changed,
    /// say. As good as its own.
    pub aliases: &'a [EntityTag],
    /// Strong tags of other representations of the same state: each of them may be written
    /// against, none of them may stand in for this representation.
    pub alternates: &'a [EntityTag],
    /// When it was last modified, if that is known.
    pub last_modified: Option<HttpDate>,
}

impl<'a> Validators<'a> {
    /// Only a tag.
    #[must_use]
    pub fn of(tag: &'a EntityTag) -> Self {
        Self {
            tag: Some(tag.borrow()),
            ..Self::default()
        }
    }
}

/// The part of a policy that the decision depends on.
///
/// [`Policy`](crate::Policy) makes these; see the [module docs](crate::decision) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Is a write without `If-Match` refused?
    pub required: bool,
    /// Is an `If-Match` that cannot be read a bad request? Otherwise it is a condition that is
    /// false, answered as a stale one.
    pub malformed_is_bad_request: bool,
    /// Can this method create the resource? Then a missing resource fails `If-Match`; otherwise it
    /// is 404, before any condition.
    pub creates: bool,
    /// Does the handler compare versions itself? If not, it must not run where `If-Match` is false:
    /// not even for its 404, since an idempotent `DELETE` may well say 204.
    pub handler_compares: bool,
    /// Do `W/"5"` and `"5-gzip"` name version 5 in `If-Match`?
    pub tolerant: bool,
    /// What the route itself wants of a write, whatever its conditions: that there is (`true`) or is
    /// not (`false`) such a resource. What is missing is told before any condition, as a 404 is;
    /// what is there already is told after them.
    pub existence: Option<bool>,
    /// How much of a list is read.
    pub limits: Limits,
}

impl Default for Rules {
    /// Nothing required, nothing tolerated; every method may create.
    fn default() -> Self {
        Self {
            required: false,
            malformed_is_bad_request: false,
            creates: true,
            handler_compares: false,
            tolerant: false,
            existence: None,
            limits: Limits::DEFAULT,
        }
    }
}

/// What to do with the request.
///
/// See the [module docs](crate::decision) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Call the handler.
    Forward {
        /// Whether it may see the `Range` of the request: not where `If-Range` is false.
        range: bool,
    },
    /// Find out whether the resource exists, then decide again: the store does not know, and the
    /// conditions of this write depend on it.
    Probe,
    /// Answer without the handler; it has not run and will not.
    Refuse(Refusal),
    /// Answer `304 Not Modified`: the copy that the client has is good.
    Reuse,
}

/// Why the handler does not see the request.
///
/// See the [module docs](crate::decision) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The resource is there, and the route sets it only once.
    AlreadySet,
    /// `If-Match` is false: the client's version is stale.
    IfMatch,
    /// `If-None-Match` is false on a write: something is there already.
    IfNoneMatch,
    /// `If-Unmodified-Since` is false: the client's version is stale.
    IfUnmodifiedSince,
    /// A condition cannot be read.
    Malformed {
        /// `If-Match` or `If-None-Match`?
        field: ListField,
        /// What is wrong with it.
        error: EntityTagError,
    },
    /// The route wants `If-Match`, and there is none.
    Missing,
    /// `If-Match` names a version of what is not there: 404, as the handler would have it.
    NotFound,
    /// The resource is not there, and the route is about one that is.
    NotSet,
}

/// The two fields that hold lists of entity-tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListField {
    /// `If-Match`.
    IfMatch,
    /// `If-None-Match`.
    IfNoneMatch,
}

/// Evaluates the conditions of a request. `now` is only needed to tell whether the date in
/// `If-Range` is a strong validator ([RFC 9110, section 8.8.2.2]); without it, none is.
///
/// See the [module docs](crate::decision) for an example.
///
/// [RFC 9110, section 8.8.2.2]: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2
#[must_use]
pub fn decide(
    access: Access,
    preconditions: &Preconditions<'_>,
    selected: Selected<'_>,
    rules: &Rules,
    now: Option<HttpDate>,
) -> Decision {
    if access == Access::Unconditional {
        return Decision::Forward { range: true };
    }
    let range = access == Access::Write
        || preconditions
            .if_range()
            .is_none_or(|condition| if_range(condition, selected, now));
    let is_absent = matches!(selected, Selected::Absent);
    if access == Access::Write && is_absent && rules.existence == Some(true) {
        return Decision::Refuse(Refusal::NotSet);
    }
    // The plain answer is 404, which comes before any condition.
    if is_absent && (access == Access::Read || !rules.creates) {
        let refused = access == Access::Write
            && !rules.handler_compares
            && preconditions.if_match().is_some();
        return match refused {
            true => Decision::Refuse(Refusal::NotFound),
            false => Decision::Forward { range },
        };
    }
    if let Some(field) = preconditions.if_match() {
        match if_match(&field, selected, rules) {
            Truth::Holds => {}
            Truth::Unknown if access == Access::Write && rules.creates => return Decision::Probe,
            // If it is not there after all, the handler says 404.
            Truth::Unknown => {}
            Truth::Fails(refusal) => return Decision::Refuse(refusal),
        }
    } else {
        if access == Access::Write && rules.required && !asks_to_create(preconditions) {
            return Decision::Refuse(Refusal::Missing);
        }
        let unmodified_since = preconditions.if_unmodified_since();
        if let (Some(date), Some(modified)) = (unmodified_since, last_modified(selected))
            && modified > date
        {
            return Decision::Refuse(Refusal::IfUnmodifiedSince);
        }
    }
    if let Some(field) = preconditions.if_none_match() {
        match (if_none_match(&field, access, selected, rules), access) {
            (Truth::Holds, _)
            | (Truth::Unknown | Truth::Fails(Refusal::Malformed { .. }), Access::Read) => {}
            (Truth::Unknown, _) => return Decision::Probe,
            (Truth::Fails(_), Access::Read) => return Decision::Reuse,
            (Truth::Fails(refusal), _) => return Decision::Refuse(refusal),
        }
    } else if access == Access::Read {
        let modified_since = preconditions.if_modified_since();
        if let (Some(date), Some(modified)) = (modified_since, last_modified(selected))
            && modified <= date
        {
            return Decision::Reuse;
        }
    }
    if access == Access::Write {
        match (rules.existence, selected) {
            (Some(_), Selected::Unseen(_)) => return Decision::Probe,
            (Some(false), Selected::Present(_)) => return Decision::Refuse(Refusal::AlreadySet),
            _ => {}
        }
    }
    Decision::Forward { range }
}

/// The refusal that needs no look at the resource, if there is one: a required `If-Match` that is
/// not there. It is [`decide`]'s answer for every state but a missing resource on a route that
/// does not create, or is about one that is there.
///
/// See [`decide`].
#[must_use]
pub fn refuse_unseen(
    access: Access,
    preconditions: &Preconditions<'_>,
    rules: &Rules,
) -> Option<Refusal> {
    let missing = access == Access::Write
        && rules.required
        && preconditions.if_match().is_none()
        && !asks_to_create(preconditions);
    missing.then_some(Refusal::Missing)
}

/// The refusal of a write whose conditions cannot be read, for a route where the handler evaluates
/// them: it is [`decide`]'s answer for a resource that is there.
///
/// See [`decide`].
#[must_use]
pub fn refuse_unreadable(preconditions: &Preconditions<'_>, rules: &Rules) -> Option<Refusal> {
    let error = |field: TagField<'_>| field.scan(rules.limits, |_| false).err();
    if let Some(error) = preconditions.if_match().and_then(error) {
        return Some(if_match_unreadable(error, rules));
    }
    let error = preconditions.if_none_match().and_then(error)?;
    Some(Refusal::Malformed {
        field: ListField::IfNoneMatch,
        error,
    })
}

fn if_match_unreadable(error: EntityTagError, rules: &Rules) -> Refusal {
    if !rules.malformed_is_bad_request {
        return Refusal::IfMatch;
    }
    Refusal::Malformed {
        field: ListField::IfMatch,
        error,
    }
}

enum Truth {
    Holds,
    Fails(Refusal),
    /// It depends on whether an unseen resource exists.
    Unknown,
}

fn if_match(field: &TagField<'_>, selected: Selected<'_>, rules: &Rules) -> Truth {
    let current = selected.validators();
    // Where it makes no difference whether the list can be read, it is not, unless it may hold one
    // of the tags in question.
    if let Some(current) = current
        && !rules.malformed_is_bad_request
        && !may_hold(field, current, current.alternates, rules)
        && !field.is_any()
    {
        return Truth::Fails(Refusal::IfMatch);
    }
    let names_current =
        |tag| current.is_some_and(|current| names_state(tag, current, rules.tolerant));
    match (field.scan(rules.limits, names_current), selected) {
        (Err(error), _) => Truth::Fails(if_match_unreadable(error, rules)),
        (Ok(ListMatch::Any), Selected::Present(_)) | (Ok(ListMatch::Tags(true)), _) => Truth::Holds,
        (Ok(ListMatch::Any), Selected::Unseen(_)) => Truth::Unknown,
        _ => Truth::Fails(Refusal::IfMatch),
    }
}

/// Does `tag`, out of `If-Match`, name the state that is current?
fn names_state(tag: EntityTagRef<'_>, current: Validators<'_>, tolerant: bool) -> bool {
    let is_current = |tag: EntityTagRef<'_>| {
        let mut others = current.aliases.iter().chain(current.alternates);
        current.tag.is_some_and(|own| own.strong_eq(tag))
            || others.any(|other| other.borrow().strong_eq(tag))
    };
    is_current(tag) || tolerant && is_current(tag.without_proxy_marks())
}

/// May `field` hold the tag of `current`, an alias of it, or one of `others`?
fn may_hold(
    field: &TagField<'_>,
    current: Validators<'_>,
    others: &[EntityTag],
    rules: &Rules,
) -> bool {
    // A proxy's mark stands behind what it marks.
    let may_hold = |opaque| field.may_hold(opaque, rules.tolerant, rules.limits);
    current.tag.is_some_and(|own| may_hold(own.opaque()))
        || current.aliases.iter().any(|other| may_hold(other.opaque()))
        || others.iter().any(|other| may_hold(other.opaque()))
}

fn if_none_match(
    field: &TagField<'_>,
    access: Access,
    selected: Selected<'_>,
    rules: &Rules,
) -> Truth {
    let current = selected.validators().unwrap_or_default();
    // As in `if_match`: to a read, a list that cannot be read is one that does not match.
    if access == Access::Read && !may_hold(field, current, &[], rules) && !field.is_any() {
        return Truth::Holds;
    }
    let is_own = |tag: EntityTagRef<'_>| {
        let mut aliases = current.aliases.iter();
        current.tag.is_some_and(|own| own.weak_eq(tag))
            || aliases.any(|alias| alias.borrow().weak_eq(tag))
    };
    let is_current =
        |tag: EntityTagRef<'_>| is_own(tag) || rules.tolerant && is_own(tag.without_proxy_marks());
    match (field.scan(rules.limits, is_current), selected) {
        (Err(error), _) => Truth::Fails(Refusal::Malformed {
            field: ListField::IfNoneMatch,
            error,
        }),
        (Ok(ListMatch::Any), Selected::Absent) | (Ok(ListMatch::Tags(false)), _) => Truth::Holds,
        (Ok(ListMatch::Any), Selected::Unseen(_)) => Truth::Unknown,
        (Ok(_), _) => Truth::Fails(Refusal::IfNoneMatch),
    }
}

/// `If-Range` wants an exact match of a strong validator; anything less and the whole
/// representation is sent.
fn if_range(condition: IfRange<'_>, selected: Selected<'_>, now: Option<HttpDate>) -> bool {
    let Some(current) = selected.validators() else {
        return false;
    };
    match condition {
        IfRange::Tag(tag) => current.tag.is_some_and(|own| own.strong_eq(tag)),
        IfRange::Date(date) => {
            current.last_modified == Some(date)
                && now.is_some_and(|now| now.seconds_since(date) >= 1)
        }
        IfRange::Unreadable => false,
    }
}

/// `If-None-Match: *` is a precondition of its own, which no stale client can meet.
fn asks_to_create(preconditions: &Preconditions<'_>) -> bool {
    preconditions
        .if_none_match()
        .is_some_and(|field| field.is_any())
}

fn last_modified(selected: Selected<'_>) -> Option<HttpDate> {
    selected.validators()?.last_modified
}
