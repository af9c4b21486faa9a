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

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::{Layer, Service, service_fn};
use tower_conditional::policy::IfMatch;
use tower_conditional::{
    ConditionalLayer, MemoryStore, Policy, Problem, RequestBody, ResponseBody,
};

type Answer = Response<Full<Bytes>>;

/// The handler. Its request carries the body that the layer has read, or the client's own.
async fn counter<B>(counter: Arc<AtomicU64>, request: Request<RequestBody<B>>) -> Answer {
    if request.uri().path() != "/counter" {
        return problem(StatusCode::NOT_FOUND, "not-found", "Not Found");
    }
    match *request.method() {
        Method::GET | Method::HEAD => number(counter.load(Ordering::SeqCst)),
        Method::POST => {
            tokio::time::sleep(Duration::from_millis(setting("HANDLER_DELAY_MS", 0))).await;
            number(counter.fetch_add(1, Ordering::SeqCst) + 1)
        }
        _ => {
            let mut answer = problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method Not Allowed",
            );
            let allowed = header::HeaderValue::from_static("GET, HEAD, POST");
            answer.headers_mut().insert(header::ALLOW, allowed);
            answer
        }
    }
}

fn number(number: u64) -> Answer {
    Response::new(Full::from(format!("{number}\n")))
}

fn problem(status: StatusCode, type_name: &'static str, title: &'static str) -> Answer {
    Problem::new(status, type_name, title)
        .to_response()
        .map(Full::new)
}

/// The service: the handler inside the layer.
fn app<B>() -> impl Service<
    Request<B>,
    Response = Response<ResponseBody<Full<Bytes>>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
where
    B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let count = Arc::new(AtomicU64::new(0));
    // Counting is no idempotent POST: here a client has to say which count it has seen.
    let policy = Policy::rfc9110().if_match_for(Method::POST, IfMatch::Required);
    ConditionalLayer::new(MemoryStore::new())
        .policy(policy)
        .layer(service_fn(move |request: Request<RequestBody<B>>| {
            let count = Arc::clone(&count);
            async move { Ok::<_, Infallible>(counter(count, request).await) }
        }))
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
    use tower::ServiceExt;

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
}
