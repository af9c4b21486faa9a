//! One counter behind a plain hyper service: no axum, no router.
//!
//! Run with: cargo run --example hyper
//!
//! ```text
//! $ curl -i localhost:3000/counter                                    # 200, an ETag
//! $ curl -i -X POST localhost:3000/counter -H 'If-Match: "<that>"'    # 200, a new ETag
//! $ curl -i -X POST localhost:3000/counter -H 'If-Match: "<that>"'    # 412, not counted
//! ```

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::{Layer, Service, ServiceExt as _, service_fn};
use tower_conditional::policy::IfMatch;
use tower_conditional::problem::trace_id;
use tower_conditional::{
    ConditionalLayer, MemoryStore, Policy, Problem, RequestBody, ResponseBody,
};

/// Of the layer, or of what stands around it.
type Answer = Response<Either<ResponseBody<Full<Bytes>>, Full<Bytes>>>;

/// The handler. Its request carries the body that the layer has read, or the client's own.
async fn counter<B>(
    counter: Arc<AtomicU64>,
    request: Request<RequestBody<B>>,
) -> Response<Full<Bytes>> {
    let number = if request.method() == Method::POST {
        tokio::time::sleep(Duration::from_millis(setting("HANDLER_DELAY_MS", 0))).await;
        counter.fetch_add(1, Ordering::SeqCst) + 1
    } else {
        counter.load(Ordering::SeqCst)
    };
    Response::new(Full::from(format!("{number}\n")))
}

/// What has no handler is told so before any condition is looked at.
fn without_handler<B>(request: &Request<B>) -> Option<Answer> {
    let (problem, allow) = if request.uri().path() != "/counter" {
        let problem = Problem::new(StatusCode::NOT_FOUND, "not-found", "Not Found")
            .with_detail("There is nothing but /counter.");
        (problem, None)
    } else if [Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
        return None;
    } else {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let problem = Problem::new(status, "method-not-allowed", "Method Not Allowed")
            .with_detail("The field Allow has the methods that the counter knows.");
        (problem, Some(HeaderValue::from_static("GET, HEAD, POST")))
    };
    let problem = problem.with_trace_id(trace_id(request.headers()));
    let mut answer = problem.to_response().map(Full::new).map(Either::Right);
    answer
        .headers_mut()
        .extend(allow.map(|allow| (header::ALLOW, allow)));
    Some(answer)
}

/// The service: a router of two lines, the layer inside it, and the handler inside of that.
fn app<B>()
-> impl Service<Request<B>, Response = Answer, Error = Infallible, Future: Send> + Clone + Send
where
    B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let count = Arc::new(AtomicU64::new(0));
    // Counting is no idempotent POST: here a client has to say which count it has seen.
    let policy = Policy::rfc9110().if_match_for(Method::POST, IfMatch::Required);
    let guarded = ConditionalLayer::new(MemoryStore::new())
        .policy(policy)
        .layer(service_fn(move |request: Request<RequestBody<B>>| {
            let count = Arc::clone(&count);
            async move { Ok::<_, Infallible>(counter(count, request).await) }
        }));
    service_fn(move |request: Request<B>| {
        let guarded = guarded.clone();
        async move {
            match without_handler(&request) {
                Some(answer) => Ok(answer),
                None => Ok(guarded.oneshot(request).await?.map(Either::Left)),
            }
        }
    })
}

fn setting(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = format!("{}:{}", Ipv4Addr::LOCALHOST, setting("PORT", 3000));
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let app = app::<Incoming>();
    let server = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let service = TowerToHyperService::new(app.clone());
                let connection = server.serve_connection(TokioIo::new(stream), service);
                let connection = connections.watch(connection.into_owned());
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        eprintln!("connection: {error}");
                    }
                });
            }
            _ = terminate.recv() => break,
        }
    }
    // Idle connections close at once, requests in flight finish.
    drop(listener);
    connections.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, if_match: Option<header::HeaderValue>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = hyper::Uri::from_static("/counter");
        if let Some(tag) = if_match {
            request.headers_mut().insert(header::IF_MATCH, tag);
        }
        request
    }

    #[tokio::test]
    async fn a_count_is_only_counted_on_top_of_the_one_that_was_seen() {
        let app = app::<Full<Bytes>>();
        let read = app.clone().oneshot(request(Method::GET, None)).await;
        let seen = read.expect("infallible").headers()[header::ETAG].clone();
        for expected in [StatusCode::OK, StatusCode::PRECONDITION_FAILED] {
            let count = request(Method::POST, Some(seen.clone()));
            let answer = app.clone().oneshot(count).await.expect("infallible");
            assert_eq!(answer.status(), expected);
        }
        let blind = app.oneshot(request(Method::POST, None)).await;
        let status = blind.expect("infallible").status();
        assert_eq!(status, StatusCode::PRECONDITION_REQUIRED);
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_before_conditions_are_read() {
        let app = app::<Full<Bytes>>();
        let delete = app.clone().oneshot(request(Method::DELETE, None)).await;
        let delete = delete.expect("infallible");
        assert_eq!(delete.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(delete.headers()[header::ALLOW], "GET, HEAD, POST");
        let mut elsewhere = request(Method::POST, None);
        *elsewhere.uri_mut() = hyper::Uri::from_static("/");
        let elsewhere = app.oneshot(elsewhere).await.expect("infallible");
        assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
    }
}
