//! One request with its key: begin, run, settle.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::duplicate::{Duplicate, OnDuplicate};
use super::exchange::Exchange;
use super::fingerprint::Fingerprint;
use super::policy::{InDoubt, Keep};
use super::store::{Attempt, BeginOptions, Begun, Ending, IdempotencyStore, RecordKey};
use super::stored::StoredResponse;
use super::ticket::Ticket;
use crate::conditional::{RequestBody, ResponseBody, collect, kept_fields};
use crate::observe::StoreStep;
use crate::problem::{Problem, Reason};
use crate::runtime::Client;
use crate::store::{Answer, StoreError};

/// Between two looks at a request that is in flight; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// How often a key is taken over that others take over at the same time.
const TRIES: usize = 4;

/// A request with its key.
pub(super) struct Run {
    pub(super) exchange: Exchange,
    pub(super) key: RecordKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) parts: Parts,
    pub(super) content: Bytes,
}

impl Run {
    pub(super) async fn run<S, B, R>(
        mut self,
        asked: Asked,
        body: RequestBody<B>,
        mut inner: S,
        client: Client,
    ) -> Result<Response<ResponseBody<R>>, S::Error>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>>,
        R: Body<Data = Bytes>,
    {
        let begun = match self.begin(asked, &client).await {
            ControlFlow::Continue(begun) => begun,
            ControlFlow::Break(answer) => return Ok(answer),
        };
        let kept = kept_fields(&self.parts.headers);
        let exchange = self.exchange;
        let ticket = Ticket::new(begun.attempt.clone());
        self.parts.extensions.insert(ticket.clone());
        let call = inner.call(Request::from_parts(self.parts, body));
        let work = async {
            let response = call.await?;
            Ok(exchange.finish(&kept, begun, &ticket, response).await)
        };
        match ticket.attempt().lease() {
            None => work.await,
            Some(lease) => {
                let limit = lease / 10 * 9;
                let finished = exchange.config.runtime.within(limit, work).await;
                finished.unwrap_or_else(|| Ok(exchange.outcome_unknown(&kept)))
            }
        }
    }

    /// Asks the store for the first time. A first answer that is there at once is replayed at
    /// once: nothing runs that would have to be kept from the client's leaving.
    pub(super) fn ask<R>(&self) -> ControlFlow<Response<ResponseBody<R>>, Asked> {
        let Exchange { config, policy, .. } = &self.exchange;
        let begun = config
            .store
            .begin(&self.key, &self.fingerprint, self.options());
        ControlFlow::Continue(match begun.try_ready() {
            Ok(Ok(Begun::Started(attempt))) => {
                Asked::Started(Running::new(Arc::clone(&config.store), attempt))
            }
            Ok(Ok(Begun::Done { response, .. }))
                if matches!(policy.on_duplicate, OnDuplicate::Replay) =>
            {
                return ControlFlow::Break(self.replay(&response));
            }
            Ok(begun) => Asked::Answer(Answer::ready(begun)),
            Err(later) => Asked::Answer(later),
        })
    }

    fn options(&self) -> BeginOptions {
        let policy = &self.exchange.policy;
        BeginOptions {
            lease: policy.lease,
            ttl: policy.ttl,
            instead_of: None,
        }
    }

