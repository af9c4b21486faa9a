//! Writes in claim mode: the handler knows nothing, so the layer keeps everybody else away from
//! the resource while it runs.
//!
//! The body is read first and the claim is taken last, so that nobody waits for a slow upload. All
//! of it runs where a client that leaves cannot stop it, if there is such a place.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::body::{RequestBody, ResponseBody};
use super::claims::Claims;
use super::exchange::Exchange;
use super::reader::Reader;
use super::refuse::Stop;
use super::respond::kept_fields;
use super::settling::Settling;
use super::upload::{Unread, read_body};
use crate::decision::Decision;
use crate::policy::{RequestBodies, SettleAt};
use crate::report::{Report, Representation};
use crate::runtime::{Client, unless};
use crate::store::{ClaimStore, Outcome, Settled, Snapshot, State};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An upload longer than this is worth a look at the store before it is read.
const SMALL_BODY: u64 = 64 * 1024;

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
    pub(super) fn refuse_at_once<R>(&self) -> Option<Stop<R>> {
        if let Some(refusal) = self.exchange.refuse_unseen(&self.parts.headers) {
            return Some(Stop::Refuse(refusal, None));
        }
        let known = self.store.current(&self.exchange.key).try_ready().ok()?;
        self.refuse_known(known.ok()?)
    }

    /// Only an optimisation: the claim decides. An open write may yet change everything.
    fn refuse_known<R>(&self, snapshot: Snapshot) -> Option<Stop<R>> {
        if !snapshot.settled {
            return None;
        }
        match self.exchange.decide(&self.parts.headers, &snapshot.state) {
            Decision::Refuse(refusal) => Some(Stop::Refuse(refusal, Some(snapshot.state))),
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
                    if let Some(stop) = self.refuse_known(snapshot) {
                        return Ok(self.exchange.stopped(&self.parts, stop).await);
                    }
                }
                Err(_) => return Ok(self.exchange.unavailable(&self.parts.headers)),
            }
        }
        let body = match self.exchange.policy.request_body {
            RequestBodies::Stream => RequestBody::new(self.body),
            RequestBodies::Buffer(limit) => match read_body(self.body, limit).await {
                Ok(body) => RequestBody::read(body),
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
            parts: self.parts,
            body,
            inner: self.inner,
        };
        let runtime = exchange.config.runtime.clone();
        match runtime.detach(|client| attempt.run(client)).await {
            Some(answer) => answer,
            // A handler that panics takes its task along; its claim was abandoned on the way down.
            None => Ok(exchange.outcome_unknown(&kept)),
        }
    }
}

/// How the handler of a claimed write ended.
enum Ended<R> {
    Answer(Response<ResponseBody<R>>),
    /// The handler itself saw a conflict, and wrote nothing.
    Conflict(Option<Representation>),
    /// It answered when its claim was no longer its own.
    Unknown,
}

/// A write with all that it needs in hand.
struct Attempt<S, B> {
    exchange: Exchange,
    store: Arc<dyn ClaimStore>,
    parts: Parts,
    body: RequestBody<B>,
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
    async fn run(mut self, client: Client) -> Result<Response<ResponseBody<R>>, S::Error> {
        let others = self.exchange.policy.others(&self.parts, &self.exchange.key);
        let headers = &self.parts.headers;
        let asked = Instant::now();
        let claims = match Claims::take(&self.exchange, &self.store, headers, others).await {
            ControlFlow::Continue(claims) => claims,
            ControlFlow::Break(stop) => return Ok(self.exchange.stopped(&self.parts, stop).await),
        };
        self.exchange.waited = asked.elapsed();
        if client.has_left() {
            // It left while it waited: its write must not happen after all.
            claims.release().await;
            return Ok(Response::new(ResponseBody::default()));
        }
        let runtime = self.exchange.config.runtime.clone();
        let mut limit = pin!(runtime.sleep(claims.time_to_finish()));
        let refused = refuse_claimed(&self.exchange, &self.parts, claims.state());
        let refused = unless(limit.as_mut(), refused).await.unwrap_or_else(|| {
            let answer = self.exchange.unavailable(&self.parts.headers);
            Some(Stop::Answer(answer))
        });
        if let Some(stop) = refused {
            claims.release().await;
            return Ok(self.exchange.stopped(&self.parts, stop).await);
        }
        let kept = kept_fields(&self.parts.headers);
        let parts = self.exchange.reads_back().then(|| self.parts.clone());
        let call = self.inner.call(Request::from_parts(self.parts, self.body));
        let Some(response) = unless(limit, call).await.transpose()? else {
            return Ok(self.exchange.outcome_unknown(&kept));
        };
        match settle(&self.exchange, claims, response).await {
            Ended::Answer(answer) => Ok(answer),
            Ended::Conflict(current) => {
                let answer = self.exchange.late_conflict(&kept, parts.as_ref(), current);
                match answer {
                    Ok(answer) => Ok(answer),
                    Err(reading) => Ok(reading.await),
                }
            }
            Ended::Unknown => Ok(self.exchange.outcome_unknown(&kept)),
        }
    }
}

