//! Writes in claim mode: the handler knows nothing, so the layer keeps everybody else away from
//! the resource while it runs.
//!
//! The body is read first, the claim is taken last, and from the moment that it is granted nothing
//! may lose it: it is settled with what the handler did, or abandoned, and then the store holds it
//! until whatever may still be under way must have ended.

use std::future::{Future, pending, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use http::header::{EXPECT, RANGE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_service::Service;

use super::body::{RequestBody, ResponseBody};
use super::exchange::Exchange;
use super::respond::kept_fields;
use crate::decision::Decision;
use crate::policy::RequestBodies;
use crate::report::{Report, Representation};
use crate::runtime::Runtime;
use crate::store::{
    Claim, ClaimOptions, ClaimStore, Claimed, Condition, Intent, Outcome, Settled, Snapshot, State,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An upload longer than this is worth a look at the store before it is read.
const SMALL_BODY: u64 = 64 * 1024;

/// How often a claim is tried whose condition keeps changing under it.
const TRIES: usize = 4;

/// A write on its way to its claim.
pub(super) struct Write<S, B> {
    pub(super) exchange: Exchange,
    pub(super) store: Arc<dyn ClaimStore>,
    pub(super) parts: Parts,
    pub(super) body: B,
    /// The service that was polled ready.
    pub(super) inner: S,
}

impl<S, B> Write<S, B> {
    /// Refuses at once what can be refused at once: no upload, no claim, no task.
    pub(super) fn refuse_at_once<R>(&self) -> Option<Response<ResponseBody<R>>> {
        let headers = &self.parts.headers;
        if let Some(refusal) = self.exchange.refuse_unseen(headers) {
            return Some(self.exchange.refuse(headers, refusal, None));
        }
        let known = self.store.current(&self.exchange.key).try_ready().ok()?;
        self.refuse_known(&known.ok()?)
    }

    /// Only an optimisation: the claim decides. An open write may yet change everything.
    fn refuse_known<R>(&self, snapshot: &Snapshot) -> Option<Response<ResponseBody<R>>> {
        if !snapshot.settled {
            return None;
        }
        let headers = &self.parts.headers;
        match self.exchange.decide(headers, &snapshot.state) {
            Decision::Refuse(refusal) => Some(self.exchange.refuse(
                headers,
                refusal,
                Some(&snapshot.state),
            )),
            _ => None,
        }
    }
}

impl<S, B, R> Write<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Send + 'static,
{
    /// Reads the body, then claims and runs, where the client cannot stop it.
    pub(super) async fn run(self) -> Result<Response<ResponseBody<R>>, S::Error> {
        if self
            .body
            .size_hint()
            .upper()
            .is_none_or(|upper| upper > SMALL_BODY)
        {
            match self.store.current(&self.exchange.key).await {
                Ok(snapshot) => {
                    if let Some(refusal) = self.refuse_known(&snapshot) {
                        return Ok(refusal);
                    }
                }
                Err(_) => return Ok(self.exchange.unavailable(&self.parts.headers)),
            }
        }
        let body = match self.exchange.policy.request_body {
            RequestBodies::Stream => RequestBody::new(self.body),
            RequestBodies::Buffer(limit) => match read_body(self.body, limit).await {
                Ok(body) => body,
                Err(Unread::TooLong) => {
                    return Ok(self.exchange.content_too_large(&self.parts.headers, limit));
                }
                Err(Unread::BrokeOff) => {
                    return Ok(self.exchange.content_unreadable(&self.parts.headers));
                }
            },
        };
        let kept = kept_fields(&self.parts.headers);
        let exchange = self.exchange.clone();
        let attempt = Attempt {
            exchange: self.exchange,
            store: self.store,
            request: Request::from_parts(self.parts, body),
            inner: self.inner,
        };
        let answer = match attempt.run_detached().await? {
            Ended::Answer(answer) => answer,
            Ended::Conflict(current) => exchange.late_conflict(&kept, current.as_ref()),
            Ended::Unknown => exchange.outcome_unknown(&kept),
        };
        if exchange.is_warned(&kept) {
            return Ok(Exchange::warn(answer));
        }
        Ok(answer)
    }
}

/// How a claimed write ended.
enum Ended<R> {
    Answer(Response<ResponseBody<R>>),
    /// The handler itself saw a conflict, and wrote nothing.
    Conflict(Option<Representation>),
    /// The handler never answered, or answered when its claim was no longer its own.
    Unknown,
}

/// A write with all that it needs in hand.
struct Attempt<S, B> {
    exchange: Exchange,
    store: Arc<dyn ClaimStore>,
    request: Request<RequestBody<B>>,
    inner: S,
}

impl<S, B, R> Attempt<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    R: Send + 'static,
{
    /// Runs where a client that leaves cannot stop it, if there is such a place.
    async fn run_detached(self) -> Result<Ended<R>, S::Error> {
        let runtime = self.exchange.config.runtime.clone();
        let (sender, receiver) = oneshot::channel();
        let Some(executor) = runtime.executor() else {
            return self.run(|| false).await;
        };
        executor.execute(Box::pin(async move {
            let ended = self.run(|| sender.is_canceled()).await;
            // Nobody may be waiting any more; the write is done all the same.
            drop(sender.send(ended));
        }));
        // A handler that panics takes its task along; its claim was abandoned on the way down.
        receiver.await.unwrap_or(Ok(Ended::Unknown))
    }

    async fn run(mut self, client_left: impl Fn() -> bool) -> Result<Ended<R>, S::Error> {
        let claimed = claim(&self.exchange, &self.store, self.request.headers()).await;
        let held = match claimed {
            ControlFlow::Continue(held) => held,
            ControlFlow::Break(answer) => return Ok(Ended::Answer(answer)),
        };
        if client_left() {
            // It left while it waited: its write must not happen after all.
            held.release().await;
            return Ok(Ended::Unknown);
        }
        let mut limit = pin!(held.time_to_finish(&self.exchange.config.runtime));
        let refused = match self.exchange.decide(self.request.headers(), held.state()) {
            Decision::Refuse(refusal) => Some((refusal, held.state().clone())),
            Decision::Probe => {
                let probe = probe_request(&self.request);
                let probed = probe_existence(self.inner.clone(), probe, held.state());
                let probed = first(probed, limit.as_mut()).await.transpose()?;
                let Some(state) = probed.flatten() else {
                    held.release().await;
                    let headers = self.request.headers();
                    return Ok(Ended::Answer(self.exchange.unavailable(headers)));
                };
                match self.exchange.decide(self.request.headers(), &state) {
                    Decision::Refuse(refusal) => Some((refusal, state)),
                    _ => None,
                }
            }
            Decision::Forward { .. } | Decision::Reuse => None,
        };
        if let Some((refusal, state)) = refused {
            held.release().await;
            let headers = self.request.headers();
            let answer = self.exchange.refuse(headers, refusal, Some(&state));
            return Ok(Ended::Answer(answer));
        }
        let call = self.inner.call(self.request);
        let Some(response) = first(call, limit).await.transpose()? else {
            return Ok(Ended::Unknown);
        };
        Ok(settle(&self.exchange, held, response).await)
    }
}

/// Takes the claim, or answers without the handler.
async fn claim<R>(
    exchange: &Exchange,
    store: &Arc<dyn ClaimStore>,
    headers: &HeaderMap,
) -> ControlFlow<Response<ResponseBody<R>>, Held> {
    let mut condition = match exchange.if_match(headers) {
        Condition::Unconditional => exchange.if_none_match(headers),
        if_match => if_match,
    };
    let options = ClaimOptions {
        wait: exchange.policy.wait(&exchange.method),
        lease: exchange.policy.lease,
        intent: match exchange.method {
            Method::DELETE => Intent::Delete,
            _ => Intent::Write,
        },
    };
    for _ in 0..TRIES {
        let claimed = store.claim(&exchange.key, &condition, options).await;
        let state = match claimed {
            Ok(Claimed::Granted(claim)) => {
                return ControlFlow::Continue(Held::new(Arc::clone(store), claim));
            }
            Ok(Claimed::Failed(state)) => state,
            Ok(Claimed::Busy {
                retry_after,
                holder,
            }) => return ControlFlow::Break(exchange.busy(headers, retry_after, holder)),
            Err(_) => return ControlFlow::Break(exchange.unavailable(headers)),
        };
        if let Decision::Refuse(refusal) = exchange.decide(headers, &state) {
            return ControlFlow::Break(exchange.refuse(headers, refusal, Some(&state)));
        }
        // The handler is to say 404 of a resource that is missing: it may, for as long as the
        // resource stays missing.
        condition = exactly(&state);
    }
    ControlFlow::Break(exchange.busy(headers, Duration::ZERO, Intent::Write))
}

/// The condition that only `state` meets.
fn exactly(state: &State) -> Condition {
    match state.current().map(|current| current.version.clone()) {
        None => Condition::Absent,
        Some(None) => Condition::Exists,
        Some(Some(version)) => Condition::AnyOf(vec![version]),
    }
}

/// A claim that is abandoned unless it is settled.
struct Held {
    store: Arc<dyn ClaimStore>,
    claim: Option<Claim>,
    state: State,
    lease: Option<Duration>,
}

impl Held {
    fn new(store: Arc<dyn ClaimStore>, claim: Claim) -> Self {
        Self {
            store,
            state: claim.state().clone(),
            lease: claim.lease(),
            claim: Some(claim),
        }
    }

    const fn state(&self) -> &State {
        &self.state
    }

    /// Is ready when all that is done under the claim must be over: with its lease, less a tenth to
    /// spare for settling. Never, if it has none.
    fn time_to_finish(&self, runtime: &Runtime) -> impl Future<Output = ()> + Send + use<> {
        let sleep = self.lease.map(|lease| runtime.sleep(lease / 10 * 9));
        async {
            match sleep {
                Some(sleep) => sleep.await,
                None => pending().await,
            }
        }
    }

    /// `None` if the store did not answer; the claim is then abandoned.
    async fn settle(mut self, outcome: Outcome) -> Option<Settled> {
        // The claim stays here until the store has answered: whoever drops this future in the
        // middle abandons it, which is a no-op once it is settled.
        let claim = self.claim.clone()?;
        let settled = self.store.settle(claim, outcome).await.ok()?;
        self.claim = None;
        Some(settled)
    }

    /// Nothing was done under this claim.
    async fn release(self) {
        self.settle(Outcome::Unchanged).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.store.abandon(claim);
        }
    }
}

/// Ends the claim with what the handler did, and stamps its answer.
async fn settle<R>(exchange: &Exchange, held: Held, mut response: Response<R>) -> Ended<R> {
    let report = response.extensions_mut().remove::<Report>();
    let (head, body) = response.into_parts();
    let head = Response::from_parts(head, ());
    let outcome = match &report {
        Some(Report::Conflict { .. } | Report::Unchanged) => Outcome::Unchanged,
        Some(Report::Deleted) => Outcome::Deleted,
        Some(Report::Wrote(_)) => Outcome::Written,
        Some(Report::Read(_)) | None => exchange.policy.outcome_of(&exchange.method, &head),
    };
    let settled = held.settle(outcome).await;
    let mut response = head.map(|()| ResponseBody::inner(body));
    let success = response.status().is_success();
    match (report, settled) {
        (Some(Report::Conflict { current }), _) => return Ended::Conflict(current),
        (_, Some(Settled::Fenced(_))) if success => return Ended::Unknown,
        (_, Some(Settled::Done(State::Present(current))))
            if !creates_another(exchange, &response) =>
        {
            exchange.stamp_write(&mut response, &current);
        }
        _ => {}
    }
    Ended::Answer(response)
}

/// A `POST` that creates answers with another resource than the one that it was sent to.
fn creates_another<R>(exchange: &Exchange, response: &Response<R>) -> bool {
    exchange.method == Method::POST && response.status() == StatusCode::CREATED
}

/// A `GET` of the same resource, by the same principal.
fn probe_request<B>(request: &Request<RequestBody<B>>) -> Request<RequestBody<B>> {
    let mut probe = Request::new(RequestBody::empty());
    *probe.uri_mut() = request.uri().clone();
    *probe.version_mut() = request.version();
    *probe.extensions_mut() = request.extensions().clone();
    for (name, value) in request.headers() {
        let of_this_request = name.as_str().starts_with("if-")
            || name.as_str().starts_with("content-")
            || [EXPECT, RANGE, TRANSFER_ENCODING].contains(name);
        if !of_this_request {
            probe.headers_mut().append(name, value.clone());
        }
    }
    probe
}

/// Asks the handler whether a resource exists of which the store was never told; `None` if it
/// cannot say.
async fn probe_existence<S, B, R>(
    mut inner: S,
    probe: Request<RequestBody<B>>,
    unseen: &State,
) -> Result<Option<State>, S::Error>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
{
    poll_fn(|context| inner.poll_ready(context)).await?;
    let status = inner.call(probe).await?.status();
    Ok(match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Some(State::Absent),
        status if status.is_server_error() => None,
        _ => unseen.current().cloned().map(State::Present),
    })
}

enum Unread {
    BrokeOff,
    TooLong,
}

async fn read_body<B>(body: B, limit: usize) -> Result<RequestBody<B>, Unread>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLong);
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(RequestBody::read(body)),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLong),
        Err(_) => Err(Unread::BrokeOff),
    }
}

/// `work`'s result, or `None` if `limit` was there first.
async fn first<T>(work: impl Future<Output = T>, limit: impl Future<Output = ()>) -> Option<T> {
    let mut work = pin!(work);
    let mut limit = pin!(limit);
    // The limit goes first: after a stall both may be ready, and late work must not be done.
    poll_fn(|context| match limit.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => work.as_mut().poll(context).map(Some),
    })
    .await
}
