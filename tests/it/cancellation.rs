//! A write that is dropped at any of its await points: no claim outlives its lease, no task stays
//! behind, no version names two contents.
//!
//! Everything runs by hand, one poll at a time, on an executor that the test owns, so that each
//! cut is made exactly where it is meant to be.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::rt::Executor;
use hyper_util::rt::TokioTimer;
use tower::util::BoxCloneService;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_conditional::store::{ClaimOptions, Claimed, Condition, Intent, Outcome};
use tower_conditional::{
    ClaimStore, ConditionalLayer, MemoryStore, Policy, Reader, RequestBody, ResourceKey,
    ResponseBody, Runtime,
};

use crate::history::leases::LeaseStore;

const PATH: &str = "/documents/1";
/// Long enough for the steps of a cut, short enough to be waited for.
const LEASE: Duration = Duration::from_millis(30);
/// Far more polls than any write needs.
const MANY: usize = 200;
const TOO_LONG: Duration = Duration::from_secs(20);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Content = Full<Bytes>;
type Service = BoxCloneService<Request<Content>, Response<ResponseBody<Content>>, Infallible>;

/// Runs a task only when it is told to.
#[derive(Clone, Default)]
struct ByHand(Arc<Mutex<Vec<Task>>>);

impl Executor<Task> for ByHand {
    fn execute(&self, task: Task) {
        self.0.lock().expect("no panic").push(task);
    }
}

impl ByHand {
    /// Polls each task once.
    fn step(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().expect("no panic"));
        tasks.retain_mut(|task| poll(task.as_mut()).is_pending());
        self.0.lock().expect("no panic").append(&mut tasks);
    }

    fn left(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// One await point.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Runs {
    Detached,
    Inline,
}

/// A handler that pauses before and after its effect, under the layer.
struct World {
    service: Service,
    tasks: ByHand,
    content: Arc<Mutex<Option<Bytes>>>,
    store: Arc<dyn ClaimStore>,
    /// What each tag was seen to name.
    named: HashMap<String, Bytes>,
}

impl World {
    fn new(store: impl ClaimStore, runs: Runs) -> Self {
        let (tasks, content) = (ByHand::default(), Arc::new(Mutex::new(None)));
        let store: Arc<dyn ClaimStore> = Arc::new(store);
        let runtime = Runtime::new(tasks.clone(), TokioTimer::new());
        let runtime = match runs {
            Runs::Detached => runtime,
            Runs::Inline => runtime.without_executor(),
        };
        let within = Arc::clone(&content);
        let handler = service_fn(move |request: Request<RequestBody<Content>>| {
            let content = Arc::clone(&within);
            async move { Ok(handle(&content, request).await) }
        });
        let within = Arc::clone(&content);
        let reader = Reader::new(service_fn(move |request: Request<String>| {
            let content = Arc::clone(&within);
            async move { Ok::<_, Infallible>(handle(&content, request).await) }
        }));
        let service = ConditionalLayer::with_runtime(Arc::clone(&store), runtime)
            .reader(reader)
            .policy(Policy::rfc9110().lease(LEASE))
            .layer(handler);
        Self {
            service: BoxCloneService::new(service),
            tasks,
            content,
            store,
            named: HashMap::new(),
        }
    }

    fn content(&self) -> Option<Bytes> {
        self.content.lock().expect("no panic").clone()
    }

    /// Runs `request` to its end.
    async fn answer(&self, request: Request<Content>) -> Response<Bytes> {
        let mut answer = pin!(self.service.clone().oneshot(request));
        let began = Instant::now();
        loop {
            if let Poll::Ready(answer) = poll(answer.as_mut()) {
                let (parts, body) = answer.expect("infallible").into_parts();
                let body = body.collect().await.expect("infallible").to_bytes();
                return Response::from_parts(parts, body);
            }
            self.tasks.step();
            assert!(began.elapsed() < TOO_LONG, "it is never answered");
            // Lets the timers run.
            tokio::task::yield_now().await;
        }
    }

