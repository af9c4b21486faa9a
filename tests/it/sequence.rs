//! Writes in sequence: one at a time, in the order of arrival, and nothing behind anybody's back.

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_conditional::{
    ConditionalLayer, MemoryStore, Policy, RequestBody, ResourceKey, ResponseBody, Runtime,
    SequenceLayer,
};

type Content = Full<Bytes>;
type Service = BoxCloneSyncService<Request<Content>, Response<ResponseBody<Content>>, Infallible>;

const HOUR: Duration = Duration::from_secs(3600);

fn layer(store: &MemoryStore) -> SequenceLayer {
    let id = |_: &http::request::Parts, body: &Bytes| {
        let document: serde_json::Value = serde_json::from_slice(body).ok()?;
        Some(ResourceKey::new(document.get("id")?.to_string()))
    };
    SequenceLayer::new(store.clone(), id)
        .wait(HOUR)
        .deletes(|parts| parts.uri.path().starts_with("/delete"))
}

/// A handler that takes as long as the test wants, and what it has done.
#[derive(Clone)]
struct App {
    service: Service,
    store: MemoryStore,
    /// One permit lets one handler end.
    go_on: Arc<Semaphore>,
    started: Arc<Mutex<Vec<String>>>,
    running: Arc<AtomicUsize>,
}

impl App {
    fn new(configure: impl FnOnce(SequenceLayer) -> SequenceLayer) -> Self {
        let store = MemoryStore::new();
        let go_on = Arc::new(Semaphore::new(0));
        let started = Arc::new(Mutex::new(Vec::new()));
        let running = Arc::new(AtomicUsize::new(0));
        let handler = Handler {
            go_on: Arc::clone(&go_on),
            started: Arc::clone(&started),
            running: Arc::clone(&running),
        };
        let layer = configure(layer(&store));
        Self {
            service: BoxCloneSyncService::new(layer.layer(handler)),
            store,
            go_on,
            started,
            running,
        }
    }

    fn spawn(&self, request: Request<Content>) -> JoinHandle<(StatusCode, Bytes)> {
        let service = self.service.clone();
        tokio::spawn(async move {
            let response = service.oneshot(request).await.unwrap();
            let status = response.status();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                assert!(response.headers().contains_key("retry-after"));
            }
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, body)
        })
    }

    /// Sends it, and comes back when it is in the queue.
    async fn queue(&self, request: Request<Content>) -> JoinHandle<(StatusCode, Bytes)> {
        let waiting = self.store.stats().waiting;
        let sent = self.spawn(request);
        until(|| self.store.stats().waiting == waiting + 1).await;
        sent
    }

    /// Sends it, and comes back when it is in its handler.
    async fn start(&self, request: Request<Content>) -> JoinHandle<(StatusCode, Bytes)> {
        let started = self.started().len();
        let sent = self.spawn(request);
        until(|| self.started().len() == started + 1).await;
        sent
    }

    fn started(&self) -> Vec<String> {
        self.started.lock().unwrap().clone()
    }
}

#[derive(Clone)]
struct Handler {
    go_on: Arc<Semaphore>,
    started: Arc<Mutex<Vec<String>>>,
    running: Arc<AtomicUsize>,
}

impl<B> tower::Service<Request<B>> for Handler
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    type Response = Response<Content>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Content>, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let name = request.uri().query().unwrap_or_default().to_owned();
            // Whole bodies only: this must be there at once.
            let body = request.into_body().collect().await.unwrap().to_bytes();
            this.running.fetch_add(1, Ordering::SeqCst);
            this.started.lock().unwrap().push(name.clone());
            this.go_on.acquire().await.unwrap().forget();
            this.running.fetch_sub(1, Ordering::SeqCst);
            assert!(name != "panic", "the handler panics on purpose");
            Ok(Response::new(Full::new(body)))
        })
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn save(name: &str, id: u32) -> Request<Content> {
    write("save", name, id)
}

