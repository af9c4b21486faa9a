//! The layer and its service: what is asked of which answer.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ETAG, HeaderMap, HeaderName, HeaderValue, TE, TRAILER};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::Sha256Digest;
use super::body::DigestBody;
use super::future::DigestFuture;
use crate::entity_tag::EntityTag;
use crate::report::ByteTag;

/// What is made of the digest of an answer.
///
/// See [`DigestLayer`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// `Content-Digest`: of the content of this very message, an error or a range too. Not on the
    /// answer to `HEAD`, which has none.
    ContentDigest,
    /// A strong `ETag`, on a 200 to `GET` or `HEAD` that has none. Never on one of unknown length
    /// (but see [`DigestLayer::collect_unsized`]), and never as a trailer.
    EntityTag,
    /// `Repr-Digest`: of the representation that is sent whole, or would be if this was not `HEAD`:
    /// on success, but for 206.
    ReprDigest,
}

/// A layer that computes digests of answers, and puts them into their header.
///
/// An answer whose length is known, and within the limit, is read to its end first. Anything else
/// passes untouched, unless one of the options says otherwise; a field that the handler has set
/// stays. See [where it belongs](crate::digest#where-the-layer-belongs) among other layers.
///
/// The answer to `HEAD` gets what that to `GET` would, if the handler answers it with the same body
/// and the server leaves the body away, as in axum.
///
/// ```
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_conditional::digest::{DigestLayer, Field};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let handler = service_fn(|_: Request<()>| async {
///     Ok::<_, std::convert::Infallible>(Response::new("abc".to_owned()))
/// });
/// let response = DigestLayer::new([Field::ReprDigest])
///     .layer(handler)
///     .oneshot(Request::new(()))
///     .await?;
/// assert_eq!(
///     response.headers()["repr-digest"],
///     "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct DigestLayer {
    config: Arc<Config>,
}

#[derive(Debug, Clone)]
struct Config {
    fields: Vec<Field>,
    limit: usize,
    collect_unsized: bool,
    trailers: bool,
}

impl DigestLayer {
    /// See [`limit`](Self::limit).
    pub(crate) const LIMIT: usize = 1024 * 1024;

    /// Puts these fields on answers.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        Self {
            config: Arc::new(Config {
                fields: fields.into_iter().collect(),
                limit: Self::LIMIT,
                collect_unsized: false,
                trailers: false,
            }),
        }
    }

    /// The longest answer that is read, in bytes.
    ///
    /// Defaults to 1 MiB: so much memory each answer in flight may take.
    pub fn limit(self, bytes: usize) -> Self {
        self.with(|config| config.limit = bytes)
    }

    /// Reads answers that do not say how long they are, too: those of a compression layer, say. One
    /// that turns out to be longer than the limit goes on untouched, from its beginning.
    ///
    /// Defaults to no: an event stream would be held back until it has filled the limit.
    pub fn collect_unsized(self) -> Self {
        self.with(|config| config.collect_unsized = true)
    }

    /// Sends the digest of an answer that is not read, because of its length, as a trailer: to
    /// clients that ask for that with `TE: trailers`. Such an answer is never held back.
    ///
    /// Defaults to no: few clients look at trailers, and few proxies pass them on.
    pub fn trailers(self) -> Self {
        self.with(|config| config.trailers = true)
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<S> Layer<S> for DigestLayer {
    type Service = Digested<S>;

    fn layer(&self, inner: S) -> Digested<S> {
        Digested {
            inner,
            config: Arc::clone(&self.config),
        }
    }
}

/// The service that [`DigestLayer`] makes; see there for an example.
#[derive(Debug, Clone)]
pub struct Digested<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, B, R> Service<Request<B>> for Digested<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<DigestBody<R>>;
    type Error = S::Error;
    type Future = DigestFuture<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let task = Task {
            config: Arc::clone(&self.config),
            method: request.method().clone(),
            takes_trailers: self.config.trailers && takes_trailers(request.headers()),
        };
        DigestFuture::new(self.inner.call(request), task)
    }
}

