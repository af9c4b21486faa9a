//! A server on a thread of its own, for tests that block.

use std::error::Error;
use std::sync::mpsc;
use std::thread;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tower::Service;

use super::Server;

/// Serves until it is dropped.
pub(crate) struct Threaded {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    // The server ends with it.
    _running: oneshot::Sender<()>,
}

impl Threaded {
    pub(crate) fn start<S, R>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        R: Body + Send + 'static,
        R::Data: Send,
        R::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (running, ended) = oneshot::channel::<()>();
        let (say, address) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let server = Server::start(service).await;
                say.send(server.address).expect("the test waits");
                let _ = ended.await;
            });
        });
        let address = address.recv().expect("it serves");
        Self {
            url: format!("http://{address}"),
            _running: running,
        }
    }
}
