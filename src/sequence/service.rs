//! The service: read, queue, run, release.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::layer::Config;
use crate::conditional::{
    Held, Patience, RequestBody, ResponseBody, ResponseFuture, Unread, kept_fields, read_body,
};
use crate::decision::Access;
use crate::key::ResourceKey;
use crate::observe::{Mode, StoreStep, Subject};
use crate::problem::{Problem, Reason};
use crate::runtime::Client;
use crate::store::{ClaimOptions, Claimed, Condition, Intent, StoreError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How soon to try again where nobody can know better.
const SOON: Duration = Duration::from_secs(1);

/// The service that [`SequenceLayer`](crate::SequenceLayer) makes; see the
/// [module docs](crate::sequence) for an example.
#[derive(Debug, Clone)]
pub struct Sequence<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> Sequence<S> {
    pub(super) const fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Sequence<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if Access::of(request.method()) != Access::Write {
            let request = request.map(RequestBody::new);
            return ResponseFuture::forwarded(self.inner.call(request));
        }
        // Takes the service that was polled ready, and leaves a clone of it behind.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let config = Arc::clone(&self.config);
        ResponseFuture::boxed(run(config, request, inner))
    }
}

async fn run<S, B, R>(
    config: Arc<Config>,
    request: Request<B>,
    mut inner: S,
) -> Result<Response<ResponseBody<R>>, S::Error>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Send + 'static,
{
    let (parts, body) = request.into_parts();
    let mut exchange = Exchange {
        subject: config.audience.subject(&parts, Mode::Sequence),
        kept: kept_fields(&parts.headers),
        config,
    };
    let body = match read_body(body, exchange.config.request_limit).await {
        Ok(body) => body,
        Err(unread) => return Ok(exchange.unread(&unread)),
    };
    let key = exchange.config.key(&parts, body.content());
    let intent = exchange.config.intent(&parts);
    let request = Request::from_parts(parts, RequestBody::read(body));
    let Some(key) = key else {
        return Ok(inner.call(request).await?.map(ResponseBody::inner));
    };
    if let Some(subject) = &mut exchange.subject {
        subject.key = key.clone();
    }
    let queued = Instant::now();
    let claiming = claim(Arc::clone(&exchange.config), key, intent);
    let mut claiming: BoxFuture<'static, _> = Box::pin(claiming);
    // Takes its place in the queue here and now, whichever task the executor runs first.
    let claimed = poll_fn(|context| Poll::Ready(claiming.as_mut().poll(context))).await;
    let turn = Turn {
        exchange: exchange.clone(),
        queued,
        claimed,
        claiming,
        intent,
    };
    let runtime = exchange.config.runtime.clone();
    let answer = runtime
        .detach(|client| turn.run(request, inner, client))
        .await;
    // A handler that panics takes its task along; its claim was abandoned on the way down.
    answer.unwrap_or_else(|| Ok(exchange.outcome_unknown()))
}

/// One request: what every step needs to know.
#[derive(Clone)]
struct Exchange {
    config: Arc<Config>,
    kept: HeaderMap,
    /// For the observer, if there is one.
    subject: Option<Subject>,
}

/// A request in the queue, or at its head.
struct Turn {
    exchange: Exchange,
    queued: Instant,
    claimed: Poll<Result<Claimed, StoreError>>,
    claiming: BoxFuture<'static, Result<Claimed, StoreError>>,
    intent: Intent,
}