    /// The tag of what is there now, once there is one, or `None` if nothing is there.
    async fn settled(&mut self) -> Option<String> {
        let began = Instant::now();
        loop {
            let answer = self.answer(request(Method::GET, None, "")).await;
            if answer.status() == StatusCode::NOT_FOUND {
                return None;
            }
            if let Some(tag) = answer.headers().get(ETAG) {
                let tag = tag.to_str().expect("ASCII").to_owned();
                let body = answer.into_body();
                let named = self
                    .named
                    .entry(tag.clone())
                    .or_insert_with(|| body.clone());
                assert_eq!(*named, body, "{tag} names two contents");
                return Some(tag);
            }
            assert!(began.elapsed() < TOO_LONG, "a claim is stuck");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Polls `request` `cuts` times, and drops it; was it answered before?
    fn cut(&self, request: Request<Content>, cuts: usize) -> bool {
        let mut answer = Box::pin(self.service.clone().oneshot(request));
        for _ in 0..cuts {
            if poll(answer.as_mut()).is_ready() {
                return true;
            }
            self.tasks.step();
        }
        false
    }

    /// Runs what was detached to its end.
    async fn drain(&self, what: &str) {
        let began = Instant::now();
        while self.tasks.left() > 0 {
            self.tasks.step();
            assert!(
                began.elapsed() < TOO_LONG,
                "a task stays behind after {what}"
            );
            tokio::task::yield_now().await;
        }
    }
}

async fn handle<B>(content: &Mutex<Option<Bytes>>, request: Request<B>) -> Response<Content>
where
    B: Body<Data = Bytes, Error = Infallible>,
{
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("infallible").to_bytes();
    pause().await;
    pause().await;
    let found = {
        let mut content = content.lock().expect("no panic");
        match parts.method {
            Method::GET => content.clone(),
            Method::DELETE => content.take(),
            _ => content.insert(body).clone().into(),
        }
    };
    pause().await;
    pause().await;
    let mut response = Response::new(Full::new(found.clone().unwrap_or_default()));
    *response.status_mut() = match (parts.method, found) {
        (_, None) => StatusCode::NOT_FOUND,
        (Method::DELETE, Some(_)) => StatusCode::NO_CONTENT,
        _ => StatusCode::OK,
    };
    response
}

/// With `If-Match: tag`, or `If-None-Match: *` where there is none.
fn request(method: Method, tag: Option<&str>, content: &str) -> Request<Content> {
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(content.as_bytes())));
    match tag {
        Some(tag) => request
            .headers_mut()
            .insert(IF_MATCH, tag.parse().expect("a tag")),
        None if method == Method::GET => None,
        None => request
            .headers_mut()
            .insert(IF_NONE_MATCH, "*".parse().expect("a tag")),
    };
    *request.method_mut() = method;
    *request.uri_mut() = PATH.parse().expect("a path");
    request
}

