//! Clients that send all of a body before they look for an answer.
//!
//! A request that is refused early leaves the rest of its body unread, and a server that then
//! closes the connection resets it: such a client sees a broken pipe instead of its 413. So the
//! rest is read, within reason, and thrown away.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, SizeHint};

/// More is not worth it.
const LIMIT: usize = 64 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads what the service has left of a body, before the answer goes out.
pub(crate) async fn drain(request: Request, next: Next) -> Response {
    // Such a client waits to be asked before it sends.
    if request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    let lent = Body::new(Lent(Arc::clone(&body)));
    let response = next.run(Request::from_parts(parts, lent)).await;
    if let Some(rest) = Arc::into_inner(body) {
        let rest = rest.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Whether it ends well or not, the answer is the same.
        _ = tokio::time::timeout(PATIENCE, discard(rest)).await;
    }
    response
}

async fn discard(body: Body) {
    if body.size_hint().lower() > LIMIT as u64 {
        return;
    }
    let mut body = Limited::new(body, LIMIT);
    while let Some(Ok(_)) = body.frame().await {}
}

/// A body whose owner wants it back.
struct Lent(Arc<Mutex<Body>>);

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.size_hint()
    }
}