    /// Starts an attempt, or answers without the handler.
    async fn begin<R>(
        &mut self,
        asked: Asked,
        client: &Client,
    ) -> ControlFlow<Response<ResponseBody<R>>, Running> {
        let mut first = match asked {
            Asked::Answer(answer) => Some(answer),
            Asked::Started(running) => return ControlFlow::Continue(running),
        };
        let policy = Arc::clone(&self.exchange.policy);
        let config = Arc::clone(&self.exchange.config);
        let mut options = self.options();
        let mut patience = policy.wait();
        let mut pause = FIRST_PAUSE;
        let mut tries = TRIES;
        while tries > 0 {
            let ask = || {
                let store = &config.store;
                store.begin(&self.key, &self.fingerprint, options)
            };
            let answer = first.take().unwrap_or_else(ask);
            let begun = match self.exchange.patience().bound(answer).await {
                Ok(begun) => begun,
                Err(error) => {
                    self.exchange.store_failed(StoreStep::Begin, &error);
                    return ControlFlow::Break(self.unavailable());
                }
            };
            options.instead_of = match begun {
                Begun::Done { token, response } => {
                    tries -= 1;
                    self.duplicate(response).await?;
                    Some(token)
                }
                Begun::InDoubt { token } => {
                    tries -= 1;
                    if policy.in_doubt_of(&self.parts) == InDoubt::Refuse {
                        return ControlFlow::Break(self.earlier_outcome_unknown());
                    }
                    Some(token)
                }
                Begun::InFlight { retry_after } => {
                    if patience.is_zero() || !config.runtime.has_timer() {
                        return ControlFlow::Break(self.in_progress(retry_after));
                    }
                    pause = pause.min(patience);
                    config.runtime.sleep(Some(pause)).await;
                    if client.has_left() {
                        // It left while it waited: the request must not be run behind its back.
                        return ControlFlow::Break(Response::new(ResponseBody::default()));
                    }
                    if let Some(subject) = &mut self.exchange.subject {
                        subject.waited += pause;
                    }
                    patience -= pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    None
                }
                Begun::Mismatch => {
                    let problem = Problem::of(Reason::KeyReused, StatusCode::UNPROCESSABLE_ENTITY)
                        .with_detail("The idempotency key was used with another request.");
                    let headers = &self.parts.headers;
                    return ControlFlow::Break(self.exchange.answer(headers, problem));
                }
                Begun::Started(attempt) => {
                    let running = Running::new(Arc::clone(&config.store), attempt);
                    return ControlFlow::Continue(running);
                }
            };
        }
        ControlFlow::Break(self.in_progress(Duration::ZERO))
    }

    /// The answer to a request that was made before, unless the policy finds that it is a new one.
    async fn duplicate<R>(
        &self,
        response: Arc<StoredResponse>,
    ) -> ControlFlow<Response<ResponseBody<R>>> {
        let policy = &self.exchange.policy;
        let headers = &self.parts.headers;
        let duplicate = |response| Duplicate {
            method: self.parts.method.clone(),
            uri: self.parts.uri.clone(),
            key: self.key.clone(),
            content: self.content.clone(),
            response,
        };
        match &policy.on_duplicate {
            OnDuplicate::AnswerWith(answer) => match answer(duplicate(response)).await {
                Some(answer) => {
                    self.exchange.replayed(&answer);
                    ControlFlow::Break(answer.map(ResponseBody::full))
                }
                None => ControlFlow::Continue(()),
            },
            OnDuplicate::Reject(problem) => {
                let problem = problem(&duplicate(response));
                ControlFlow::Break(self.exchange.answer(headers, problem))
            }
            OnDuplicate::Replay => ControlFlow::Break(self.replay(&response)),
        }
    }

    fn replay<R>(&self, stored: &StoredResponse) -> Response<ResponseBody<R>> {
        let exchange = &self.exchange;
        let mut response = match stored.content() {
            Some(content) => {
                let mut response = Response::new(ResponseBody::full(content.clone()));
                *response.status_mut() = stored.status();
                response.headers_mut().clone_from(stored.headers());
                exchange.replayed(&response);
                response
            }
            None => exchange.not_stored(&self.parts.headers, stored),
        };
        let marker = exchange.policy.replayed.clone();
        let headers = response.headers_mut();
        headers.insert(marker, HeaderValue::from_static("true"));
        response
    }

