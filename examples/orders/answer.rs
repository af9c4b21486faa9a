//! What comes of a write: a success, or a reason why there is none.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_conditional::axum::{Conflict, Expected};
use tower_conditional::idempotency::StoredResponse;
use tower_conditional::report::Report;
use tower_conditional::store::{Current, State, Version};

use crate::common::json::{Object, to_text};

/// A success.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    location: Option<String>,
    /// The version that was made.
    version: Option<i64>,
    body: Option<Object>,
    /// Is what the path names gone now?
    gone: bool,
}

impl Answer {
    /// 200, with a resource whose version this write made.
    pub(crate) fn wrote(version: i64, body: Object) -> Self {
        Self {
            status: StatusCode::OK,
            location: None,
            version: Some(version),
            body: Some(body),
            gone: false,
        }
    }

    /// 201, with a new resource; one that never changes has no version.
    pub(crate) fn created(location: String, version: Option<i64>, body: Object) -> Self {
        Self {
            status: StatusCode::CREATED,
            location: Some(location),
            version,
            body: Some(body),
            gone: false,
        }
    }

    /// 200, with the resource that is gone now.
    pub(crate) fn revoked(body: Object) -> Self {
        Self {
            status: StatusCode::OK,
            location: None,
            version: None,
            body: Some(body),
            gone: true,
        }
    }

    /// 204: the resource is gone now.
    pub(crate) fn deleted() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            location: None,
            version: None,
            body: None,
            gone: true,
        }
    }

    /// As a retry gets it again.
    pub(crate) fn to_stored(&self) -> StoredResponse {
        let mut stored = StoredResponse::new(self.status);
        let etag = self.version.map(|version| format!("\"{version}\""));
        for (name, value) in [
            (header::ETAG, etag),
            (header::LOCATION, self.location.clone()),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                stored = stored.with_header(name, value);
            }
        }
        match &self.body {
            Some(body) => stored
                .with_header(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                )
                .with_content(to_text(body)),
            None => stored,
        }
    }

    /// What the layer is told: it takes a write that says nothing of versions for a mistake.
    fn report(&self) -> Report {
        match self.version {
            _ if self.gone => Report::Deleted,
            Some(version) => Report::Wrote(Current::new(Version::from(version))),
            None => Report::Wrote(Current::unversioned()),
        }
    }
}

/// The same as is kept for a retry, so that the two cannot differ.
impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let stored = self.to_stored();
        let content = stored.content().cloned().unwrap_or_default();
        let mut response = Response::new(Body::from(content));
        *response.status_mut() = stored.status();
        response.headers_mut().clone_from(stored.headers());
        response.extensions_mut().insert(self.report());
        response
    }
}

/// Is the version that was read under the lock one that the client expects?
pub(crate) fn compare(expected: &Expected, version: i64, body: &Object) -> Result<(), Conflict> {
    if expected.holds(&State::present(Version::from(version))) {
        Ok(())
    } else {
        Err(Conflict::with_json(version, body))
    }
}
