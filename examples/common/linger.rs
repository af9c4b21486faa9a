//! Reading on after the answer.
//!
//! A service that refuses a long body has its answer ready while the client still sends. If it then
//! closes the connection, many clients see only that, and never the answer. So what is left of a
//! body is read and thrown away, within limits.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Frame, SizeHint};

/// For how long, and how many bytes: a client that sends more is not listening.
const TIME: Duration = Duration::from_secs(5);
const BYTES: usize = 16 * 1024 * 1024;

/// A layer outside of all that may refuse a body.
pub(crate) async fn linger(request: Request, next: Next) -> Response {
    next.run(request.map(|body| Body::new(Lingering(body))))
        .await
}

/// A body that is read to its end by somebody.
struct Lingering(Body);

impl hyper::body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        let mut rest = Limited::new(std::mem::take(&mut self.0), BYTES);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(TIME, async move {
                while let Some(Ok(_)) = rest.frame().await {}
            }));
        }
    }
}
