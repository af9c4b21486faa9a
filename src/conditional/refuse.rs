//! Refusals: why the handler does not see a request, as an answer from which the client can go on.

use std::borrow::Cow;
use std::ops::ControlFlow;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONTENT_LOCATION, ETAG, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::Value;

use super::body::ResponseBody;
use super::exchange::Exchange;
use crate::decision::{Decision, ListField, Refusal};
use crate::entity_tag::{EntityTag, EntityTagRef};
use crate::observe::StoreStep;
use crate::policy::{ConflictStatus, CurrentResource, MissingStatus};
use crate::precondition::{Preconditions, TagField};
use crate::problem::{Problem, Reason};
use crate::report::Representation;
use crate::store::{Current, State};

/// How often the current resource is read before it is left out: each time its version moved.
const TRIES: usize = 3;

/// Why a request stops short of the handler.
pub(super) enum Stop<B> {
    /// With an answer that is whole.
    Answer(Response<ResponseBody<B>>),
    /// With a refusal, in view of this state.
    Refuse(Refusal, Option<State>),
}

/// What goes on, or stops short.
pub(super) type Step<T, B> = ControlFlow<Stop<B>, T>;

/// The current resource, as far as it can be shown.
enum Shown {
    Whole(Current, Bytes),
    /// Too long for a conflict document.
    Elsewhere,
}

impl Exchange {
    /// The answer to a request that stops short; it may take a read of the resource.
    pub(super) fn stop<B>(
        &self,
        parts: &Parts,
        stop: Stop<B>,
    ) -> Result<Response<ResponseBody<B>>, BoxFuture<'static, Response<ResponseBody<B>>>>
    where
        B: Send + 'static,
    {
        let (refusal, state) = match stop {
            Stop::Answer(answer) => return Ok(answer),
            Stop::Refuse(refusal, state) => (refusal, state),
        };
        if !self.is_read_back(refusal, state.as_ref()) {
            let preconditions = Preconditions::from_headers(&parts.headers);
            return Ok(self.refuse(&preconditions, refusal, state.as_ref()));
        }
        let (exchange, parts) = (self.clone(), parts.clone());
        Err(Box::pin(async move {
            let shown = exchange.read_back(&parts).await;
            let preconditions = Preconditions::from_headers(&parts.headers);
            exchange.refuse_showing(&preconditions, refusal, state.as_ref(), shown)
        }))
    }

    /// The same, waited for.
    pub(super) async fn stopped<B>(&self, parts: &Parts, stop: Stop<B>) -> Response<ResponseBody<B>>
    where
        B: Send + 'static,
    {
        match self.stop(parts, stop) {
            Ok(answer) => answer,
            Err(reading) => reading.await,
        }
    }

    /// The handler saw a conflict: the same answer as if the layer had seen it. `parts` are those
    /// of the request, if the handler's own pair was to be made up for.
    pub(super) fn late_conflict<B>(
        &self,
        kept: &HeaderMap,
        parts: Option<&Parts>,
        current: Option<Representation>,
    ) -> Result<Response<ResponseBody<B>>, BoxFuture<'static, Response<ResponseBody<B>>>>
    where
        B: Send + 'static,
    {
        let preconditions = &Preconditions::from_headers(kept);
        let Some(current) = current else {
            let refusal = self.late_refusal(preconditions, None);
            return match parts {
                Some(parts) => self.stop(parts, Stop::Refuse(refusal, None)),
                None => Ok(self.refuse(preconditions, refusal, None)),
            };
        };
        let (current, body) = current.into_parts();
        let refusal = self.late_refusal(preconditions, Some(&current));
        if !self.follows(preconditions, refusal, &current) {
            return Ok(self.refuse(preconditions, refusal, None));
        }
        let shown = match self.policy.current_resource {
            CurrentResource::Omit => None,
            CurrentResource::Read | CurrentResource::Reported => self.shown(current.clone(), body),
        };
        Ok(self.refuse_showing(
            preconditions,
            refusal,
            Some(&State::Present(current)),
            shown,
        ))
    }

