//! The answers that the layer makes, and the marks that it leaves on those of the handler.

use std::time::Duration;

use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, LAST_MODIFIED, TRANSFER_ENCODING,
};
use http::{Method, Response, StatusCode};

use super::body::ResponseBody;
use super::exchange::{Exchange, last_modified, tag_of};
use crate::decision::{Decision, ListField, Refusal};
use crate::entity_tag::EntityTag;
use crate::policy::{BusyStatus, ConflictStatus, MissingStatus};
use crate::precondition::{Preconditions, TagField};
use crate::problem::{MissingIfMatch, Problem, Reason};
use crate::report::{Representation, Untagged};
use crate::store::{Current, Intent, State};

/// How soon to try again where nobody can know better.
const SOON: Duration = Duration::from_secs(1);

impl Exchange {
    /// `304 Not Modified`, with what the 200 would have carried ([RFC 9110, section 15.4.5]).
    ///
    /// [RFC 9110, section 15.4.5]: https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
    pub(super) fn not_modified<B>(&self, current: &Current) -> Response<ResponseBody<B>> {
        let mut response = Response::new(ResponseBody::no_content());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        add_validators(response.headers_mut(), current);
        self.add_read_headers(response.headers_mut());
        response.extensions_mut().insert(Reason::NotModified);
        response
    }

    /// The answer to a request whose conditions say no.
    pub(super) fn refuse<B>(
        &self,
        headers: &HeaderMap,
        refusal: Refusal,
        state: Option<&State>,
    ) -> Response<ResponseBody<B>> {
        let preconditions = Preconditions::from_headers(headers);
        let current = state.and_then(State::current);
        let problem = match refusal {
            Refusal::IfMatch => {
                let sent = preconditions.if_match().map(|field| spelled(&field));
                self.stale().with_detail(stale_detail(sent, state))
            }
            Refusal::IfUnmodifiedSince => self
                .stale()
                .with_detail("The resource was modified after the date in If-Unmodified-Since."),
            Refusal::IfNoneMatch => Problem::of(Reason::Exists, StatusCode::PRECONDITION_FAILED)
                .with_detail(
                    "If-None-Match is false: it names the current representation of the resource.",
                ),
            Refusal::Malformed { field, error } => {
                let (reason, name) = match field {
                    ListField::IfMatch => (Reason::MalformedIfMatch, "If-Match"),
                    ListField::IfNoneMatch => (Reason::MalformedIfNoneMatch, "If-None-Match"),
                };
                Problem::of(reason, StatusCode::BAD_REQUEST)
                    .with_detail(format!("{name} cannot be read: {error}."))
            }
            Refusal::Missing => {
                let status = match self.policy.missing_status {
                    MissingStatus::BadRequest => StatusCode::BAD_REQUEST,
                    MissingStatus::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
                };
                Problem::of(Reason::Missing, status)
                    .with_detail("Read the resource, and send the ETag of that answer as If-Match.")
            }
        };
        // Whoever sent no version, or none that can be read, has nothing to compare with: a tag
        // here would only invite a retry without a look at what is there.
        let compared = !matches!(refusal, Refusal::Malformed { .. } | Refusal::Missing);
        let mut response = self.answer(headers, problem);
        if compared && let Some(tag) = current.and_then(tag_of) {
            response.headers_mut().insert(ETAG, tag.to_header_value());
        }
        response
    }

    fn stale(&self) -> Problem {
        Problem::of(
            Reason::Stale,
            match self.policy.conflict_status {
                ConflictStatus::Conflict => StatusCode::CONFLICT,
                ConflictStatus::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            },
        )
    }

    /// The handler saw a conflict: the same answer as if the layer had seen it.
    pub(super) fn late_conflict<B>(
        &self,
        kept: &HeaderMap,
        current: Option<&Representation>,
    ) -> Response<ResponseBody<B>> {
        let state = current.map(|current| State::Present(current.current().clone()));
        if let Some(state) = &state
            && let Decision::Refuse(refusal) = self.decide(kept, state)
        {
            return self.refuse(kept, refusal, Some(state));
        }
        // What the handler calls current meets every condition, or it did not say: no word of what
        // is current then, or the answer would read "5 does not match 5".
        let preconditions = Preconditions::from_headers(kept);
        let refusal = if preconditions.if_match().is_some() {
            Refusal::IfMatch
        } else if preconditions.if_none_match().is_some() {
            Refusal::IfNoneMatch
        } else if preconditions.if_unmodified_since().is_some() {
            Refusal::IfUnmodifiedSince
        } else {
            Refusal::IfMatch
        };
        self.refuse(kept, refusal, None)
    }

