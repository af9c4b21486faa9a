//! The service: read, queue, run, release.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::layer::Config;
use crate::conditional::{
    Held, RequestBody, ResponseBody, ResponseFuture, Unread, kept_fields, read_body, share,
};
use crate::decision::Access;
use crate::key::ResourceKey;
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
    let kept = kept_fields(&parts.headers);
    let (content, body) = match read_body(body, config.request_limit).await {
        Ok(body) => share(body).await,
        Err(unread) => return Ok(config.unread(&kept, &unread)),
    };
    let key = config.key(&parts, &content);
    let intent = config.intent(&parts);
    let request = Request::from_parts(parts, RequestBody::read(body));
    let Some(key) = key else {
        return Ok(inner.call(request).await?.map(ResponseBody::inner));
    };
    let mut claiming: BoxFuture<'static, _> = Box::pin(claim(Arc::clone(&config), key, intent));
    // Takes its place in the queue here and now, whichever task the executor runs first.
    let claimed = poll_fn(|context| Poll::Ready(claiming.as_mut().poll(context))).await;
    let turn = Turn {
        config: Arc::clone(&config),
        kept: kept.clone(),
        claimed,
        claiming,
        intent,
    };
    let runtime = config.runtime.clone();
    let answer = runtime
        .detach(|client| turn.run(request, inner, client))
        .await;
    // A handler that panics takes its task along; its claim was abandoned on the way down.
    answer.unwrap_or_else(|| Ok(config.outcome_unknown(&kept)))
}

/// A request in the queue, or at its head.
struct Turn {
    config: Arc<Config>,
    kept: HeaderMap,
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
            config,
            kept,
            intent,
            ..
        } = self;
        let claimed = match self.claimed {
            Poll::Ready(claimed) => claimed,
            Poll::Pending => self.claiming.await,
        };
        let held = match claimed {
            Ok(Claimed::Granted(claim)) => Held::new(Arc::clone(&config.store), claim),
            Ok(Claimed::Busy {
                retry_after,
                holder,
            }) if intent == Intent::Delete && holder == Intent::Delete => {
                return Ok(config.being_deleted(&kept, retry_after));
            }
            Ok(Claimed::Busy { retry_after, .. }) => return Ok(config.busy(&kept, retry_after)),
            // Without a condition there is none that could fail.
            Ok(Claimed::Failed(_)) | Err(_) => return Ok(config.unavailable(&kept)),
        };
        if client.has_left() {
            // It left while it waited: its write must not happen after all.
            held.release().await;
            return Ok(config.busy(&kept, SOON));
        }
        let call = inner.call(request);
        let response = match held.time_to_finish() {
            None => call.await?,
            Some(limit) => match config.runtime.within(limit, call).await {
                Some(answer) => answer?,
                None => return Ok(config.outcome_unknown(&kept)),
            },
        };
        held.release().await;
        Ok(response.map(ResponseBody::inner))
    }
}

async fn claim(
    config: Arc<Config>,
    key: ResourceKey,
    intent: Intent,
) -> Result<Claimed, StoreError> {
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
        match config.store.claim(&key, &any, at_once).await? {
            // Its turn will come.
            Claimed::Busy {
                holder: Intent::Write,
                ..
            } => {}
            claimed => return Ok(claimed),
        }
    }
    config.store.claim(&key, &any, options).await
}

impl Config {
    fn busy<R>(&self, headers: &HeaderMap, retry_after: Duration) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::Busy, StatusCode::SERVICE_UNAVAILABLE)
            .with_detail("Other requests came first, and took too long. Nothing was changed.")
            .with_retry_after(retry_after);
        self.renderer.answer(headers, problem)
    }

    fn being_deleted<R>(
        &self,
        headers: &HeaderMap,
        retry_after: Duration,
    ) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::DeleteInProgress, StatusCode::CONFLICT)
            .with_detail("The resource is being deleted by another request.")
            .with_retry_after(retry_after);
        self.renderer.answer(headers, problem)
    }

    fn unavailable<R>(&self, headers: &HeaderMap) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::StoreUnavailable, StatusCode::SERVICE_UNAVAILABLE)
            .with_detail("The queue cannot be reached at the moment. Nothing was changed.")
            .with_retry_after(SOON);
        self.renderer.answer(headers, problem)
    }

    fn unread<R>(&self, headers: &HeaderMap, unread: &Unread) -> Response<ResponseBody<R>> {
        let limit = self.request_limit;
        let problem = match unread {
            Unread::TooLong => Problem::of(Reason::ContentTooLarge, StatusCode::PAYLOAD_TOO_LARGE)
                .with_detail(format!("The content is longer than {limit} bytes.")),
            Unread::BrokeOff => Problem::of(Reason::ContentUnreadable, StatusCode::BAD_REQUEST)
                .with_detail("The content broke off. Nothing was changed."),
        };
        self.renderer.answer(headers, problem)
    }

    /// The handler was called, and nobody knows what it did.
    fn outcome_unknown<R>(&self, headers: &HeaderMap) -> Response<ResponseBody<R>> {
        let problem = Problem::of(Reason::OutcomeUnknown, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail("The write may have happened. Read the resource before trying again.");
        self.renderer.answer(headers, problem)
    }
}
