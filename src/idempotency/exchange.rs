//! One request with a key, or with a body that may have one: up to the point where it is begun.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::key::{IdempotencyKey, KeyError};
use super::layer::Config;
use super::policy::{IdempotencyPolicy, KeyUse};
use super::run::Run;
use super::source::Source;
use super::store::RecordKey;
use super::stored::StoredResponse;
use crate::conditional::{
    Patience, RequestBody, ResponseBody, Unread, Whole, kept_fields, read_body,
};
use crate::observe::{StoreStep, Subject};
use crate::problem::{Problem, Reason};
use crate::store::StoreError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What every step needs to know.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) config: Arc<Config>,
    pub(super) policy: Arc<IdempotencyPolicy>,
    /// For the observer, if there is one.
    pub(super) subject: Option<Subject>,
}

/// A request on its way to its record.
pub(super) struct Keyed<S, B> {
    pub(super) exchange: Exchange,
    /// `None` if it is in the body.
    pub(super) key: Option<IdempotencyKey>,
    pub(super) parts: Parts,
    pub(super) body: B,
    /// The service that was polled ready.
    pub(super) inner: S,
}

impl<S, B, R> Keyed<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
{
    /// Reads the body and finds the key, then runs where the client cannot stop it.
    pub(super) async fn run(self) -> Result<Response<ResponseBody<R>>, S::Error> {
        let Self {
            exchange,
            key,
            parts,
            body,
            mut inner,
        } = self;
        let body = match exchange.read(&parts.headers, body).await {
            ControlFlow::Continue(read) => read,
            ControlFlow::Break(answer) => return Ok(answer),
        };
        let content = body.content().clone();
        let body = RequestBody::read(body);
        let key = match exchange.key(key, &parts, &content) {
            ControlFlow::Continue(Some(key)) => key,
            ControlFlow::Continue(None) => {
                let response = inner.call(Request::from_parts(parts, body)).await?;
                return Ok(response.map(ResponseBody::inner));
            }
            ControlFlow::Break(answer) => return Ok(answer),
        };
        let policy = &exchange.policy;
        let fingerprint = policy.fingerprint_of(&parts, &content, key.scope());
        let run = Run {
            exchange: exchange.clone(),
            key,
            fingerprint,
            parts,
            content,
        };
        let asked = match run.ask() {
            ControlFlow::Continue(asked) => asked,
            ControlFlow::Break(answer) => return Ok(answer),
        };
        let kept = kept_fields(&run.parts.headers);
        let runtime = exchange.config.runtime.clone();
        let work = |client| run.run(asked, body, inner, client);
        // Apart, so that a replay is not moved about with room for all that a first run needs.
        let answer = Box::pin(runtime.detach(work)).await;
        // A handler that panics takes its task along; its attempt was abandoned on the way down.
        answer.unwrap_or_else(|| Ok(exchange.outcome_unknown(&kept)))
    }
}

impl Exchange {
    async fn read<B, R>(
        &self,
        headers: &HeaderMap,
        body: B,
    ) -> ControlFlow<Response<ResponseBody<R>>, Whole>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let limit = self.policy.request_limit;
        let problem = match read_body(body, limit).await {
            Ok(body) => return ControlFlow::Continue(body),
            Err(Unread::TooLong) => {
                Problem::of(Reason::ContentTooLarge, StatusCode::PAYLOAD_TOO_LARGE)
                    .with_detail(format!("The content is longer than {limit} bytes."))
            }
            Err(Unread::BrokeOff) => {
                Problem::of(Reason::ContentUnreadable, StatusCode::BAD_REQUEST)
                    .with_detail("The content broke off. Nothing was changed.")
            }
        };
        ControlFlow::Break(self.answer(headers, problem))
    }

    /// Where the request's record is; `None` if it has no key and needs none.
    fn key<R>(
        &self,
        key: Option<IdempotencyKey>,
        parts: &Parts,
        content: &Bytes,
    ) -> ControlFlow<Response<ResponseBody<R>>, Option<RecordKey>> {
        let headers = &parts.headers;
        let key = match (key, &self.policy.source.0) {
            (Some(key), _) => Some(["header:", key.as_str()].concat()),
            (None, Source::Header(_)) => None,
            (None, Source::Body { kind, find, .. }) => match find(parts, content) {
                Ok(key) => key.map(|key| format!("{kind}:{key}")),
                Err(error) => return ControlFlow::Break(self.key_malformed(headers, error)),
            },
        };
        match key {
            Some(key) => match (self.config.principal)(parts) {
                Some(scope) => ControlFlow::Continue(Some(RecordKey::new(scope, key))),
                None => ControlFlow::Break(self.identity_missing(headers)),
            },
            None if self.policy.key_use_of(&parts.method) == KeyUse::Required => {
                ControlFlow::Break(self.key_missing(headers))
            }
            None => ControlFlow::Continue(None),
        }
    }

    pub(super) fn answer<R>(
        &self,
        headers: &HeaderMap,
        problem: Problem,
    ) -> Response<ResponseBody<R>> {
        let response = self.policy.renderer.answer(headers, problem);
        if let Some(subject) = &self.subject {
            subject.answered(&response, true);
        }
        response
    }

    /// How long a request waits for the store.
    pub(super) fn patience(&self) -> Patience<'_> {
        Patience {
            runtime: &self.config.runtime,
            limit: self.policy.store_timeout,
        }
    }

    /// Tells the observer that the store has failed.
    pub(super) fn store_failed(&self, step: StoreStep, error: &StoreError) {
        if let Some(subject) = &self.subject {
            subject.store_failed(step, error);
        }
    }

    pub(super) fn key_missing<R>(&self, headers: &HeaderMap) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::KeyMissing, StatusCode::BAD_REQUEST)
            .with_detail("Send a key of your own making, a UUID say, and the same one on a retry.");
        self.answer(headers, problem)
    }

    pub(super) fn key_malformed<R>(
        &self,
        headers: &HeaderMap,
        error: KeyError,
    ) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::KeyMalformed, StatusCode::BAD_REQUEST)
            .with_detail(format!("The idempotency key cannot be read: {error}."));
        self.answer(headers, problem)
    }

    fn identity_missing<R>(&self, headers: &HeaderMap) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::IdentityMissing, StatusCode::BAD_REQUEST)
            .with_detail("An idempotency key needs somebody whose key it is. Nothing was changed.");
        self.answer(headers, problem)
    }

    /// The handler was called, and nobody knows what it did.
    pub(super) fn outcome_unknown<R>(&self, headers: &HeaderMap) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::OutcomeUnknown, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail("The request may have been carried out. Try again with the same key.");
        self.answer(headers, problem)
    }

    /// The request was carried out, but its answer is not there to be sent.
    pub(super) fn not_stored<R>(
        &self,
        headers: &HeaderMap,
        stored: &StoredResponse,
    ) -> Response<ResponseBody<R>> {
        let detail = format!(
            "The request was carried out with status {}. The content of that answer was not kept.",
            stored.status().as_u16()
        );
        let problem =
            Problem::of(Reason::ResultNotStored, StatusCode::CONFLICT).with_detail(detail);
        let mut response = self.answer(headers, problem);
        if let Some(location) = stored.location() {
            let name = http::header::LOCATION;
            response.headers_mut().insert(name, location.clone());
        }
        response
    }
}