    /// Another write holds the resource.
    pub(super) fn busy<B>(
        &self,
        headers: &HeaderMap,
        retry_after: Duration,
        holder: Intent,
    ) -> Response<ResponseBody<B>> {
        let (reason, detail) = match holder {
            Intent::Delete => (
                Reason::DeleteInProgress,
                "The resource is being deleted by another request.",
            ),
            Intent::Write => (
                Reason::Busy,
                "The resource is being written by another request. Nothing was changed.",
            ),
        };
        let status = match self.policy.busy_status {
            BusyStatus::Conflict => StatusCode::CONFLICT,
            BusyStatus::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Problem::of(reason, status)
            .with_detail(detail)
            .with_retry_after(retry_after);
        self.answer(headers, problem)
    }

    /// The store did not answer, and this request cannot do without.
    pub(super) fn unavailable<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::StoreUnavailable, StatusCode::SERVICE_UNAVAILABLE)
            .with_detail("Versions cannot be compared at the moment. Nothing was changed.")
            .with_retry_after(SOON);
        self.answer(headers, problem)
    }

    /// The conditions of a write depend on whether the resource exists, and nobody can say.
    pub(super) fn existence_unknown<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::ExistenceUnknown, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail(
                "Whether the resource exists cannot be found out: the layer has no reader for it, \
                 or the reader failed. Nothing was changed.",
            );
        self.answer(headers, problem)
    }

    pub(super) fn content_too_large<B>(
        &self,
        headers: &HeaderMap,
        limit: usize,
    ) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::ContentTooLarge, StatusCode::PAYLOAD_TOO_LARGE)
            .with_detail(format!("The content is longer than {limit} bytes."));
        self.answer(headers, problem)
    }

    pub(super) fn content_unreadable<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::ContentUnreadable, StatusCode::BAD_REQUEST)
            .with_detail("The content broke off. Nothing was changed.");
        self.answer(headers, problem)
    }

    /// The handler was called, and nobody knows what it did.
    pub(super) fn outcome_unknown<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::OutcomeUnknown, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail("The write may have happened. Read the resource before trying again.");
        self.answer(headers, problem)
    }

    pub(super) fn not_enforced<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::NotEnforced, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail("The handler did not say which version it wrote.");
        self.answer(headers, problem)
    }

    fn answer<B>(&self, request: &HeaderMap, problem: Problem) -> Response<ResponseBody<B>> {
        self.policy.renderer.answer(request, problem)
    }

    /// Makes a 304 of a 200 that the handler has already given.
    pub(super) fn strip_to_not_modified<B>(
        response: Response<ResponseBody<B>>,
    ) -> Response<ResponseBody<B>> {
        let mut response = response.map(|_| ResponseBody::no_content());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        for name in [
            CONTENT_ENCODING,
            CONTENT_LANGUAGE,
            CONTENT_LENGTH,
            CONTENT_RANGE,
            CONTENT_TYPE,
            TRANSFER_ENCODING,
        ] {
            response.headers_mut().remove(name);
        }
        response.extensions_mut().insert(Reason::NotModified);
        response
    }

    /// Stamps a successful write with the version that it made.
    pub(super) fn stamp_write<B>(&self, response: &mut Response<B>, current: &Current) {
        if self.is_stamped(response) {
            add_validators(response.headers_mut(), current);
        }
    }

    /// Does the answer to this write speak of the resource as it is now?
    pub(super) fn is_stamped<B>(&self, response: &Response<B>) -> bool {
        let status = response.status();
        status.is_success()
            && status != StatusCode::ACCEPTED
            && self.method != Method::DELETE
            && response.extensions().get::<Untagged>().is_none()
    }

    /// Adds the policy's fields where the handler has set none of that name.
    pub(super) fn add_read_headers(&self, headers: &mut HeaderMap) {
        let fields = &self.policy.read_headers;
        for (at, (name, value)) in fields.iter().enumerate() {
            let repeated = || fields.iter().take(at).any(|(earlier, _)| earlier == name);
            if !headers.contains_key(name) || repeated() {
                headers.append(name, value.clone());
            }
        }
    }

    pub(super) fn warn<B>(mut response: Response<B>) -> Response<B> {
        response.extensions_mut().insert(MissingIfMatch);
        response
    }
}

/// Adds the validators of `current`, but for those that are there.
pub(super) fn add_validators(headers: &mut HeaderMap, current: &Current) {
    if let Some(tag) = tag_of(current)
        && !headers.contains_key(ETAG)
    {
        headers.insert(ETAG, tag.to_header_value());
    }
    if let Some(date) = last_modified(current)
        && !headers.contains_key(LAST_MODIFIED)
    {
        headers.insert(LAST_MODIFIED, date.to_header_value());
    }
}

/// The versions that the client sent, as it spelled them.
fn spelled(field: &TagField<'_>) -> String {
    if field.is_any() {
        return "*".to_owned();
    }
    let tags: Vec<_> = field
        .tags()
        .take(8)
        .filter_map(Result::ok)
        .map(|tag| {
            let opaque = String::from_utf8_lossy(tag.opaque());
            if tag.is_weak() {
                format!("W/\"{opaque}\"")
            } else {
                opaque.into_owned()
            }
        })
        .collect();
    tags.join(", ")
}

fn stale_detail(sent: Option<String>, state: Option<&State>) -> String {
    let sent = sent.filter(|sent| !sent.is_empty());
    let subject = match sent.as_deref() {
        Some("*") => "If-Match *".to_owned(),
        Some(version) => format!("If-Match version {version}"),
        None => "If-Match".to_owned(),
    };
    let version = |current: &Current| current.version.as_ref().map(ToString::to_string);
    match state {
        Some(State::Absent) => format!("{subject} does not match: the resource does not exist."),
        Some(State::Present(current) | State::Unseen(current)) => match version(current) {
            Some(version) => format!("{subject} does not match current version {version}."),
            None => format!("{subject} does not match: the current representation has no version."),
        },
        None => format!("{subject} does not match the current version."),
    }
}

/// The tag that an answer carries already, if it can be read.
pub(super) fn own_tag(headers: &HeaderMap) -> Option<EntityTag> {
    EntityTag::parse(headers.get(ETAG)?.as_bytes()).ok()
}

/// A copy of what is still needed of a request's header once the handler has it: the conditional
/// fields, and those that a trace id can come from.
pub(super) fn kept_fields(headers: &HeaderMap) -> HeaderMap {
    let is_kept = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("if-") || name == "x-request-id" || name == "traceparent"
    };
    headers
        .iter()
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
