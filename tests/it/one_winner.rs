//! Many writers, one tag: exactly one of them is acknowledged.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ETAG, IF_MATCH};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_conditional::policy::Busy;
use tower_conditional::{ConditionalLayer, MemoryStore, Policy, RequestBody};

const WRITERS: usize = 64;
const ROUNDS: usize = 1_000;
/// Ends a test that would wait for ever.
const TOO_LONG: Duration = Duration::from_secs(10);

fn request(method: &str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from_static(b"{}")));
    *request.method_mut() = method.parse().expect("a method");
    *request.uri_mut() = "/orders/5".parse().expect("a path");
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_writers_at_once_exactly_one_is_acknowledged() {
    let (store, runs) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
    let raced = Arc::new(AtomicUsize::new(0));
    let handler = {
        let (store, runs, raced) = (store.clone(), Arc::clone(&runs), Arc::clone(&raced));
        service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
            let (store, runs, raced) = (store.clone(), Arc::clone(&runs), Arc::clone(&raced));
            async move {
                if request.method() == "PUT" {
                    runs.fetch_add(1, Ordering::SeqCst);
                    // As slow as it takes for all the others to be in the queue behind it: that
                    // they overlap is not left to chance.
                    let began = Instant::now();
                    while store.stats().waiting < WRITERS - 1 {
                        if began.elapsed() > TOO_LONG {
                            return Ok(Response::new(Full::new(Bytes::new())));
                        }
                        tokio::task::yield_now().await;
                    }
                    raced.fetch_add(1, Ordering::SeqCst);
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            }
        })
    };
    let patient = Policy::rfc9110().busy(Busy::Wait(Duration::from_secs(60)));
    let service = ConditionalLayer::new(store.clone())
        .policy(patient)
        .layer(handler);
    let read = service
        .clone()
        .oneshot(request("GET"))
        .await
        .expect("infallible");
    let mut tag: HeaderValue = read.headers()[ETAG].clone();

    for round in 0..ROUNDS {
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            let mut write = request("PUT");
            write.headers_mut().insert(IF_MATCH, tag.clone());
            writers.spawn(service.clone().oneshot(write));
        }
        let mut winners = Vec::new();
        while let Some(answer) = writers.join_next().await {
            let answer = answer.expect("no panic").expect("infallible");
            match answer.status() {
                StatusCode::OK => winners.push(answer.headers()[ETAG].clone()),
                status => assert_eq!(status, StatusCode::PRECONDITION_FAILED, "round {round}"),
            }
        }
        let [winner] = &winners[..] else {
            panic!("{} winners in round {round}", winners.len());
        };
        assert_ne!(*winner, tag, "the version stayed in round {round}");
        assert_eq!(
            runs.load(Ordering::SeqCst),
            round + 1,
            "a refused write ran"
        );
        tag = winner.clone();
    }
    assert_eq!(
        raced.load(Ordering::SeqCst),
        ROUNDS,
        "the writers did not overlap"
    );
    assert_eq!((store.stats().held, store.stats().waiting), (0, 0));
}
