//! Refusals: why the handler does not see a request, as an answer from which the client can go on.

use std::ops::ControlFlow;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::header::{CONTENT_LOCATION, ETAG, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

use super::body::ResponseBody;
use super::exchange::Exchange;
use crate::decision::{Decision, ListField, Refusal};
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
            return Ok(self.refuse(&parts.headers, refusal, state.as_ref()));
        }
        let (exchange, parts) = (self.clone(), parts.clone());
        Err(Box::pin(async move {
            let shown = exchange.read_back(&parts).await;
            exchange.refuse_showing(&parts, refusal, state.as_ref(), shown)
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
        let refusal = self.late_refusal(kept, current.as_ref());
        match (current, parts) {
            (Some(current), _) if self.contradicts(kept, &current) => {
                Ok(self.refuse(kept, refusal, None))
            }
            (Some(current), _) if self.policy.current_resource != CurrentResource::Omit => {
                let (current, body) = current.into_parts();
                let state = State::Present(current.clone());
                let shown = self.shown(current, body);
                let path = parts.map(|parts| parts.uri.path());
                Ok(self.refuse_with(kept, refusal, Some(&state), shown, path))
            }
            (Some(current), _) => {
                let state = State::Present(current.current().clone());
                Ok(self.refuse(kept, refusal, Some(&state)))
            }
            (None, Some(parts)) => self.stop(parts, Stop::Refuse(refusal, None)),
            (None, None) => Ok(self.refuse(kept, refusal, None)),
        }
    }

    /// Does what the handler calls current meet every condition? Then it is not the whole story,
    /// and the answer would read "5 does not match 5".
    fn contradicts(&self, kept: &HeaderMap, current: &Representation) -> bool {
        let state = State::Present(current.current().clone());
        let sent = !Preconditions::from_headers(kept).is_empty();
        sent && !matches!(self.decide(kept, &state), Decision::Refuse(_))
    }

    /// Which condition a handler must have found false.
    fn late_refusal(&self, kept: &HeaderMap, current: Option<&Representation>) -> Refusal {
        if let Some(current) = current {
            let state = State::Present(current.current().clone());
            if let Decision::Refuse(refusal) = self.decide(kept, &state) {
                return refusal;
            }
        }
        let preconditions = Preconditions::from_headers(kept);
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
            && !matches!(state, Some(State::Absent))
            && !matches!(
                refusal,
                Refusal::Malformed { .. } | Refusal::Missing | Refusal::NotFound | Refusal::NotSet
            )
    }

    /// The answer to a request whose conditions say no.
    pub(super) fn refuse<B>(
        &self,
        headers: &HeaderMap,
        refusal: Refusal,
        state: Option<&State>,
    ) -> Response<ResponseBody<B>> {
        self.refuse_with(headers, refusal, state, None, None)
    }

    fn refuse_showing<B>(
        &self,
        parts: &Parts,
        refusal: Refusal,
        state: Option<&State>,
        shown: Option<Shown>,
    ) -> Response<ResponseBody<B>> {
        let path = Some(parts.uri.path());
        self.refuse_with(&parts.headers, refusal, state, shown, path)
    }

    fn refuse_with<B>(
        &self,
        headers: &HeaderMap,
        refusal: Refusal,
        state: Option<&State>,
        shown: Option<Shown>,
        path: Option<&str>,
    ) -> Response<ResponseBody<B>> {
        // What is shown is newer than what was decided on, and speaks for itself.
        let newer = match &shown {
            Some(Shown::Whole(current, _)) => Some(State::Present(current.clone())),
            _ => None,
        };
        let state = newer.as_ref().or(state);
        let mut problem = self.problem(headers, refusal, state);
        let mut elsewhere = None;
        match shown {
            Some(Shown::Whole(_, body)) => {
                problem = problem.with_member("currentResource", body);
            }
            Some(Shown::Elsewhere) => {
                elsewhere = path.and_then(|path| HeaderValue::try_from(path).ok());
            }
            None => {}
        }
        let current = state.and_then(State::current);
        let base = current.and_then(|current| current.version.as_ref());
        // Whoever sent no version, or none that can be read, has nothing to compare with: a tag
        // here would only invite a retry without a look at what is there.
        let compared = !matches!(refusal, Refusal::Malformed { .. } | Refusal::Missing);
        let mut response = self.answer(headers, problem, base);
        if compared && let Some(tag) = current.and_then(|current| self.tag(current)) {
            response.headers_mut().insert(ETAG, tag.to_header_value());
        }
        if let Some(path) = elsewhere {
            response.headers_mut().insert(CONTENT_LOCATION, path);
        }
        response
    }

    fn problem(&self, headers: &HeaderMap, refusal: Refusal, state: Option<&State>) -> Problem {
        let preconditions = Preconditions::from_headers(headers);
        match refusal {
            Refusal::AlreadySet | Refusal::NotSet => {
                let (reason, detail) = match refusal {
                    Refusal::NotSet => (Reason::NotSet, "There is nothing that is set."),
                    _ => (
                        Reason::AlreadySet,
                        "It is set already, and is set only once.",
                    ),
                };
                let problem = Problem::of(reason, StatusCode::CONFLICT).with_detail(detail);
                match self.policy.existence_type() {
                    Some(type_name) => {
                        let title = title_of(&type_name);
                        problem.with_type(type_name, title)
                    }
                    None => problem,
                }
            }
            Refusal::IfMatch => {
                let sent = preconditions.if_match().map(|field| spelled(&field));
                // As the tag has it: where tags are opaque, versions are nobody's business.
                let current = state.and_then(State::current).and_then(|it| self.tag(it));
                let current = current.map(|tag| String::from_utf8_lossy(tag.opaque()).into_owned());
                self.stale().with_detail(stale_detail(sent, state, current))
            }
            Refusal::NotFound => {
                let sent = preconditions.if_match().map(|field| spelled(&field));
                Problem::of(Reason::NotFound, StatusCode::NOT_FOUND)
                    .with_detail(stale_detail(sent, state, None))
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
        }
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

    /// The current resource through the reader, if it comes with a version that is certain.
    async fn read_back(&self, parts: &Parts) -> Option<Shown> {
        let reader = self.config.reader.as_ref()?;
        for _ in 0..TRIES {
            let before = match self.config.versions() {
                Some(store) => Some(store.current(&self.key).await.ok()?),
                None => None,
            };
            let limit = self.policy.current_resource_limit;
            let found = reader.get(parts, limit).await.ok()?;
            if found.is_too_long {
                return Some(Shown::Elsewhere);
            }
            let body = found.body?;
            let stamped = || self.current_of(found.tag.as_ref()?.borrow());
            if let Some(current) = found.current.or_else(stamped) {
                return self.shown(current, body);
            }
            // The answer does not say which version it is: it is the one that there was before it
            // and is after it.
            let after = self.config.versions()?.current(&self.key).await.ok()?;
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

/// `milestone-already-set` is «Milestone Already Set».
fn title_of(type_name: &str) -> String {
    let words = type_name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    });
    words.collect::<Vec<_>>().join(" ")
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

fn stale_detail(sent: Option<String>, state: Option<&State>, current: Option<String>) -> String {
    let sent = sent.filter(|sent| !sent.is_empty());
    let subject = match sent.as_deref() {
        Some("*") => "If-Match *".to_owned(),
        Some(version) => format!("If-Match version {version}"),
        None => "If-Match".to_owned(),
    };
    match state {
        Some(State::Absent) => format!("{subject} does not match: the resource does not exist."),
        Some(State::Present(_) | State::Unseen(_)) => match current {
            Some(version) => format!("{subject} does not match current version {version}."),
            None => format!("{subject} does not match: the current representation has no version."),
        },
        None => format!("{subject} does not match the current version."),
    }
}
