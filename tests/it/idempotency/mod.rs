//! The idempotency layer: one module for each kind of promise.

mod cancel;
mod conditional;
mod doubt;
mod duplicates;
mod limits;
mod peers;
mod races;
mod states;
mod tickets;

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, LOCATION};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_conditional::idempotency::{
    IdempotencyLayer, IdempotencyPolicy, IdempotencyStore, MemoryIdempotencyStore,
};
use tower_conditional::{RequestBody, ResponseBody, Runtime};

pub(crate) type Content = Full<Bytes>;
pub(crate) type Incoming = Request<RequestBody<Content>>;

/// A clock that stands still until it is told to go on.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Mutex<Instant>>);

impl Clock {
    pub(crate) fn store() -> (MemoryIdempotencyStore, Self) {
        let clock = Self(Arc::new(Mutex::new(Instant::now())));
        let now = clock.clone();
        let store = MemoryIdempotencyStore::with_clock(move || *now.0.lock().unwrap());
        (store, clock)
    }

    pub(crate) fn advance(&self, duration: Duration) {
        *self.0.lock().unwrap() += duration;
    }
}

/// Whose key it is: whoever `x-user` says.
pub(crate) fn user(parts: &Parts) -> Option<String> {
    let user = parts.headers.get("x-user")?;
    Some(user.to_str().ok()?.to_owned())
}

/// A handler behind the layer, and how often it has run.
#[derive(Clone)]
pub(crate) struct App {
    service: BoxCloneSyncService<Request<Content>, Response<ResponseBody<Content>>, Infallible>,
    runs: Arc<AtomicUsize>,
}

impl App {
    pub(crate) fn new<F>(
        store: impl IdempotencyStore,
        policy: IdempotencyPolicy,
        handler: impl Fn(usize, Incoming) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Content>> + Send + 'static,
    {
        Self::on(Runtime::tokio(), store, policy, handler)
    }

    pub(crate) fn on<F>(
        runtime: Runtime,
        store: impl IdempotencyStore,
        policy: IdempotencyPolicy,
        handler: impl Fn(usize, Incoming) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Content>> + Send + 'static,
    {
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        let service = service_fn(move |request: Incoming| {
            let run = counter.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = handler(run, request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let layer = IdempotencyLayer::with_runtime(store, user, runtime).policy(policy);
        Self {
            service: BoxCloneSyncService::new(layer.layer(service)),
            runs,
        }
    }

    /// The simplest one: each run creates another order.
    pub(crate) fn orders(store: impl IdempotencyStore, policy: IdempotencyPolicy) -> Self {
        Self::new(store, policy, async |run, _| created(run))
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub(crate) async fn send(&self, request: Request<Content>) -> Answer {
        let response = self.service.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// Runs a request on its own, so that it can be left.
    pub(crate) fn spawn(&self, request: Request<Content>) -> tokio::task::JoinHandle<Answer> {
        let app = self.clone();
        tokio::spawn(async move { app.send(request).await })
    }
}

/// 201, with an id of the run that made it.
pub(crate) fn created(run: usize) -> Response<Content> {
    Response::builder()
        .status(StatusCode::CREATED)
        .header(CONTENT_TYPE, "application/json")
        .header(LOCATION, format!("/orders/{run}"))
        .header(ETAG, format!("\"{run}\""))
        .body(Full::from(format!("{{\"id\":{run}}}")))
        .unwrap()
}

pub(crate) fn status(status: u16) -> Response<Content> {
    Response::builder()
        .status(status)
        .body(Full::default())
        .unwrap()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn field(&self, name: impl AsRef<str>) -> &str {
        let value = self.headers.get(name.as_ref());
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.field("idempotency-replayed") == "true"
    }

    /// The same but for the mark of a replay.
    #[track_caller]
    pub(crate) fn assert_replays(&self, first: &Self) {
        assert!(self.is_replayed(), "{self:?}");
        assert!(!first.is_replayed(), "{first:?}");
        let mut unmarked = self.clone();
        unmarked.headers.remove("idempotency-replayed");
        assert_eq!(unmarked, *first);
    }

    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, type_name: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.field(CONTENT_TYPE), "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["type"], format!("/problems/{type_name}"));
        assert_eq!(problem["status"], status);
    }
}

/// `POST /orders` by `ann`.
pub(crate) fn post(key: &str, body: &str) -> Request<Content> {
    with("POST", "/orders", "ann", key, body)
}

pub(crate) fn with(
    method: &str,
    path: &str,
    user: &str,
    key: &str,
    body: &str,
) -> Request<Content> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("x-user", user)
        .header("idempotency-key", key)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(body.to_owned()))
        .unwrap()
}

pub(crate) fn without_key(method: &Method, body: &str) -> Request<Content> {
    let mut request = with(method.as_str(), "/orders", "ann", "x", body);
    request.headers_mut().remove("idempotency-key");
    request
}

pub(crate) fn add(request: &mut Request<Content>, name: &'static str, value: &str) {
    let name = HeaderName::from_static(name);
    request.headers_mut().append(name, value.parse().unwrap());
}