fn write(path: &str, name: &str, id: u32) -> Request<Content> {
    Request::post(format!("/{path}?{name}"))
        .body(Full::from(format!("{{\"id\":{id}}}")))
        .unwrap()
}

fn type_of(body: &Bytes) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap();
    problem["type"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_of_one_resource_run_one_at_a_time_in_the_order_of_arrival() {
    let app = App::new(|layer| layer);
    let names: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let mut writes = vec![app.start(save(&names[0], 5)).await];
    for name in &names[1..] {
        writes.push(app.queue(save(name, 5)).await);
    }
    for at in 0..names.len() {
        until(|| app.started().len() == at + 1).await;
        assert_eq!(app.running.load(Ordering::SeqCst), 1, "two run at once");
        app.go_on.add_permits(1);
    }
    for write in writes {
        assert_eq!(write.await.unwrap().0, 200);
    }
    assert_eq!(app.started(), names);
    assert_eq!(app.store.stats().held, 0);
}

#[tokio::test]
async fn different_resources_reads_and_what_has_no_key_do_not_wait() {
    let app = App::new(|layer| layer);
    let first = app.start(save("first", 5)).await;
    let other = app.start(save("other", 6)).await;
    let unkeyed = Request::post("/save?unkeyed")
        .body(Full::from("{}"))
        .unwrap();
    let unkeyed = app.start(unkeyed).await;
    let mut read = save("read", 5);
    *read.method_mut() = Method::GET;
    let read = app.start(read).await;
    assert_eq!(app.running.load(Ordering::SeqCst), 4);
    app.go_on.add_permits(4);
    for request in [first, other, unkeyed, read] {
        assert_eq!(request.await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn who_has_waited_too_long_is_refused_and_it_never_happens() {
    let app = App::new(|layer| layer.wait(Duration::from_millis(30)));
    // Its own handling may take as long as it likes.
    let first = app.start(save("first", 5)).await;
    let late = app.spawn(save("late", 5)).await.unwrap();
    assert_eq!(late.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(type_of(&late.1), "/problems/resource-busy");
    app.go_on.add_permits(2);
    assert_eq!(first.await.unwrap().0, 200);
    assert_eq!(app.spawn(save("next", 5)).await.unwrap().0, 200);
    assert_eq!(app.started(), ["first", "next"]);
}

#[tokio::test]
async fn a_delete_of_what_is_being_deleted_is_refused_at_once() {
    let app = App::new(|layer| layer);
    let first = app.start(write("delete", "first", 5)).await;
    let second = app.spawn(write("delete", "second", 5)).await.unwrap();
    assert_eq!(second.0, StatusCode::CONFLICT);
    assert_eq!(type_of(&second.1), "/problems/delete-in-progress");
    let other = app.start(write("delete", "other", 6)).await;
    app.go_on.add_permits(2);
    assert_eq!(first.await.unwrap().0, 200);
    assert_eq!(other.await.unwrap().0, 200);
    assert_eq!(app.started(), ["first", "other"]);
}

#[tokio::test]
async fn a_delete_waits_for_saves_and_a_save_for_a_delete() {
    let app = App::new(|layer| layer);
    let save_first = app.start(save("save", 5)).await;
    let delete = app.queue(write("delete", "delete", 5)).await;
    let save_again = app.queue(save("save-again", 5)).await;
    app.go_on.add_permits(3);
    for request in [save_first, delete, save_again] {
        assert_eq!(request.await.unwrap().0, 200);
    }
    assert_eq!(app.started(), ["save", "delete", "save-again"]);
}

#[tokio::test]
async fn a_save_that_gave_up_on_a_delete_is_told_that_it_waited_too_long() {
    let app = App::new(|layer| layer.wait(Duration::from_millis(30)));
    let delete = app.start(write("delete", "delete", 5)).await;
    let late = app.spawn(save("late", 5)).await.unwrap();
    assert_eq!(type_of(&late.1), "/problems/resource-busy");
    app.go_on.add_permits(1);
    assert_eq!(delete.await.unwrap().0, 200);
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_leaves_no_gap_and_its_write_never_happens() {
    let app = App::new(|layer| layer);
    let first = app.start(save("first", 5)).await;
    let mut leaving = Vec::new();
    for name in ["left-1", "left-2", "left-3"] {
        leaving.push(app.queue(save(name, 5)).await);
    }
    let last = app.queue(save("last", 5)).await;
    for left in leaving {
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
    }
    app.go_on.add_permits(2);
    assert_eq!(first.await.unwrap().0, 200);
    assert_eq!(last.await.unwrap().0, 200);
    assert_eq!(app.started(), ["first", "last"]);
    until(|| app.store.stats().held == 0).await;
}

#[tokio::test]
async fn a_write_whose_client_left_finishes_before_the_next_one_starts() {
    let app = App::new(|layer| layer);
    let first = app.start(save("first", 5)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let next = app.queue(save("next", 5)).await;
    assert_eq!(app.started(), ["first"]);
    app.go_on.add_permits(2);
    assert_eq!(next.await.unwrap().0, 200);
    assert_eq!(app.started(), ["first", "next"]);
}

#[tokio::test]
async fn after_a_panic_the_queue_goes_on_when_the_lease_has_ended() {
    let app = App::new(|layer| layer.lease(Duration::from_millis(50)));
    let panics = app.start(save("panic", 5)).await;
    let next = app.queue(save("next", 5)).await;
    app.go_on.add_permits(2);
    let (status, problem) = panics.await.unwrap();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(type_of(&problem), "/problems/outcome-unknown");
    assert_eq!(next.await.unwrap().0, 200);
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs tasks when the test says so, in the order that it wants.
#[derive(Clone, Default)]
struct Reluctant(Arc<Mutex<Vec<Task>>>);

impl hyper::rt::Executor<Task> for Reluctant {
    fn execute(&self, task: Task) {
        self.0.lock().unwrap().push(task);
    }
}

#[tokio::test]
async fn the_order_is_that_of_arrival_and_not_that_of_the_executor() {
    let (executor, done) = (Reluctant::default(), Arc::new(Mutex::new(Vec::new())));
    let writes = Arc::clone(&done);
    let handler = service_fn(move |request: Request<RequestBody<Content>>| {
        let name = request.uri().query().unwrap_or_default().to_owned();
        writes.lock().unwrap().push(name);
        async { Ok::<_, Infallible>(Response::new(Content::default())) }
    });
    let key = |_: &http::request::Parts, _: &Bytes| Some(ResourceKey::new("5"));
    let runtime = Runtime::new(executor.clone(), hyper_util::rt::TokioTimer::new());
    let service = SequenceLayer::with_runtime(MemoryStore::new(), key, runtime).layer(handler);
    let mut requests = Vec::new();
    for name in ["first", "second", "third"] {
        requests.push(tokio::spawn(service.clone().oneshot(save(name, 5))));
        until(|| executor.0.lock().unwrap().len() == requests.len()).await;
    }
    let tasks = std::mem::take(&mut *executor.0.lock().unwrap());
    for task in tasks.into_iter().rev() {
        tokio::spawn(task);
        tokio::task::yield_now().await;
    }
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(*done.lock().unwrap(), ["first", "second", "third"]);
}

/// A body that comes when the test sends it.
struct Upload(futures_channel::mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let next = futures_core::Stream::poll_next(std::pin::Pin::new(&mut self.0), context);
        next.map(|chunk| chunk.map(|chunk| Ok(http_body::Frame::data(chunk))))
    }
}

#[tokio::test]
async fn a_request_arrives_when_all_of_its_body_is_there() {
    let done = Arc::new(Mutex::new(Vec::new()));
    let writes = Arc::clone(&done);
    let handler = service_fn(move |request: Request<RequestBody<Upload>>| {
        let name = request.uri().query().unwrap_or_default().to_owned();
        writes.lock().unwrap().push(name);
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    });
    let service = layer(&MemoryStore::new()).layer(handler);
    let send = |name: &str| {
        let (sender, receiver) = futures_channel::mpsc::unbounded();
        let uri = format!("/save?{name}");
        let request = Request::post(uri).body(Upload(receiver)).unwrap();
        (sender, tokio::spawn(service.clone().oneshot(request)))
    };
    let body = Bytes::from("{\"id\":5}");
    let (slow_body, slow) = send("slow");
    slow_body.unbounded_send(body.slice(..3)).unwrap();
    tokio::task::yield_now().await;
    let (fast_body, fast) = send("fast");
    fast_body.unbounded_send(body.clone()).unwrap();
    drop(fast_body);
    assert_eq!(fast.await.unwrap().unwrap().status(), 200);
    slow_body.unbounded_send(body.slice(3..)).unwrap();
    drop(slow_body);
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert_eq!(*done.lock().unwrap(), ["fast", "slow"]);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let app = App::new(|layer| layer.request_limit(8));
    let refused = app.spawn(save("long", 55)).await.unwrap();
    assert_eq!(refused.0, StatusCode::PAYLOAD_TOO_LARGE);
    app.go_on.add_permits(1);
    assert_eq!(app.spawn(save("short", 5)).await.unwrap().0, 200);
    assert_eq!(app.started(), ["short"]);
}

#[tokio::test]
async fn refusals_can_be_written_in_the_style_of_the_application() {
    let app = App::new(|layer| {
        layer.wait(Duration::ZERO).render(|problem| {
            let code = match problem.type_name() {
                "delete-in-progress" => 1204,
                "resource-busy" => 1205,
                _ => 1000,
            };
            let mut response = Response::new(Bytes::from(code.to_string()));
            *response.status_mut() = problem.status();
            response
        })
    });
    let _first = app.start(write("delete", "first", 5)).await;
    let (_, delete) = app.spawn(write("delete", "second", 5)).await.unwrap();
    let (_, save) = app.spawn(save("third", 5)).await.unwrap();
    assert_eq!((&delete[..], &save[..]), (&b"1204"[..], &b"1205"[..]));
}

#[tokio::test]
async fn one_store_serves_this_layer_and_the_conditional_one_within() {
    let store = MemoryStore::new();
    let key = |_: &http::request::Parts, _: &Bytes| Some(ResourceKey::new("/save"));
    let handler =
        service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(Content::default())));
    let conditional = ConditionalLayer::new(store.clone())
        .policy(Policy::rfc9110().busy(tower_conditional::policy::Busy::Refuse));
    let service = SequenceLayer::new(store, key).layer(conditional.layer(handler));
    let response = service.oneshot(save("first", 5)).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_in_the_queue_finish_when_the_server_is_told_to_stop() {
    let app = App::new(|layer| layer);
    let service = app.service.clone();
    let over_sockets = service_fn(move |request: Request<hyper::body::Incoming>| {
        let service = service.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = Full::new(body.collect().await.unwrap().to_bytes());
            service.oneshot(Request::from_parts(parts, body)).await
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let graceful = GracefulShutdown::new();
    let mut clients = Vec::new();
    for number in 0..5 {
        let client = TcpStream::connect(address).await.unwrap();
        let (connection, _) = listener.accept().await.unwrap();
        let server = auto::Builder::new(TokioExecutor::new());
        let connection = server
            .serve_connection(
                TokioIo::new(connection),
                TowerToHyperService::new(over_sockets.clone()),
            )
            .into_owned();
        tokio::spawn(graceful.watch(connection));
        clients.push(tokio::spawn(exchange(client, number)));
        until(|| app.store.stats().waiting == number && app.started().len() == 1).await;
    }
    let stopping = tokio::spawn(graceful.shutdown());
    app.go_on.add_permits(5);
    for client in clients {
        assert!(client.await.unwrap().starts_with("HTTP/1.1 200"));
    }
    stopping.await.unwrap();
    assert_eq!(app.started(), ["0", "1", "2", "3", "4"]);
}

async fn exchange(mut client: TcpStream, number: usize) -> String {
    let request =
        format!("POST /save?{number} HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n{{\"id\":5}}");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}
