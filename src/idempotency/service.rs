//! The service: which requests have a key.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::exchange::{Exchange, Keyed};
use super::key::IdempotencyKey;
use super::layer::Config;
use super::policy::KeyUse;
use super::source::Source;
use crate::conditional::{RequestBody, ResponseBody, ResponseFuture};
use crate::decision::Access;
use crate::observe::Mode;

/// The service that [`IdempotencyLayer`](super::IdempotencyLayer) makes; see
/// [there](crate::idempotency) for an example.
#[derive(Debug, Clone)]
pub struct Idempotency<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> Idempotency<S> {
    pub(super) const fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Idempotency<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let policy = match Access::of(&parts.method) {
            Access::Write => self.config.policy.of(&parts),
            Access::Read | Access::Unconditional => None,
        };
        let policy = policy.map(|policy| (policy.key_use_of(&parts.method), policy));
        let Some((key_use @ (KeyUse::Optional | KeyUse::Required), policy)) = policy else {
            let request = Request::from_parts(parts, RequestBody::new(body));
            return ResponseFuture::forwarded(self.inner.call(request));
        };
        let exchange = Exchange {
            config: Arc::clone(&self.config),
            policy,
            subject: self.config.audience.subject(&parts, Mode::Idempotency),
        };
        let key = match &exchange.policy.source.0 {
            Source::Body { .. } => None,
            Source::Header(name) => match IdempotencyKey::from_headers(&parts.headers, name) {
                Ok(Some(key)) => Some(key),
                Ok(None) if key_use == KeyUse::Required => {
                    return ResponseFuture::answered(exchange.key_missing(&parts.headers));
                }
                Ok(None) => {
                    let request = Request::from_parts(parts, RequestBody::new(body));
                    return ResponseFuture::forwarded(self.inner.call(request));
                }
                Err(error) => {
                    return ResponseFuture::answered(exchange.key_malformed(&parts.headers, error));
                }
            },
        };
        // Takes the service that was polled ready, and leaves a clone of it behind.
        let clone = self.inner.clone();
        let keyed = Keyed {
            exchange,
            key,
            parts,
            body,
            inner: std::mem::replace(&mut self.inner, clone),
        };
        ResponseFuture::boxed(keyed.run())
    }
}
