//! Writes in claim mode: the handler knows nothing, so the layer keeps everybody else away from
//! the resource while it runs.
//!
//! The body is read first and the claim is taken last, so that nobody waits for a slow upload. All
//! of it runs where a client that leaves cannot stop it, if there is such a place.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, HeaderValue, TRAILER};
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
use crate::observe::StoreStep;
use crate::policy::{RequestBodies, SettleAt};
use crate::precondition::Preconditions;
use crate::report::{Report, Representation};
use crate::runtime::{Client, unless};
use crate::store::{ClaimStore, Current, Intent, Outcome, Settled, Snapshot, State, Version};

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
        let preconditions = Preconditions::from_headers(&self.parts.headers);
        if let Some(refusal) = self.exchange.refuse_unseen(&preconditions) {
            return Some(Stop::Refuse(refusal, None));
        }
        let known = self.store.current(&self.exchange.key).try_ready().ok()?;
        self.refuse_known(&preconditions, known.ok()?)
    }

    /// Only an optimisation: the claim decides. An open write may yet change everything.
    fn refuse_known<R>(
        &self,
        preconditions: &Preconditions<'_>,
        snapshot: Snapshot,
    ) -> Option<Stop<R>> {
        if !snapshot.settled {
            return None;
        }
        match self.exchange.decide(preconditions, &snapshot.state) {
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
            let known = self.exchange.current(&*self.store).await;
            match self.exchange.heard(StoreStep::Current, known) {
                Some(snapshot) => {
                    let preconditions = Preconditions::from_headers(&self.parts.headers);
                    if let Some(stop) = self.refuse_known(&preconditions, snapshot) {
                        return Ok(self.exchange.stopped(&self.parts, stop).await);
                    }
                }
                None => return Ok(self.exchange.unavailable(&self.parts.headers)),
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
        let kept = Arc::new(kept_fields(&self.parts.headers));
        let exchange = self.exchange.clone();
        let attempt = Attempt {
            exchange: self.exchange,
            store: self.store,
            parts: self.parts,
            kept: Arc::clone(&kept),
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
    /// What is needed of the header once the handler has it.
    kept: Arc<HeaderMap>,
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
        let preconditions = Preconditions::from_headers(&self.parts.headers);
        let claims = Claims::take(&mut self.exchange, &self.store, &preconditions, others).await;
        let claims = match claims {
            ControlFlow::Continue(claims) => claims,
            ControlFlow::Break(stop) => return Ok(self.exchange.stopped(&self.parts, stop).await),
        };
        self.exchange.base = self.exchange.base_of(claims.state().current());
        if client.has_left() {
            // It left while it waited: its write must not happen after all.
            claims.release(&self.exchange).await;
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
            claims.release(&self.exchange).await;
            return Ok(self.exchange.stopped(&self.parts, stop).await);
        }
        if claims.time_to_finish().is_some_and(|left| left.is_zero()) {
            // One of them ran out while another was waited for, or the reader.
            claims.release(&self.exchange).await;
            let (after, holder) = (Duration::ZERO, Intent::Write);
            return Ok(self.exchange.busy(&self.parts.headers, after, holder));
        }
        let kept = self.kept;
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
    let preconditions = Preconditions::from_headers(headers);
    match exchange.decide(&preconditions, state) {
        Decision::Forward { .. } | Decision::Reuse => return None,
        Decision::Refuse(refusal) => return Some(Stop::Refuse(refusal, Some(state.clone()))),
        Decision::Probe => {}
    }
    let known = match find_out(exchange.config.reader.as_ref(), parts, state).await {
        Found::Known(known) => known,
        Found::Failed => return Some(Stop::Answer(exchange.unavailable(headers))),
        Found::Nothing => return Some(Stop::Answer(exchange.existence_unknown(headers))),
    };
    match exchange.decide(&preconditions, &known) {
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
    if exchange.policy.settle_at == SettleAt::BodyEnd && goes_on(&head, outcome) {
        let wrote = match report {
            Some(Report::Wrote(current)) => Some(current),
            _ => None,
        };
        let answer = settle_at_body_end(exchange, claims, outcome, wrote, head);
        return Ended::Answer(answer.map(|end| ResponseBody::settling(body, end)));
    }
    let settled = claims.settle(exchange, outcome).await;
    let mut response = head.map(|()| ResponseBody::inner(body));
    let mut created = None;
    let wrote = match report {
        Some(Report::Conflict { current }) => return Ended::Conflict(current),
        Some(Report::Created { key, current }) => {
            created = Some((key, current));
            None
        }
        Some(Report::Wrote(current)) => Some(current),
        _ => None,
    };
    if matches!(settled, Some(Settled::Fenced(_))) && response.status().is_success() {
        return Ended::Unknown;
    }
    if let Some((key, current)) = created {
        exchange.stamp_created(&mut response, key, &current);
    } else if let Some(current) = to_stamp(exchange, wrote.as_ref(), settled.as_ref(), &response) {
        exchange.stamp_write(&mut response, current);
    }
    exchange.warn(&mut response);
    let new = made(wrote.as_ref(), settled.as_ref(), outcome);
    exchange.tell(&response, None, new);
    Ended::Answer(response)
}

/// May the handler still be writing while it answers so?
fn goes_on(head: &Response<()>, outcome: Outcome) -> bool {
    // A server does not look at the body of an answer that has none, and so never at its end.
    let has_content = ![
        StatusCode::NO_CONTENT,
        StatusCode::NOT_MODIFIED,
        StatusCode::RESET_CONTENT,
    ]
    .contains(&head.status());
    has_content && outcome != Outcome::Unchanged
}

/// Leaves the claims to the body, which settles them when it ends.
fn settle_at_body_end(
    exchange: &Exchange,
    claims: Claims,
    outcome: Outcome,
    wrote: Option<Current>,
    mut head: Response<()>,
) -> Response<Settling> {
    exchange.warn(&mut head);
    head.headers_mut().remove(CONTENT_LENGTH);
    // A tag that the handler has put into the header stays the only one.
    let stamps = exchange.is_stamped(&head)
        && !head.headers().contains_key(ETAG)
        && (wrote.is_some() || !creates_another(exchange, &head));
    if stamps {
        // hyper sends no trailer over HTTP/1.1 that was not announced.
        let names = HeaderValue::from_static("etag, last-modified");
        head.headers_mut().append(TRAILER, names);
    }
    let (parts, ()) = head.into_parts();
    let told = Response::from_parts(parts.clone(), ());
    let exchange = Arc::new(exchange.clone());
    let teller = Arc::clone(&exchange);
    let end = Settling::new(claims, exchange, outcome, move |settled, trailers| {
        let exchange = teller;
        if stamps && let Some(current) = to_stamp(&exchange, wrote.as_ref(), settled, &told) {
            exchange.add_validators(trailers, current);
        }
        let new = made(wrote.as_ref(), settled, outcome);
        exchange.tell(&told, None, new);
    });
    Response::from_parts(parts, end)
}

/// What the answer to a write may be stamped with: the handler knows the version that it made
/// better than any store beside its data.
fn to_stamp<'a, R>(
    exchange: &Exchange,
    wrote: Option<&'a Current>,
    settled: Option<&'a Settled>,
    response: &Response<R>,
) -> Option<&'a Current> {
    match (wrote, settled) {
        (_, Some(Settled::Fenced(_))) => None,
        (Some(current), _) => Some(current),
        (None, Some(Settled::Done(State::Present(current)))) => {
            (!creates_another(exchange, response)).then_some(current)
        }
        (None, _) => None,
    }
}

/// The version that a write has made.
fn made<'a>(
    wrote: Option<&'a Current>,
    settled: Option<&'a Settled>,
    outcome: Outcome,
) -> Option<&'a Version> {
    let current = match settled {
        Some(Settled::Done(state)) if outcome != Outcome::Unchanged => wrote.or(state.current()),
        _ => None,
    };
    current?.version.as_ref()
}

/// A `POST` that creates answers with another resource than the one that it was sent to, unless it
/// is the one that sets it.
fn creates_another<R>(exchange: &Exchange, response: &Response<R>) -> bool {
    exchange.method == Method::POST
        && response.status() == StatusCode::CREATED
        && !exchange.policy.sets_once()
}

/// What a reader says of a resource of which the store was never told.
enum Found {
    /// It failed; it may say the next time.
    Failed,
    Known(State),
    /// There is none, or its answer says nothing.
    Nothing,
}

/// Asks the reader whether a resource exists.
async fn find_out(reader: Option<&Reader>, parts: &Parts, unseen: &State) -> Found {
    let Some(reader) = reader else {
        return Found::Nothing;
    };
    let Ok(answer) = reader.get(parts, 0).await else {
        return Found::Failed;
    };
    let known = match answer.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Some(State::Absent),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => return Found::Failed,
        status if status.is_server_error() => return Found::Failed,
        status if status.is_success() => unseen.current().cloned().map(State::Present),
        _ => None,
    };
    known.map_or(Found::Nothing, Found::Known)
}
