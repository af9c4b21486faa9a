//! Servers of the modes on real sockets, in this process.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::request::Parts;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_conditional::report::Expected;
use tower_conditional::{ConditionalLayer, Reader};

use super::documents::Documents;
use super::drive::Api;
use super::faults::{Faults, Plan};
use super::rows::Rows;

/// Stops serving when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) faults: Arc<Faults>,
    task: JoinHandle<()>,
}

impl Server {
    /// Handlers that know nothing of versions, under `layer`.
    pub(crate) async fn of_documents(layer: ConditionalLayer, plan: Plan) -> Self {
        Self::over(Documents::in_memory(), layer, plan, 0).await
    }

    /// The same on this port, over documents that others may serve too.
    pub(crate) async fn over(
        documents: Documents,
        layer: ConditionalLayer,
        plan: Plan,
        port: u16,
    ) -> Self {
        let (documents, faults) = (Arc::new(documents), Arc::new(Faults::new(plan)));
        let within = Arc::clone(&faults);
        let router = Router::new().fallback(move |request: Request| {
            let (documents, faults) = (Arc::clone(&documents), Arc::clone(&within));
            async move {
                let (parts, content) = read(request).await;
                let path = parts.uri.path();
                documents
                    .answer(&faults, &parts.method, path, content)
                    .await
            }
        });
        Self::start(router, layer, faults, port).await
    }

    /// Handlers that compare versions, under `layer`.
    pub(crate) async fn of_rows(rows: Arc<Rows>, layer: ConditionalLayer, plan: Plan) -> Self {
        let faults = Arc::new(Faults::new(plan));
        let within = Arc::clone(&faults);
        let router = Router::new().fallback(move |request: Request| {
            let (rows, faults) = (Arc::clone(&rows), Arc::clone(&within));
            async move {
                let expected = request.extensions().get::<Expected>().cloned();
                let (parts, content) = read(request).await;
                let (path, expected) = (parts.uri.path(), expected.unwrap_or_default());
                rows.answer(&faults, &parts.method, path, &expected, content)
                    .await
            }
        });
        Self::start(router, layer, faults, 0).await
    }

    async fn start(
        router: Router,
        layer: ConditionalLayer,
        faults: Arc<Faults>,
        port: u16,
    ) -> Self {
        let (inner, outer) = (Arc::clone(&faults), Arc::clone(&faults));
        let layer = layer.reader(Reader::new(router.clone()));
        let router = router
            .layer(from_fn(move |request: Request, next: Next| {
                let faults = Arc::clone(&inner);
                async move { faults.inner_timeout(request, next).await }
            }))
            .layer(layer)
            .layer(from_fn(move |request: Request, next: Next| {
                let faults = Arc::clone(&outer);
                async move { faults.outer_timeout(request, next).await }
            }));
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves on");
        });
        Self {
            address,
            faults,
            task,
        }
    }

    /// What clients have to know of it.
    pub(crate) fn api(&self, resources: usize) -> Api {
        Api {
            addresses: vec![self.address],
            paths: (0..resources)
                .map(|number| format!("/documents/{number}"))
                .collect(),
            fields: Vec::new(),
            write: ("PUT", "application/json"),
            stale: 412,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(request: Request) -> (Parts, Bytes) {
    let (parts, body) = request.into_parts();
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(content) => (parts, content),
        // Half a body: the handler is never started, as with any extractor.
        Err(_) => std::future::pending().await,
    }
}