/// Decides again, now that nobody can change the state any more.
async fn refuse_claimed<R>(exchange: &Exchange, parts: &Parts, state: &State) -> Option<Stop<R>> {
    let headers = &parts.headers;
    match exchange.decide(headers, state) {
        Decision::Forward { .. } | Decision::Reuse => return None,
        Decision::Refuse(refusal) => return Some(Stop::Refuse(refusal, Some(state.clone()))),
        Decision::Probe => {}
    }
    let Some(known) = find_out(exchange.config.reader.as_ref(), parts, state).await else {
        return Some(Stop::Answer(exchange.existence_unknown(headers)));
    };
    match exchange.decide(headers, &known) {
        Decision::Refuse(refusal) => Some(Stop::Refuse(refusal, Some(known))),
        _ => None,
    }
}

/// Ends the claim with what the handler did, and stamps its answer.
async fn settle<R>(exchange: &Exchange, claims: Claims, mut response: Response<R>) -> Ended<R> {
    let report = response.extensions_mut().remove::<Report>();
    let (head, body) = response.into_parts();
    let head = Response::from_parts(head, ());
    let outcome = match &report {
        Some(Report::Conflict { .. } | Report::Unchanged) => Outcome::Unchanged,
        Some(Report::Deleted) => Outcome::Deleted,
        Some(Report::Created { .. } | Report::Wrote(_)) => Outcome::Written,
        Some(Report::Read(_)) | None => exchange.policy.outcome_of(&exchange.method, &head),
    };
    if report.is_none() && exchange.policy.is_unfinished(&head) {
        // What a timeout cut off may still be under way: the claims are abandoned.
        exchange.tell(&head, None, None);
        return Ended::Answer(head.map(|()| ResponseBody::inner(body)));
    }
    let conflict = matches!(report, Some(Report::Conflict { .. }));
    if exchange.policy.settle_at == SettleAt::BodyEnd && !conflict {
        return Ended::Answer(settle_at_body_end(exchange, claims, outcome, head, body));
    }
    let base = claims
        .state()
        .current()
        .and_then(|current| current.version.clone());
    let settled = claims.settle(outcome).await;
    let mut response = head.map(|()| ResponseBody::inner(body));
    let success = response.status().is_success();
    let new = match &settled {
        Some(Settled::Done(state)) if outcome != Outcome::Unchanged => state.current(),
        _ => None,
    };
    let new = new.and_then(|current| current.version.clone());
    match (report, settled) {
        (Some(Report::Conflict { current }), _) => return Ended::Conflict(current),
        (_, Some(Settled::Fenced(_))) if success => return Ended::Unknown,
        (Some(Report::Created { key, current }), _) => {
            exchange.stamp_created(&mut response, key, &current);
        }
        // The handler knows the version that it made better than any store beside its data.
        (Some(Report::Wrote(current)), _) => exchange.stamp_write(&mut response, &current),
        (_, Some(Settled::Done(State::Present(current))))
            if !creates_another(exchange, &response) =>
        {
            exchange.stamp_write(&mut response, &current);
        }
        _ => {}
    }
    exchange.warn(&mut response);
    exchange.tell(&response, base.as_ref(), new.as_ref());
    Ended::Answer(response)
}

/// Leaves the claims to the body, which settles them when it ends.
fn settle_at_body_end<R>(
    exchange: &Exchange,
    claims: Claims,
    outcome: Outcome,
    head: Response<()>,
    body: R,
) -> Response<ResponseBody<R>> {
    let stamps = exchange.is_stamped(&head) && !creates_another(exchange, &head);
    let stamper = exchange.clone();
    let stamp = move |settled: &Settled, trailers: &mut HeaderMap| {
        if let Settled::Done(State::Present(current)) = settled
            && stamps
        {
            stamper.add_validators(trailers, current);
        }
    };
    let base = claims
        .state()
        .current()
        .and_then(|current| current.version.clone());
    let end = Settling::new(claims, outcome, stamp);
    let mut response = head.map(|()| ResponseBody::settling(body, end));
    response.headers_mut().remove(CONTENT_LENGTH);
    exchange.warn(&mut response);
    exchange.tell(&response, base.as_ref(), None);
    response
}

/// A `POST` that creates answers with another resource than the one that it was sent to.
fn creates_another<R>(exchange: &Exchange, response: &Response<R>) -> bool {
    exchange.method == Method::POST && response.status() == StatusCode::CREATED
}

/// Asks the reader whether a resource exists of which the store was never told; `None` if nobody
/// can say.
async fn find_out(reader: Option<&Reader>, parts: &Parts, unseen: &State) -> Option<State> {
    let answer = reader?.get(parts, 0).await.ok()?;
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Some(State::Absent),
        status if status.is_success() => unseen.current().cloned().map(State::Present),
        _ => None,
    }
}
