//! Both layers: a retry of a write whose answer got lost gets that answer, not a conflict with
//! itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_conditional::idempotency::{IdempotencyLayer, IdempotencyPolicy, MemoryIdempotencyStore};
use tower_conditional::policy::IfMatch;
use tower_conditional::{ConditionalLayer, MemoryStore, Policy, RequestBody};

use super::{Answer, Content, add, status, user, with};

type Inner = Request<RequestBody<RequestBody<Content>>>;

#[derive(Clone)]
struct Guarded(BoxCloneSyncService<Request<Content>, Answer, Infallible>);

impl Guarded {
    fn new<F>(
        store: MemoryIdempotencyStore,
        handler: impl Fn(Inner) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Content>> + Send + 'static,
    {
        let handler = service_fn(move |request: Inner| {
            let answer = handler(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let policy = Policy::aip154().if_match(IfMatch::Required);
        let conditional = ConditionalLayer::new(MemoryStore::new()).policy(policy);
        let idempotency = IdempotencyLayer::new(store, user).policy(IdempotencyPolicy::new());
        let service = idempotency.layer(conditional.layer(handler));
        Self(BoxCloneSyncService::new(service.and_then(
            async |response: Response<_>| {
                let (parts, body) = response.into_parts();
                let body = BodyExt::collect(body).await.unwrap().to_bytes();
                let (status, headers) = (parts.status, parts.headers);
                Ok(Answer {
                    status,
                    headers,
                    body,
                })
            },
        )))
    }

    async fn send(&self, request: Request<Content>) -> Answer {
        self.0.clone().oneshot(request).await.unwrap()
    }
}

fn patch(key: &str, if_match: &str, body: &str) -> Request<Content> {
    let mut request = with("PATCH", "/orders/5", "ann", key, body);
    add(&mut request, "if-match", if_match);
    request
}

async fn current(service: &Guarded) -> String {
    let mut get = with("GET", "/orders/5", "ann", "-", "");
    get.headers_mut().remove("idempotency-key");
    service.send(get).await.field("etag").to_owned()
}

#[tokio::test]
async fn a_retry_whose_answer_was_lost_gets_it_though_its_if_match_is_stale_by_then() {
    let runs = Arc::new(AtomicUsize::new(0));
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let service = {
        let (runs, entered, go_on) = (runs.clone(), entered.clone(), go_on.clone());
        Guarded::new(MemoryIdempotencyStore::new(), move |request| {
            let (runs, entered, go_on) = (runs.clone(), entered.clone(), go_on.clone());
            async move {
                if request.method() == http::Method::PATCH {
                    runs.fetch_add(1, Ordering::SeqCst);
                    entered.notify_one();
                    go_on.notified().await;
                }
                status(200)
            }
        })
    };
    let mut if_match = current(&service).await;
    for round in 0..1000 {
        let key = format!("key-{round}");
        let request = || patch(&key, &if_match, "{}");
        let first = tokio::spawn({
            let (service, request) = (service.clone(), request());
            async move { service.send(request).await }
        });
        entered.notified().await;
        // The client leaves while its write is in the handler.
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        go_on.notify_one();

        let answer = loop {
            let answer = service.send(request()).await;
            if answer.status == StatusCode::OK {
                break answer;
            }
            answer.assert_problem(409, "request-in-progress");
            tokio::task::yield_now().await;
        };
        assert!(answer.is_replayed());
        assert_ne!(answer.field("etag"), if_match);
        assert_eq!(answer.field("etag"), current(&service).await);
        assert_eq!(runs.load(Ordering::SeqCst), round + 1, "it ran twice");
        if_match = answer.field("etag").to_owned();
    }
}

#[tokio::test]
async fn a_stale_write_leaves_its_key_free_for_a_merged_retry() {
    let service = Guarded::new(MemoryIdempotencyStore::new(), async |_| status(200));
    let if_match = current(&service).await;
    let first = service.send(patch("k", &if_match, "{}")).await;
    assert_eq!(first.status, 200);

    let stale = service.send(patch("l", &if_match, "{\"mine\":1}")).await;
    stale.assert_problem(409, "version-mismatch");
    let merged = patch("l", stale.field("etag"), "{\"mine\":1,\"theirs\":2}");
    let merged = service.send(merged).await;
    assert_eq!((merged.status.as_u16(), merged.is_replayed()), (200, false));

    // A rebased retry of what was done is what was done.
    let rebased = service.send(patch("k", merged.field("etag"), "{}")).await;
    rebased.assert_replays(&first);
    assert_eq!(current(&service).await, merged.field("etag"));
}

#[tokio::test]
async fn what_is_in_doubt_and_may_have_applied_is_run_into_its_own_if_match() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let service = Guarded::new(MemoryIdempotencyStore::new(), move |request| {
        let is_write = request.method() == http::Method::PATCH;
        if is_write {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        async move { status(if is_write { 500 } else { 200 }) }
    });
    let if_match = current(&service).await;
    assert_eq!(service.send(patch("k", &if_match, "{}")).await.status, 500);
    // It may have applied, so the version has moved: the client has to look, and is told so.
    let retry = service.send(patch("k", &if_match, "{}")).await;
    retry.assert_problem(409, "version-mismatch");
    assert_eq!(runs.load(Ordering::SeqCst), 1, "it ran twice");
}