    /// Is `refusal` the answer in view of `current` too? If not, that is not the whole story, and
    /// the answer would read "5 does not match 5".
    fn follows(
        &self,
        preconditions: &Preconditions<'_>,
        refusal: Refusal,
        current: &Current,
    ) -> bool {
        if let Decision::Refuse(now) = self.decide(preconditions, &State::Present(current.clone()))
        {
            return now == refusal;
        }
        match refusal {
            // The client named no version; it is the handler's own business what was in the way.
            Refusal::IfMatch => preconditions.if_match().is_none(),
            // Nobody says when this one was modified.
            Refusal::IfUnmodifiedSince => current.last_modified.is_none(),
            _ => false,
        }
    }

    /// Which condition a handler must have found false.
    fn late_refusal(
        &self,
        preconditions: &Preconditions<'_>,
        current: Option<&Current>,
    ) -> Refusal {
        if let Some(current) = current {
            let state = State::Present(current.clone());
            if let Decision::Refuse(refusal) = self.decide(preconditions, &state) {
                return refusal;
            }
        }
        let existence = self.rules().existence;
        if preconditions.if_match().is_some() {
            Refusal::IfMatch
        } else if let Some(wanted) = existence {
            if wanted {
                Refusal::NotSet
            } else {
                Refusal::AlreadySet
            }
        } else if preconditions.if_none_match().is_some() {
            Refusal::IfNoneMatch
        } else if preconditions.if_unmodified_since().is_some() {
            Refusal::IfUnmodifiedSince
        } else {
            Refusal::IfMatch
        }
    }

    /// Will a late conflict need the request, to read the resource?
    pub(super) fn reads_back(&self) -> bool {
        self.policy.current_resource == CurrentResource::Read && self.config.reader.is_some()
    }

    fn is_read_back(&self, refusal: Refusal, state: Option<&State>) -> bool {
        self.reads_back()
            && !self.policy.renderer.is_bare()
            && !matches!(state, Some(State::Absent))
            && !matches!(
                refusal,
                Refusal::Malformed { .. } | Refusal::Missing | Refusal::NotFound | Refusal::NotSet
            )
    }

    /// The answer to a request whose conditions say no.
    pub(super) fn refuse<B>(
        &self,
        preconditions: &Preconditions<'_>,
        refusal: Refusal,
        state: Option<&State>,
    ) -> Response<ResponseBody<B>> {
        self.refuse_showing(preconditions, refusal, state, None)
    }

