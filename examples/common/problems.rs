//! How a service says no: every answer that is no success is a problem document (RFC 9457) with
//! the trace id of its request.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_conditional::Problem;
use tower_conditional::problem::trace_id;

/// A problem on its way out. [`render`] writes it, because only there the request is at hand, and
/// with it the trace id.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Box<Problem>);

impl Failure {
    pub(crate) fn new(status: StatusCode, name: &'static str, title: &'static str) -> Self {
        Self(Box::new(Problem::new(status, name, title)))
    }

    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self(Box::new(self.0.with_detail(detail.into())))
    }

    /// The client may try again after that long.
    pub(crate) fn retry_after(self, after: Duration) -> Self {
        Self(Box::new(self.0.with_retry_after(after)))
    }

    /// The write was sent off, and nobody knows what came of it.
    pub(crate) fn outcome_unknown() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "outcome-unknown", "Outcome Unknown")
            .detail("The write may have happened. Read the resource before trying again.")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not Found")
            .detail("There is nothing by that name.")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.0.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The database did not do what was asked of it, and nothing was changed.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        eprintln!("database: {error}");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "database-unavailable", "Database Unavailable")
            .detail("The database did not answer. Nothing was changed.")
            .retry_after(Duration::from_secs(1))
    }
}

/// The outermost layer of every example: writes the problems.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let trace_id = trace_id(request.headers());
    let mut response = next.run(request).await;
    let Some(Failure(problem)) = response.extensions_mut().remove() else {
        return response;
    };
    let (head, document) = problem.with_trace_id(trace_id).to_response().into_parts();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(head.headers);
    *response.body_mut() = Body::from(document);
    response
}

/// For `Router::fallback`.
pub(crate) async fn not_found() -> Failure {
    Failure::not_found()
}

/// For `Router::method_not_allowed_fallback`; axum adds the `Allow`.
pub(crate) async fn method_not_allowed() -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "Method Not Allowed",
    )
    .detail("The field Allow has the methods that this resource knows.")
}
