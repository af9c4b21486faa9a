//! The answers that the layer makes, and the marks that it leaves on those of the handler.

use std::time::Duration;

use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, Entry,
    HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, TRANSFER_ENCODING,
};
use http::{Response, StatusCode};

use super::body::ResponseBody;
use super::exchange::{Exchange, last_modified};
use crate::entity_tag::EntityTag;
use crate::key::ResourceKey;
use crate::observe::{Event, Route};
use crate::policy::BusyStatus;
use crate::problem::{MissingIfMatch, Problem, Reason};
use crate::report::Untagged;
use crate::store::{Current, Intent, Version};

/// How soon to try again where nobody can know better.
const SOON: Duration = Duration::from_secs(1);

impl Exchange {
    /// `304 Not Modified`, with what the 200 would have carried ([RFC 9110, section 15.4.5]).
    ///
    /// [RFC 9110, section 15.4.5]: https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
    ///
    /// `headers` may hold anything, which is gone afterwards; `tag` is that of `current`, if it is
    /// at hand.
    pub(super) fn not_modified<B>(
        &self,
        mut headers: HeaderMap,
        current: &Current,
        tag: Option<HeaderValue>,
    ) -> Response<ResponseBody<B>> {
        headers.clear();
        let tag = tag.or_else(|| Some(self.tag(current)?.to_header_value()));
        if let Some(tag) = tag {
            headers.insert(ETAG, tag);
        }
        add_date(&mut headers, current);
        self.add_read_headers(&mut headers);
        let mut response = Response::new(ResponseBody::no_content());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = headers;
        self.tell_of(
            StatusCode::NOT_MODIFIED,
            Some(Reason::NotModified),
            current.version.as_ref(),
            None,
        );
        response
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
        self.answer(headers, problem, None)
    }

    /// The store did not answer, and this request cannot do without.
    pub(super) fn unavailable<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::StoreUnavailable, StatusCode::SERVICE_UNAVAILABLE)
            .with_detail("Versions cannot be compared at the moment. Nothing was changed.")
            .with_retry_after(SOON);
        self.answer(headers, problem, None)
    }

    /// The conditions of a write depend on whether the resource exists, and nobody can say.
    pub(super) fn existence_unknown<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::ExistenceUnknown, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail(
                "Whether the resource exists cannot be found out: the layer has no reader for it, \
                 or the reader will not say. Nothing was changed.",
            );
        self.answer(headers, problem, None)
    }

    pub(super) fn content_too_large<B>(
        &self,
        headers: &HeaderMap,
        limit: usize,
    ) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::ContentTooLarge, StatusCode::PAYLOAD_TOO_LARGE)
            .with_detail(format!("The content is longer than {limit} bytes."));
        self.answer(headers, problem, None)
    }

    pub(super) fn content_unreadable<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::ContentUnreadable, StatusCode::BAD_REQUEST)
            .with_detail("The content broke off. Nothing was changed.");
        self.answer(headers, problem, None)
    }

    /// The handler was called, and nobody knows what it did.
    pub(super) fn outcome_unknown<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::OutcomeUnknown, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail("The write may have happened. Read the resource before trying again.");
        self.answer(headers, problem, None)
    }

    pub(super) fn not_enforced<B>(&self, headers: &HeaderMap) -> Response<ResponseBody<B>> {
        let problem = Problem::of(Reason::NotEnforced, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail("The handler did not say which version it wrote.");
        self.answer(headers, problem, None)
    }

    /// The answer that `problem` is, told to the observer.
    pub(super) fn answer<B>(
        &self,
        request: &HeaderMap,
        problem: Problem,
        base: Option<&Version>,
    ) -> Response<ResponseBody<B>> {
        let reason = problem.reason();
        let response = self.policy.renderer.answer(request, problem);
        let response = response.map(|bytes| ResponseBody::instead(bytes, reason));
        self.tell_of(response.status(), reason, base, None);
        response
    }

    /// Tells the observer how the request was answered.
    pub(super) fn tell<B>(
        &self,
        response: &Response<B>,
        base: Option<&Version>,
        new: Option<&Version>,
    ) {
        let reason = response.extensions().get().copied();
        self.tell_of(response.status(), reason, base, new);
    }

    /// The same, of an answer that is out already.
    pub(super) fn tell_of(
        &self,
        status: StatusCode,
        reason: Option<Reason>,
        base: Option<&Version>,
        new: Option<&Version>,
    ) {
        let Some(observer) = self.config.audience.observer() else {
            return;
        };
        observer.event(&Event {
            key: &self.key,
            method: &self.method,
            route: self.route.as_ref().map(Route::as_str),
            mode: self.config.mode.kind(),
            base: base.or(self.base.as_deref()),
            new,
            actor: self.actor.as_deref(),
            status,
            reason,
            replayed: false,
            unprotected: self.unprotected,
            waited: self.waited,
        });
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
        response
    }

    /// Stamps a successful write with the version that it made.
    pub(super) fn stamp_write<B>(&self, response: &mut Response<B>, current: &Current) {
        if self.is_stamped(response) {
            self.add_validators(response.headers_mut(), current);
        }
    }

    /// Stamps the answer to a `POST` with the version of the resource that it created.
    pub(super) fn stamp_created<B>(
        &self,
        response: &mut Response<B>,
        key: ResourceKey,
        current: &Current,
    ) {
        let created = Self {
            key,
            ..self.clone()
        };
        created.stamp_write(response, current);
    }

    /// Does the answer to this write speak of the resource as it is now?
    pub(super) fn is_stamped<B>(&self, response: &Response<B>) -> bool {
        let status = response.status();
        status.is_success()
            && status != StatusCode::ACCEPTED
            && !self.policy.deletes(&self.method)
            && response.extensions().get::<Untagged>().is_none()
    }

    /// Adds the validators of `current`, but for those that are there.
    pub(super) fn add_validators(&self, headers: &mut HeaderMap, current: &Current) {
        if let Entry::Vacant(place) = headers.entry(ETAG)
            && let Some(tag) = self.tag(current)
        {
            place.insert(tag.to_header_value());
        }
        add_date(headers, current);
    }

    /// Adds the policy's fields where the handler has set none of that name.
    pub(super) fn add_read_headers(&self, headers: &mut HeaderMap) {
        let fields = &self.policy.read_headers;
        for name in fields.keys() {
            if !headers.contains_key(name) {
                for value in fields.get_all(name) {
                    headers.append(name, value.clone());
                }
            }
        }
    }

    /// Marks the answer to a write that [`IfMatch::Warn`](crate::policy::IfMatch::Warn) let
    /// through.
    pub(super) fn warn<B>(&self, response: &mut Response<B>) {
        if self.unprotected {
            response.extensions_mut().insert(MissingIfMatch);
        }
    }
}

/// Says when `current` was modified, if that is known and not there.
fn add_date(headers: &mut HeaderMap, current: &Current) {
    if let Some(date) = last_modified(current)
        && let Entry::Vacant(place) = headers.entry(LAST_MODIFIED)
    {
        place.insert(date.to_header_value());
    }
}

/// The tag that an answer carries already, if it can be read.
pub(super) fn own_tag(headers: &HeaderMap) -> Option<EntityTag> {
    EntityTag::parse(headers.get(ETAG)?.as_bytes()).ok()
}

/// A copy of what is still needed of a request's header once the handler has it: the conditional
/// fields, and those that a trace id can come from.
pub(crate) fn kept_fields(headers: &HeaderMap) -> HeaderMap {
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