/// Cuts `method` after every number of polls, `PUT` creating what is not there and replacing what
/// is, and looks at what is left.
async fn cut_everywhere(store: impl ClaimStore, runs: Runs, method: Method) {
    let mut world = World::new(store, runs);
    let (mut happened, mut did_not, mut cuts) = (0, 0, 0);
    loop {
        if method == Method::DELETE && world.content().is_none() {
            let created = world
                .answer(request(Method::PUT, None, &format!("new {cuts}")))
                .await;
            assert!(
                created.status().is_success(),
                "{:?} after cut {cuts}",
                created
            );
        }
        let tag = world.settled().await;
        let before = world.content();
        let content = format!("cut after {cuts}");
        let write = || request(method.clone(), tag.as_deref(), &content);
        let answered = world.cut(write(), cuts);
        world.drain(&content).await;

        let now = world.settled().await;
        if world.content() == before {
            did_not += 1;
        } else {
            happened += 1;
            assert_ne!(now, tag, "a change without a new version, {content}");
            let again = world.answer(write()).await.status();
            // What is gone is the handler's to say.
            let refused = [StatusCode::PRECONDITION_FAILED, StatusCode::NOT_FOUND];
            assert!(
                refused.contains(&again),
                "{again} for a stale write, {content}"
            );
        }
        if answered {
            break;
        }
        // Nothing is in the way of the next one.
        let next = world
            .answer(request(
                Method::PUT,
                now.as_deref(),
                &format!("next {cuts}"),
            ))
            .await;
        assert!(next.status().is_success(), "{next:?} after cut {cuts}");
        if method == Method::PUT && cuts % 2 == 1 {
            // Every other cut is of a creation.
            let tag = world.settled().await;
            let gone = world
                .answer(request(Method::DELETE, tag.as_deref(), ""))
                .await;
            assert!(gone.status().is_success(), "{gone:?}");
        }
        cuts += 1;
        assert!(cuts < MANY, "it is never answered");
    }
    // Proof that the cuts were made in the midst of it: before the effect and after it.
    assert!(cuts >= 5, "only {cuts} await points");
    assert!(
        happened > 1 && did_not > 0,
        "{happened} happened, {did_not} did not"
    );
}

#[tokio::test]
async fn a_replacement_may_be_dropped_anywhere() {
    for runs in [Runs::Detached, Runs::Inline] {
        cut_everywhere(MemoryStore::new(), runs, Method::PUT).await;
        cut_everywhere(LeaseStore::default(), runs, Method::PUT).await;
    }
}

#[tokio::test]
async fn a_delete_may_be_dropped_anywhere() {
    for runs in [Runs::Detached, Runs::Inline] {
        cut_everywhere(MemoryStore::new(), runs, Method::DELETE).await;
        cut_everywhere(LeaseStore::default(), runs, Method::DELETE).await;
    }
}

#[tokio::test]
async fn a_write_may_be_dropped_anywhere_in_the_queue_and_after_it() {
    for runs in [Runs::Detached, Runs::Inline] {
        for waits in 0..3 {
            let store = MemoryStore::new();
            let mut world = World::new(store.clone(), runs);
            world.answer(request(Method::PUT, None, "first")).await;
            for cuts in 0..20 {
                let tag = world.settled().await;
                let holder = claim(&world).await;
                let content = format!("waits {waits}, cut after {cuts}");
                {
                    let write = request(Method::PUT, tag.as_deref(), &content);
                    let mut answer = Box::pin(world.service.clone().oneshot(write));
                    for polls in 0..waits + cuts {
                        if poll(answer.as_mut()).is_ready() {
                            break;
                        }
                        world.tasks.step();
                        if polls == waits {
                            // With the last cut, it has its turn and never comes to know.
                            let settled = world.store.settle(holder.clone(), Outcome::Unchanged);
                            settled.await.expect("it does not fail");
                        }
                    }
                }
                // Settled at last, if the write was dropped while it waited.
                drop(world.store.settle(holder, Outcome::Unchanged).await);
                world.drain(&content).await;
                let now = world.settled().await;
                let changed = world.content() == Some(Bytes::from(content.clone()));
                if changed {
                    assert!(cuts > 1, "it had left before its turn, {content}");
                    assert_ne!(now, tag, "a change without a new version, {content}");
                } else if runs == Runs::Detached {
                    assert_eq!(now, tag, "a new version without a change, {content}");
                }
                assert_eq!(
                    (store.stats().held, store.stats().waiting),
                    (0, 0),
                    "{content}"
                );
            }
        }
    }
}

/// Somebody else's claim.
async fn claim(world: &World) -> tower_conditional::store::Claim {
    let options = ClaimOptions {
        wait: Duration::ZERO,
        lease: LEASE,
        intent: Intent::Write,
    };
    let key = ResourceKey::new(PATH);
    let claimed = world
        .store
        .claim(&key, &Condition::Unconditional, options)
        .await;
    match claimed.expect("it does not fail") {
        Claimed::Granted(claim) => claim,
        other => panic!("{other:?}"),
    }
}
