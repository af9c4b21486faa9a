//! A handler's time is bounded by the lease of its claim, and everything under the claim counts.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::rt::{Executor, Sleep, Timer};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_conditional::policy::IfMatch;
use tower_conditional::{
    ConditionalLayer, Policy, Reader, RequestBody, ResourceKey, Runtime, VersionStore as _,
};

use crate::history::leases::LeaseStore;

/// What a claim and its settling may take by default: a lease is longer.
const LONGEST_STORE_TIMEOUT: Duration = Duration::from_secs(20);

/// Every sleep that a lease takes ends when it is told to. The store is never too slow.
#[derive(Clone, Default)]
struct ByHand {
    over: Arc<AtomicBool>,
    begun: Arc<AtomicUsize>,
}

impl Timer for ByHand {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        if duration <= LONGEST_STORE_TIMEOUT {
            return Box::pin(Nap(Arc::default()));
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        Box::pin(Nap(Arc::clone(&self.over)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

struct Nap(Arc<AtomicBool>);

impl Future for Nap {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        match self.0.load(Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Sleep for Nap {}

/// Never asked: these writes run inside of their requests.
struct Nowhere;

impl<T> Executor<T> for Nowhere {
    fn execute(&self, _task: T) {
        unreachable!("the runtime is without it");
    }
}

/// Sends a `PUT` to a handler that hangs when it gets `hangs_at`, lets the lease end, and gives
/// the status, how many writes ran, and whether the claim is free.
fn status_when_it_hangs(
    hangs_at: &'static str,
    condition: (HeaderName, &str),
) -> (u16, usize, bool) {
    let (store, timer) = (LeaseStore::default(), ByHand::default());
    let (writes, begun) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&timer.begun));
    let handler = {
        let (writes, over) = (Arc::clone(&writes), Arc::clone(&timer.over));
        move |request: Request<()>| {
            assert_eq!(begun.load(Ordering::SeqCst), 1, "the lease does not count");
            let is_write = request.method() == "PUT";
            writes.fetch_add(usize::from(is_write), Ordering::SeqCst);
            let (hangs, over) = (request.method() == hangs_at, Arc::clone(&over));
            async move {
                if hangs {
                    poll_fn(|_| {
                        // What it might do now, it would do without a claim.
                        assert!(!over.load(Ordering::SeqCst), "polled after its time");
                        Poll::<()>::Pending
                    })
                    .await;
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        }
    };
    let reader = {
        let handler = handler.clone();
        Reader::new(service_fn(move |request: Request<String>| {
            handler(request.map(drop))
        }))
    };
    let handler =
        service_fn(move |request: Request<RequestBody<Full<Bytes>>>| handler(request.map(drop)));
    let runtime = Runtime::new(Nowhere, timer.clone()).without_executor();
    let service = ConditionalLayer::with_runtime(store.clone(), runtime)
        .policy(Policy::rfc9110().if_match(IfMatch::Optional))
        .reader(reader)
        .layer(handler);
    let mut request = Request::put("/documents/1")
        .body(Full::default())
        .expect("a request");
    let (name, value) = condition;
    request
        .headers_mut()
        .insert(name, value.parse().expect("a value"));

    let mut answer = pin!(service.oneshot(request));
    let mut polls = 0;
    let status = finish(poll_fn(|context| {
        polls += 1;
        timer.over.store(polls > 100, Ordering::SeqCst);
        answer
            .as_mut()
            .poll(context)
            .map(|answer| answer.expect("infallible").status())
    }));
    let key = ResourceKey::new("/documents/1");
    let snapshot = finish(store.current(&key)).expect("it does not fail");
    (
        status.as_u16(),
        writes.load(Ordering::SeqCst),
        snapshot.settled,
    )
}

fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..1000 {
        if let Poll::Ready(value) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return value;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_handler_that_hangs_leaves_its_write_in_doubt() {
    let unknown = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
    // `*` would have the layer ask whether the resource exists; this does not.
    let condition = (IF_NONE_MATCH, "\"other\"");
    assert_eq!(status_when_it_hangs("PUT", condition), (unknown, 1, false));
}

#[test]
fn a_probe_that_hangs_is_bounded_by_the_lease_and_writes_nothing() {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE.as_u16();
    for name in [IF_MATCH, IF_NONE_MATCH] {
        let answer = status_when_it_hangs("GET", (name, "*"));
        assert_eq!(answer, (unavailable, 0, true));
    }
}
