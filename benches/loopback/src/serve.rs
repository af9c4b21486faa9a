//! The servers that are ours to write, each in a process of its own: hyper alone, and with the
//! layer in each of its places.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header::{ETAG, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime;
use tower::{Layer, Service, service_fn};
use tower_conditional::{ConditionalLayer, MemoryStore, RequestBody, Runtime};

/// Names, and how they are ordered in `SERVE`; the first one is what the others are compared with.
pub(crate) const SERVERS: [(&str, &str); 4] = [
    ("hyper, a constant 304", "constant"),
    ("layer, on hyper", "hyper"),
    ("layer, outside of an axum router", "outside"),
    ("layer, as axum's Router::layer", "inside"),
];

const CONTENT: Bytes = Bytes::from_static(br#"{"id":7,"total":12}"#);

pub(crate) fn serve(order: &str) -> io::Result<()> {
    let Some((name, address)) = order.split_once(' ') else {
        super::stop("an order is a name and an address");
    };
    let Ok(address) = address.parse() else {
        super::stop("that is no address");
    };
    let layer = ConditionalLayer::with_runtime(
        MemoryStore::with_runtime(Runtime::inline()),
        Runtime::inline(),
    );
    let router = || {
        Router::new().route(
            "/v1/partners/{partner}/orders/{order}",
            get(|| async { CONTENT }),
        )
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match name {
            "constant" => {
                listen(
                    address,
                    service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(constant()) }),
                )
                .await
            }
            "hyper" => {
                let handler = service_fn(|_: Request<RequestBody<Incoming>>| async {
                    Ok::<_, Infallible>(Response::new(Full::new(CONTENT)))
                });
                listen(address, layer.layer(handler)).await
            }
            "outside" => listen(address, layer.layer(router())).await,
            "inside" => listen(address, router().layer(layer)).await,
            _ => super::stop("there is no such server"),
        }
    })
}

fn constant() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let tag = HeaderValue::from_static("\"7\"");
    response.headers_mut().insert(ETAG, tag);
    response
}

async fn listen<S, B>(address: SocketAddr, service: S) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that leaves is no news.
            drop(connection.await);
        });
    }
}