    /// The same without a document. `headers` may hold anything, which is gone afterwards.
    pub(super) fn refuse_bare<B>(
        &self,
        mut headers: HeaderMap,
        refusal: Refusal,
        state: Option<&State>,
    ) -> Response<ResponseBody<B>> {
        let (reason, status) = self.reason(refusal);
        let current = state.and_then(State::current);
        headers.clear();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if compares(refusal)
            && let Some(tag) = current.and_then(|current| self.tag(current))
        {
            headers.insert(ETAG, tag.to_header_value());
        }
        let mut response = Response::new(ResponseBody::instead(Bytes::new(), Some(reason)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let base = current.and_then(|current| current.version.as_ref());
        self.tell_of(status, Some(reason), base, None);
        response
    }

    fn refuse_showing<B>(
        &self,
        preconditions: &Preconditions<'_>,
        refusal: Refusal,
        state: Option<&State>,
        shown: Option<Shown>,
    ) -> Response<ResponseBody<B>> {
        if self.policy.renderer.is_bare() {
            return self.refuse_bare(HeaderMap::new(), refusal, state);
        }
        let shown = shown.filter(|shown| match shown {
            Shown::Whole(current, _) => self.follows(preconditions, refusal, current),
            Shown::Elsewhere => true,
        });
        // What is shown is newer than what was decided on, and speaks for itself.
        let newer = match &shown {
            Some(Shown::Whole(current, _)) => Some(State::Present(current.clone())),
            _ => None,
        };
        let state = newer.as_ref().or(state);
        let mut problem = self.problem(preconditions, refusal, state);
        let mut elsewhere: Option<HeaderValue> = None;
        match shown {
            Some(Shown::Whole(_, body)) => {
                problem = problem.with_member("currentResource", body);
            }
            Some(Shown::Elsewhere) => {
                elsewhere = self.path().and_then(|path| path.try_into().ok());
            }
            None => {}
        }
        let current = state.and_then(State::current);
        let base = current.and_then(|current| current.version.as_ref());
        let mut response = self.answer(preconditions.headers(), problem, base);
        if compares(refusal)
            && let Some(tag) = current.and_then(|current| self.tag(current))
        {
            response.headers_mut().insert(ETAG, tag.to_header_value());
        }
        if let Some(path) = elsewhere {
            response.headers_mut().insert(CONTENT_LOCATION, path);
        }
        response
    }

    /// Why a request is refused, and with which status.
    fn reason(&self, refusal: Refusal) -> (Reason, StatusCode) {
        match refusal {
            Refusal::AlreadySet => (Reason::AlreadySet, StatusCode::CONFLICT),
            Refusal::IfMatch | Refusal::IfUnmodifiedSince => {
                let status = match self.policy.conflict_status {
                    ConflictStatus::Conflict => StatusCode::CONFLICT,
                    ConflictStatus::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
                };
                (Reason::Stale, status)
            }
            Refusal::IfNoneMatch => (Reason::Exists, StatusCode::PRECONDITION_FAILED),
            Refusal::Malformed { field, .. } => {
                let reason = match field {
                    ListField::IfMatch => Reason::MalformedIfMatch,
                    ListField::IfNoneMatch => Reason::MalformedIfNoneMatch,
                };
                (reason, StatusCode::BAD_REQUEST)
            }
            Refusal::Missing => {
                let status = match self.policy.missing_status {
                    MissingStatus::BadRequest => StatusCode::BAD_REQUEST,
                    MissingStatus::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
                };
                (Reason::Missing, status)
            }
            Refusal::NotFound => (Reason::NotFound, StatusCode::NOT_FOUND),
            Refusal::NotSet => (Reason::NotSet, StatusCode::CONFLICT),
        }
    }

    fn problem(
        &self,
        preconditions: &Preconditions<'_>,
        refusal: Refusal,
        state: Option<&State>,
    ) -> Problem {
        let (reason, status) = self.reason(refusal);
        let problem = Problem::of(reason, status);
        let detail: Cow<'static, str> = match refusal {
            Refusal::AlreadySet => "It is set already, and is set only once.".into(),
            Refusal::IfMatch => {
                // As the tag has it: where tags are opaque, versions are nobody's business.
                let current = state.and_then(State::current).and_then(|it| self.tag(it));
                match preconditions.if_match() {
                    None => "The resource was changed by another request.".into(),
                    Some(field) => match field.scan(self.rules().limits, |_| false) {
                        Ok(_) => stale_detail(&spelled(&field), state, current.as_ref()).into(),
                        Err(error) => {
                            format!("If-Match is false: it cannot be read: {error}.").into()
                        }
                    },
                }
            }
            Refusal::IfNoneMatch => {
                "If-None-Match is false: it names the current representation of the resource."
                    .into()
            }
            Refusal::IfUnmodifiedSince => {
                "The resource was modified after the date in If-Unmodified-Since.".into()
            }
            Refusal::Malformed { field, error } => {
                let name = match field {
                    ListField::IfMatch => "If-Match",
                    ListField::IfNoneMatch => "If-None-Match",
                };
                format!("{name} cannot be read: {error}.").into()
            }
            Refusal::Missing => {
                "Read the resource, and send the ETag of that answer as If-Match.".into()
            }
            Refusal::NotFound => {
                "If-Match names a version of a resource that does not exist.".into()
            }
            Refusal::NotSet => "There is nothing that is set.".into(),
        };
        let own_type = match refusal {
            Refusal::AlreadySet | Refusal::NotSet => self.policy.existence_type(),
            _ => None,
        };
        match own_type {
            Some(type_name) => {
                let title = title_of(&type_name);
                problem.with_type(type_name, title)
            }
            None => problem,
        }
        .with_detail(detail)
    }

    /// The current resource through the reader, if it comes with a version that is certain.
    async fn read_back(&self, parts: &Parts) -> Option<Shown> {
        let reader = self.config.reader.as_ref()?;
        for _ in 0..TRIES {
            let before = match self.config.versions() {
                Some(store) => Some(self.heard(StoreStep::Current, self.current(store).await)?),
                None => None,
            };
            let limit = self.policy.current_resource_limit;
            let found = reader.get(parts, limit).await.ok()?;
            if found.is_too_long {
                return Some(Shown::Elsewhere);
            }
            let body = found.body?;
            // Unlike a handler, whose JSON is its own affair, a reader may be anything.
            serde_json::from_slice::<Value>(&body).ok()?;
            let stamped = || {
                let current = self.current_of(found.tag.as_ref()?.borrow())?;
                Some(match found.modified {
                    Some(date) => current.modified(date.to_system_time()),
                    None => current,
                })
            };
            if let Some(current) = found.current.or_else(stamped) {
                return self.shown(current, body);
            }
            // The answer does not say which version it is: it is the one that there was before it
            // and is after it.
            let after = self.current(self.config.versions()?).await;
            let after = self.heard(StoreStep::Current, after)?;
            if after.settled && before.as_ref() == Some(&after) {
                return self.shown(after.state.current()?.clone(), body);
            }
        }
        None
    }

    /// What a client may see of a representation.
    fn shown(&self, current: Current, body: Bytes) -> Option<Shown> {
        if body.len() > self.policy.current_resource_limit {
            return Some(Shown::Elsewhere);
        }
        let Some(redact) = &self.policy.redact else {
            return (!body.is_empty()).then_some(Shown::Whole(current, body));
        };
        let mut resource = serde_json::from_slice(&body).ok()?;
        redact(&mut resource);
        let body = serde_json::to_vec(&resource).ok()?;
        Some(Shown::Whole(current, body.into()))
    }
}

/// Whoever sent no version, or none that can be read, has nothing to compare with: a tag in the
/// answer would only invite a retry without a look at what is there.
const fn compares(refusal: Refusal) -> bool {
    !matches!(refusal, Refusal::Malformed { .. } | Refusal::Missing)
}

/// `milestone-already-set` is «Milestone Already Set».
fn title_of(type_name: &str) -> String {
    let words = type_name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The versions that the client sent, the first of them if they are many, as it spelled them.
fn spelled(field: &TagField<'_>) -> String {
    if field.is_any() {
        return "*".to_owned();
    }
    let tags: Vec<_> = field
        .tags()
        .take(8)
        .filter_map(Result::ok)
        .map(told)
        .collect();
    tags.join(", ")
}

/// A tag in a sentence: without its quotes, unless it is weak, or a strong one would seem not to
/// match itself.
fn told(tag: EntityTagRef<'_>) -> String {
    let opaque = String::from_utf8_lossy(tag.opaque());
    if tag.is_weak() {
        format!("W/\"{opaque}\"")
    } else {
        opaque.into_owned()
    }
}

fn stale_detail(sent: &str, state: Option<&State>, current: Option<&EntityTag>) -> String {
    let subject = match sent {
        "*" => "If-Match *".to_owned(),
        version => format!("If-Match version {version}"),
    };
    match (state, current) {
        (Some(State::Absent), _) => {
            format!("{subject} does not match: the resource does not exist.")
        }
        (Some(_), Some(tag)) => {
            let version = told(tag.borrow());
            format!("{subject} does not match current version {version}.")
        }
        (Some(_), None) => {
            format!("{subject} does not match: the current representation has no version.")
        }
        (None, _) => format!("{subject} does not match the current version."),
    }
}