    fn in_progress<R>(&self, retry_after: Duration) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::InProgress, StatusCode::CONFLICT)
            .with_detail("A request with this idempotency key is being answered.")
            .with_retry_after(retry_after);
        self.exchange.answer(&self.parts.headers, problem)
    }

    fn earlier_outcome_unknown<R>(&self) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::EarlierOutcomeUnknown, StatusCode::CONFLICT).with_detail(
            "A request with this idempotency key was not answered. It may have been carried out: \
             look before you send it with a new key.",
        );
        self.exchange.answer(&self.parts.headers, problem)
    }

    fn unavailable<R>(&self) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::StoreUnavailable, StatusCode::SERVICE_UNAVAILABLE)
            .with_detail("Idempotency keys cannot be looked up at the moment. Nothing was changed.")
            .with_retry_after(Duration::from_secs(1));
        self.exchange.answer(&self.parts.headers, problem)
    }
}

impl Exchange {
    fn replayed<B>(&self, response: &Response<B>) {
        if let Some(subject) = &self.subject {
            subject.replayed(response);
        }
    }

    fn handled<B>(&self, response: Response<B>) -> Response<B> {
        if let Some(subject) = &self.subject {
            subject.answered(&response, false);
        }
        response
    }

    /// If the store does not answer, the attempt is abandoned. The client gets the handler's answer
    /// all the same: it was carried out.
    async fn settle(&self, mut running: Running, ending: Ending) {
        let settling = running.store.settle(&running.attempt, ending);
        match self.patience().bound(settling).await {
            Ok(_) => running.is_open = false,
            Err(error) => self.store_failed(StoreStep::Settle, &error),
        }
    }

    /// Settles the attempt with what the handler answered, and passes that on.
    async fn finish<R>(
        &self,
        kept: &HeaderMap,
        running: Running,
        ticket: &Ticket,
        response: Response<R>,
    ) -> Response<ResponseBody<R>>
    where
        R: Body<Data = Bytes>,
    {
        let (head, body) = response.into_parts();
        let head = Response::from_parts(head, ());
        let keep = self.policy.keep_of(&head);
        if keep != Keep::Store && ticket.is_completed() {
            running.leave();
            return self.handled(head.map(|()| ResponseBody::inner(body)));
        }
        let ending = match keep {
            Keep::InDoubt => Ending::InDoubt,
            Keep::Release => Ending::NotRun,
            Keep::Store => {
                let stored = self.stored_head(&head);
                let limit = self.policy.answer_limit;
                let fits = |length| usize::try_from(length).is_ok_and(|length| length <= limit);
                if !body.size_hint().exact().is_some_and(fits) {
                    // Too long, or a stream of nobody knows what length: not to be held up.
                    self.settle(running, Ending::Done(stored.without_content()))
                        .await;
                    return self.handled(head.map(|()| ResponseBody::inner(body)));
                }
                let Ok(body) = collect(body, usize::MAX).await else {
                    let stored = stored.without_content();
                    let answer = self.not_stored(kept, &stored);
                    self.settle(running, Ending::Done(stored)).await;
                    return answer;
                };
                let ending = Ending::Done(stored.with_content(body.content().clone()));
                self.settle(running, ending).await;
                return self.handled(head.map(|()| ResponseBody::read(body)));
            }
        };
        self.settle(running, ending).await;
        self.handled(head.map(|()| ResponseBody::inner(body)))
    }

    fn stored_head(&self, head: &Response<()>) -> StoredResponse {
        let mut stored = StoredResponse::new(head.status());
        for name in &self.policy.kept_headers {
            for value in head.headers().get_all(name) {
                stored = stored.with_header(name.clone(), value.clone());
            }
        }
        stored
    }
}

/// What the store said at first.
pub(super) enum Asked {
    Answer(Answer<Result<Begun, StoreError>>),
    Started(Running),
}

/// An attempt that is abandoned unless it is settled.
pub(super) struct Running {
    store: Arc<dyn IdempotencyStore>,
    attempt: Attempt,
    is_open: bool,
}

impl Running {
    const fn new(store: Arc<dyn IdempotencyStore>, attempt: Attempt) -> Self {
        Self {
            store,
            attempt,
            is_open: true,
        }
    }

    /// Somebody else has settled it.
    fn leave(mut self) {
        self.is_open = false;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_open {
            self.store.abandon(&self.attempt);
        }
    }
}
