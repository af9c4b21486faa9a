//! A server on a loopback socket, and clients that see the bytes.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tower::Service;

/// Serves HTTP/1.1 and HTTP/2 until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<S, R>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        R: Body + Send + 'static,
        R::Data: Send,
        R::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            // Its connections end with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                connections.spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A client that leaves is an error here, and wanted.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A service, and word of each of its calls that ended: answered, or dropped because the client left.
pub(crate) fn watched<S>(service: S) -> (Watched<S>, mpsc::UnboundedReceiver<CallEnd>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Watched { service, sender }, receiver)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallEnd {
    Answered,
    Dropped,
}

#[derive(Clone)]
pub(crate) struct Watched<S> {
    service: S,
    sender: mpsc::UnboundedSender<CallEnd>,
}

impl<S, B> Service<Request<B>> for Watched<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = self.service.call(request);
        let mut word = Word(CallEnd::Dropped, self.sender.clone());
        Box::pin(async move {
            let answer = call.await;
            word.answered();
            answer
        })
    }
}

struct Word(CallEnd, mpsc::UnboundedSender<CallEnd>);

impl Word {
    fn answered(&mut self) {
        self.0 = CallEnd::Answered;
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        // The test may be over by now.
        let _ = self.1.send(self.0);
    }
}

/// Waits for what other tasks do; fails the test if it never comes.
#[track_caller]
pub(crate) fn until(mut happened: impl FnMut() -> bool) -> impl Future<Output = ()> {
    in_time(async move {
        while !happened() {
            tokio::task::yield_now().await;
        }
    })
}

/// Fails the test if `event` does not happen; says nothing about how fast it does.
#[track_caller]
pub(crate) fn in_time<F: Future>(event: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(Duration::from_secs(60), event).await {
            Ok(output) => output,
            Err(_) => panic!("nothing happened at {caller}"),
        }
    }
}

/// An HTTP/1.1 client that sees every byte.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(server: &Server) -> Self {
        Self {
            stream: TcpStream::connect(server.address).await.unwrap(),
            read: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next status line and header, in lower case, with the empty line.
    pub(crate) async fn head(&mut self) -> String {
        self.until(b"\r\n\r\n").await.to_ascii_lowercase()
    }

    /// Everything up to and with `end`.
    pub(crate) async fn until(&mut self, end: &[u8]) -> String {
        in_time(async {
            loop {
                let found = self.read.windows(end.len()).position(|at| at == end);
                if let Some(at) = found {
                    let rest = self.read.split_off(at + end.len());
                    let taken = std::mem::replace(&mut self.read, rest);
                    return String::from_utf8(taken).unwrap();
                }
                let read = self.stream.read_buf(&mut self.read).await.unwrap();
                let so_far = String::from_utf8_lossy(&self.read);
                assert_ne!(read, 0, "the connection ended after {so_far:?}");
            }
        })
        .await
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(mut self) -> String {
        in_time(async {
            // A reset says the same as an end.
            while self
                .stream
                .read_buf(&mut self.read)
                .await
                .is_ok_and(|read| read > 0)
            {}
        })
        .await;
        String::from_utf8(self.read).unwrap()
    }
}

/// An HTTP/2 client.
pub(crate) async fn http2<B>(server: &Server) -> SendRequest<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Debug,
{
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    // Ends with the client's handle, or with the test's runtime.
    tokio::spawn(connection);
    client
}

/// A body whose frames a test sends one by one, or that has them all from the start.
pub(crate) struct Frames {
    ready: VecDeque<Frame<Bytes>>,
    more: Option<mpsc::Receiver<Frame<Bytes>>>,
}

impl Frames {
    pub(crate) fn of(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Self {
        Self {
            ready: frames.into_iter().collect(),
            more: None,
        }
    }

    /// Holds one frame at a time: sending waits until the frame before it was taken.
    pub(crate) fn channel() -> (mpsc::Sender<Frame<Bytes>>, Self) {
        let (sender, receiver) = mpsc::channel(1);
        let frames = Self {
            ready: VecDeque::new(),
            more: Some(receiver),
        };
        (sender, frames)
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(frame) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut self.more {
            Some(receiver) => receiver.poll_recv(context).map(|frame| frame.map(Ok)),
            None => Poll::Ready(None),
        }
    }
}
