//! A way to `GET` a resource while another request for it is being answered.
//!
//! It cannot be the inner service of the layer: axum wraps a layer around the handler of each
//! method, and a `GET` sent there would run the handler of the `PUT`. So it is given explicitly.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, HeaderValue,
    LAST_MODIFIED, RANGE, TRAILER, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Extensions, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::respond::own_tag;
use super::upload::{Unread, read_body};
use crate::entity_tag::EntityTag;
use crate::http_date::HttpDate;
use crate::report::Report;
use crate::store::Current;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Get =
    dyn Fn(Request<String>, usize) -> BoxFuture<'static, Result<ReadBack, BoxError>> + Send + Sync;
type Carry = fn(&Extensions, &mut Extensions);

/// A service that answers `GET` for the resources of a route: in axum, a router with just the
/// reads.
///
/// The layer asks it whether a resource exists of which its store was never told, where the
/// conditions of a write depend on that; and, by [policy], for the current resource in the answer
/// to a stale write. The request is a `GET` of the same URI, as the layer sees
/// it, with the header of the write but for what belongs to its conditions and its content, and,
/// for the current resource, with `Accept: application/json`. So authorisation that goes by header fields applies; what goes by request extensions has to be
/// [carried](Self::carry).
///
/// [policy]: crate::policy::CurrentResource::Read
///
/// ```
/// use axum::{Router, routing::{get, put}};
/// use tower_conditional::{ConditionalLayer, MemoryStore, Reader};
///
/// # async fn read() {}
/// # async fn write() {}
/// let reads = Router::new().route("/notes/{id}", get(read));
/// let conditional = ConditionalLayer::new(MemoryStore::new()).reader(Reader::new(reads));
/// let app: Router = Router::new()
///     .route("/notes/{id}", get(read).put(write).route_layer(conditional));
/// ```
#[derive(Clone)]
#[must_use]
pub struct Reader {
    get: Arc<Get>,
    carried: Vec<Carry>,
}

impl Reader {
    /// Reads through `service`.
    pub fn new<S, R>(service: S) -> Self
    where
        S: Service<Request<String>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let get = move |request, limit| {
            let mut service = service.clone();
            let answer: BoxFuture<'static, _> = Box::pin(async move {
                poll_fn(|context| service.poll_ready(context))
                    .await
                    .map_err(Into::into)?;
                let response = service.call(request).await.map_err(Into::into)?;
                let (head, body) = response.into_parts();
                let body = match head.status {
                    StatusCode::OK if is_json(&head.headers) && limit > 0 => {
                        read_body(body, limit).await
                    }
                    _ => Err(Unread::BrokeOff),
                };
                Ok(ReadBack::new(head, body.map(|body| body.content().clone())))
            });
            answer
        };
        Self {
            get: Arc::new(get),
            carried: Vec::new(),
        }
    }

    /// Takes the extension of this type along from the write to the read: the principal, say, that
    /// an outer layer has found.
    ///
    /// Defaults to none. They are not all taken along, because those of a router are about the
    /// path that it has matched already.
    pub fn carry<T>(mut self) -> Self
    where
        T: Clone + Send + Sync + 'static,
    {
        self.carried.push(|from, to| {
            if let Some(extension) = from.get::<T>() {
                to.insert(extension.clone());
            }
        });
        self
    }

    /// Reads the resource that `parts` is about, and its JSON if that has at most `limit` bytes.
    pub(super) fn get(
        &self,
        parts: &Parts,
        limit: usize,
    ) -> BoxFuture<'static, Result<ReadBack, BoxError>> {
        let mut request = Request::new(String::new());
        // Whether the resource exists does not depend on its media type; what can be shown does.
        let wants_json = limit > 0;
        *request.uri_mut() = parts.uri.clone();
        *request.version_mut() = parts.version;
        for (name, value) in parts.headers.iter().filter(|(name, _)| is_carried(name)) {
            request.headers_mut().append(name, value.clone());
        }
        if wants_json {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(ACCEPT, json);
        }
        for carry in &self.carried {
            carry(&parts.extensions, request.extensions_mut());
        }
        (self.get)(request, limit)
    }
}

/// What a [`Reader`] found.
pub(super) struct ReadBack {
    pub(super) status: StatusCode,
    /// Its version, if the handler reports it.
    pub(super) current: Option<Current>,
    /// The tag that the answer itself carries.
    pub(super) tag: Option<EntityTag>,
    /// Its JSON.
    pub(super) body: Option<Bytes>,
    /// Is there some, too long to be read?
    /// When it was last modified, if the answer says so.
    pub(super) modified: Option<HttpDate>,
    pub(super) is_too_long: bool,
}

impl ReadBack {
    fn new(mut head: http::response::Parts, body: Result<Bytes, Unread>) -> Self {
        let current = match head.extensions.remove::<Report>() {
            Some(Report::Read(current) | Report::Wrote(current)) => Some(current),
            _ => None,
        };
        Self {
            status: head.status,
            current,
            tag: own_tag(&head.headers),
            modified: head
                .headers
                .get(LAST_MODIFIED)
                .and_then(|date| HttpDate::parse(date.as_bytes())),
            is_too_long: matches!(body, Err(Unread::TooLong)),
            body: body.ok(),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media_type = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    media_type.is_some_and(|value| {
        let value = value.trim_ascii().to_ascii_lowercase();
        value == b"application/json" || value.ends_with(b"+json")
    })
}

/// Does the field say something of the client, and not of this write?
fn is_carried(name: &HeaderName) -> bool {
    let of_the_write = name.as_str().starts_with("if-")
        || name.as_str().starts_with("content-")
        || name == "idempotency-key"
        || [EXPECT, RANGE, TRAILER, TRANSFER_ENCODING].contains(name);
    // A coded representation could not be shown, and often has a tag of its own.
    !of_the_write && name != ACCEPT_ENCODING
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}
