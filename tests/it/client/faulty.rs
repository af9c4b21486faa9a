//! A network that loses, delays and repeats requests, and a proxy that answers 5xx in it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};

/// How many of a thousand requests meet which fate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) lost_before: u64,
    pub(crate) lost_after: u64,
    pub(crate) error_before: u64,
    pub(crate) error_after: u64,
    pub(crate) repeated: u64,
    pub(crate) silent: u64,
    /// At most, for each request on its own.
    pub(crate) delay: Duration,
    /// May the answer to a repetition be the one that arrives?
    pub(crate) either_answer: bool,
    pub(crate) seed: u64,
}

/// What has happened to requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU32,
    pub(crate) lost_before: AtomicU32,
    pub(crate) lost_after: AtomicU32,
    pub(crate) error_before: AtomicU32,
    pub(crate) error_after: AtomicU32,
    pub(crate) repeated: AtomicU32,
    pub(crate) repetition_answered: AtomicU32,
    pub(crate) silent: AtomicU32,
}

impl Tally {
    pub(crate) fn add(&self, other: &Self) {
        for (sum, count) in [
            (&self.requests, &other.requests),
            (&self.lost_before, &other.lost_before),
            (&self.lost_after, &other.lost_after),
            (&self.error_before, &other.error_before),
            (&self.error_after, &other.error_after),
            (&self.repeated, &other.repeated),
            (&self.repetition_answered, &other.repetition_answered),
            (&self.silent, &other.silent),
        ] {
            sum.fetch_add(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

#[derive(Clone)]
pub(crate) struct Faulty {
    server: Router,
    plan: Plan,
    random: Arc<AtomicU64>,
    pub(crate) tally: Arc<Tally>,
}

impl Faulty {
    pub(crate) fn new(server: Router, plan: Plan) -> Self {
        Self {
            server,
            plan,
            random: Arc::new(AtomicU64::new(plan.seed)),
            tally: Arc::default(),
        }
    }

    /// A number below `end`.
    fn random(&self, end: u64) -> u64 {
        // SplitMix64: the same draws for a seed, dealt out as the requests happen to come.
        let step = 0x9E37_79B9_7F4A_7C15;
        let mut draw = self.random.fetch_add(step, Ordering::Relaxed);
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (draw ^ (draw >> 31)) % end
    }

    async fn pause(&self) {
        let most = self.plan.delay.as_micros() as u64 + 1;
        tokio::time::sleep(Duration::from_micros(self.random(most))).await;
    }

    async fn deliver(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.pause().await;
        let answer = self.server.clone().oneshot(request.map(Body::from)).await;
        let (parts, body) = answer.unwrap_or_else(|never| match never {}).into_parts();
        let content = body.collect().await.expect("it is in memory").to_bytes();
        Response::from_parts(parts, content)
    }

    async fn exchange(self, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        let count = |counter: &AtomicU32| counter.fetch_add(1, Ordering::Relaxed);
        let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
        count(&self.tally.requests);
        let mut draw = self.random(1_000);
        let mut meets = |share: u64| {
            let met = draw < share;
            draw = draw.wrapping_sub(share);
            met
        };
        let plan = &self.plan;
        if meets(plan.lost_before) {
            count(&self.tally.lost_before);
            return Err(broken());
        }
        if meets(plan.lost_after) {
            count(&self.tally.lost_after);
            self.deliver(request).await;
            return Err(broken());
        }
        if meets(plan.error_before) {
            count(&self.tally.error_before);
            return Ok(status(StatusCode::SERVICE_UNAVAILABLE));
        }
        if meets(plan.error_after) {
            count(&self.tally.error_after);
            self.deliver(request).await;
            return Ok(status(StatusCode::BAD_GATEWAY));
        }
        if meets(plan.silent) {
            count(&self.tally.silent);
            // It arrives some time, and nobody hears of it.
            tokio::spawn(async move { self.deliver(request).await });
            return std::future::pending().await;
        }
        if meets(plan.repeated) {
            count(&self.tally.repeated);
            if plan.either_answer && self.random(2) == 0 {
                // At the same time, and one of them is answered.
                let (one, other) =
                    tokio::join!(self.deliver(request.clone()), self.deliver(request));
                count(&self.tally.repetition_answered);
                return Ok(if self.random(2) == 0 { one } else { other });
            }
            let answer = self.deliver(request.clone()).await;
            // Behind it.
            tokio::spawn(async move { self.deliver(request).await });
            return Ok(answer);
        }
        let answer = self.deliver(request).await;
        self.pause().await;
        Ok(answer)
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

impl Service<Request<Full<Bytes>>> for Faulty {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let network = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let content = body.collect().await.expect("it is in memory").to_bytes();
            let request = Request::from_parts(parts, content);
            Ok(network.exchange(request).await?.map(Full::new))
        })
    }
}