/// What is asked of the answer to one request.
pub(super) struct Task {
    config: Arc<Config>,
    method: Method,
    takes_trailers: bool,
}

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is hashed on its way, and its digest follows it.
    Hash,
    /// It passes.
    Pass,
    /// It is read first, up to this many bytes.
    Read(usize),
}

impl Task {
    pub(super) fn way<R: Body>(&self, response: &Response<R>) -> Way {
        let size = response.body().size_hint();
        // The body was left away already: of what it would have been nobody can know.
        let is_left_away = self.method == Method::HEAD && size.exact() == Some(0);
        if is_left_away || self.wanted(response).next().is_none() {
            return Way::Pass;
        }
        let limit = self.config.limit;
        let fits = size.upper().is_some_and(|upper| upper <= limit as u64);
        let may_fit = size.upper().is_none() && size.lower() <= limit as u64;
        if fits || may_fit && self.config.collect_unsized {
            Way::Read(limit)
        } else if self.takes_trailers && self.trailing(response).next().is_some() {
            Way::Hash
        } else {
            Way::Pass
        }
    }

    /// The fields that this answer is to get.
    fn wanted<R>(&self, response: &Response<R>) -> impl Iterator<Item = Field> {
        let status = response.status();
        let has_content = self.method != Method::HEAD
            && !status.is_informational()
            && ![
                StatusCode::NO_CONTENT,
                StatusCode::RESET_CONTENT,
                StatusCode::NOT_MODIFIED,
            ]
            .contains(&status);
        let is_whole = status.is_success()
            && (has_content || self.method == Method::HEAD)
            && status != StatusCode::PARTIAL_CONTENT;
        let is_read = [Method::GET, Method::HEAD].contains(&self.method);
        let headers = response.headers();
        self.config.fields.iter().copied().filter(move |field| {
            let applies = match field {
                Field::ContentDigest => has_content,
                Field::EntityTag => is_read && status == StatusCode::OK,
                Field::ReprDigest => is_whole,
            };
            applies && !headers.contains_key(field.name())
        })
    }

    /// Those among them that may come after the content.
    fn trailing<R>(&self, response: &Response<R>) -> impl Iterator<Item = HeaderName> {
        let wanted = self.wanted(response);
        let wanted =
            wanted.filter(|field| *field != Field::EntityTag && self.method != Method::HEAD);
        wanted.map(Field::name)
    }

    /// Puts the digest of the whole body where it belongs.
    pub(super) fn stamp<R>(&self, response: &mut Response<R>, digest: Sha256Digest) {
        let wanted: Vec<_> = self.wanted(response).collect();
        for field in wanted {
            let value = match field {
                Field::ContentDigest | Field::ReprDigest => digest.to_field_value(),
                Field::EntityTag => {
                    response.extensions_mut().insert(ByteTag);
                    EntityTag::of_version(digest.to_version().as_bytes(), false).to_header_value()
                }
            };
            response.headers_mut().insert(field.name(), value);
        }
    }

    /// Announces the trailers of an answer, and says which they are.
    pub(super) fn announce<R>(&self, response: &mut Response<R>) -> Vec<HeaderName> {
        let names: Vec<_> = self.trailing(response).collect();
        for name in &names {
            let name = HeaderValue::from(name.clone());
            response.headers_mut().append(TRAILER, name);
        }
        // HTTP/1.1 has trailers only where the length is not said beforehand.
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
        names
    }
}

impl Field {
    fn name(self) -> HeaderName {
        match self {
            Self::ContentDigest => HeaderName::from_static("content-digest"),
            Self::EntityTag => ETAG,
            Self::ReprDigest => HeaderName::from_static("repr-digest"),
        }
    }
}

/// Does the client look at trailers? ([RFC 9110, section 10.1.4])
///
/// [RFC 9110, section 10.1.4]: https://www.rfc-editor.org/rfc/rfc9110#section-10.1.4
fn takes_trailers(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(TE).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}