impl Turn {
    async fn run<S, B, R>(
        self,
        request: Request<RequestBody<B>>,
        mut inner: S,
        client: Client,
    ) -> Result<Response<ResponseBody<R>>, S::Error>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    {
        let Self {
            mut exchange,
            intent,
            ..
        } = self;
        let claimed = match self.claimed {
            Poll::Ready(claimed) => claimed,
            Poll::Pending => self.claiming.await,
        };
        if let Some(subject) = &mut exchange.subject {
            subject.waited = self.queued.elapsed();
        }
        let config = Arc::clone(&exchange.config);
        let held = match claimed {
            Ok(Claimed::Granted(claim)) => Held::new(Arc::clone(&config.store), claim),
            Ok(Claimed::Busy {
                retry_after,
                holder,
            }) if intent == Intent::Delete && holder == Intent::Delete => {
                return Ok(exchange.being_deleted(retry_after));
            }
            Ok(Claimed::Busy { retry_after, .. }) => return Ok(exchange.busy(retry_after)),
            // Without a condition there is none that could fail.
            Ok(Claimed::Failed(_)) => return Ok(exchange.unavailable()),
            Err(error) => {
                exchange.store_failed(StoreStep::Claim, &error);
                return Ok(exchange.unavailable());
            }
        };
        if client.has_left() {
            // It left while it waited: its write must not happen after all.
            exchange.release(held).await;
            return Ok(Response::new(ResponseBody::default()));
        }
        let call = inner.call(request);
        let response = match held.time_to_finish() {
            None => call.await?,
            Some(limit) => match config.runtime.within(limit, call).await {
                Some(answer) => answer?,
                None => return Ok(exchange.outcome_unknown()),
            },
        };
        exchange.release(held).await;
        if let Some(subject) = &exchange.subject {
            subject.answered(&response, false);
        }
        Ok(response.map(ResponseBody::inner))
    }
}

async fn claim(
    config: Arc<Config>,
    key: ResourceKey,
    intent: Intent,
) -> Result<Claimed, StoreError> {
    // Kept apart from the keys of other layers that use the same store: one within this one would
    // wait for it.
    let key = key.scoped("sequence");
    let options = ClaimOptions {
        wait: config.wait,
        lease: config.lease,
        intent,
    };
    let any = Condition::Unconditional;
    if intent == Intent::Delete {
        let at_once = ClaimOptions {
            wait: Duration::ZERO,
            ..options
        };
        let claimed = config.store.claim(&key, &any, at_once);
        match config.patience().bound(claimed).await? {
            // Its turn will come.
            Claimed::Busy {
                holder: Intent::Write,
                ..
            } => {}
            claimed => return Ok(claimed),
        }
    }
    let claimed = config.store.claim(&key, &any, options);
    config.patience().and(config.wait).bound(claimed).await
}

impl Config {
    /// How long a request waits for the store.
    const fn patience(&self) -> Patience<'_> {
        Patience {
            runtime: &self.runtime,
            limit: self.store_timeout,
        }
    }
}

impl Exchange {
    /// The answer that `problem` is, told to the observer.
    fn answer<R>(&self, problem: Problem) -> Response<ResponseBody<R>> {
        let response = self.config.renderer.answer(&self.kept, problem);
        if let Some(subject) = &self.subject {
            subject.answered(&response, true);
        }
        response
    }

    fn store_failed(&self, step: StoreStep, error: &StoreError) {
        if let Some(subject) = &self.subject {
            subject.store_failed(step, error);
        }
    }

    /// Its turn is over.
    async fn release(&self, held: Held) {
        if let Err(error) = held.release(self.config.patience()).await {
            self.store_failed(StoreStep::Settle, &error);
        }
    }

    fn busy<R>(&self, retry_after: Duration) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::Busy, StatusCode::SERVICE_UNAVAILABLE)
            .with_detail("Other requests came first, and took too long. Nothing was changed.")
            .with_retry_after(retry_after);
        self.answer(problem)
    }

    fn being_deleted<R>(&self, retry_after: Duration) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::DeleteInProgress, StatusCode::CONFLICT)
            .with_detail("The resource is being deleted by another request.")
            .with_retry_after(retry_after);
        self.answer(problem)
    }

    fn unavailable<R>(&self) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::StoreUnavailable, StatusCode::SERVICE_UNAVAILABLE)
            .with_detail("The queue cannot be reached at the moment. Nothing was changed.")
            .with_retry_after(SOON);
        self.answer(problem)
    }

    fn unread<R>(&self, unread: &Unread) -> Response<ResponseBody<R>> {
        let limit = self.config.request_limit;
        let problem = match unread {
            Unread::TooLong => Problem::of(Reason::ContentTooLarge, StatusCode::PAYLOAD_TOO_LARGE)
                .with_detail(format!("The content is longer than {limit} bytes.")),
            Unread::BrokeOff => Problem::of(Reason::ContentUnreadable, StatusCode::BAD_REQUEST)
                .with_detail("The content broke off. Nothing was changed."),
        };
        self.answer(problem)
    }

    /// The handler was called, and nobody knows what it did.
    fn outcome_unknown<R>(&self) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::OutcomeUnknown, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail("The write may have happened. Read the resource before trying again.");
        self.answer(problem)
    }
}
