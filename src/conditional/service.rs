//! The service: which way a request goes.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::{RequestBody, ResponseBody};
use super::claimed::Write;
use super::exchange::Exchange;
use super::future::ResponseFuture;
use super::layer::{Config, Mode};
use super::read::{Known, Reading};
use super::refuse::Stop;
use super::reported::Reporting;
use crate::decision::Access;
use crate::store::{Answer, ClaimStore, Snapshot, StoreError};

/// The service that [`ConditionalLayer`](crate::ConditionalLayer) makes; see there for an example.
#[derive(Debug, Clone)]
pub struct Conditional<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> Conditional<S> {
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

    /// Takes the service that was polled ready, and leaves a clone of it behind.
    fn take_ready(&mut self) -> S
    where
        S: Clone,
    {
        let clone = self.inner.clone();
        std::mem::replace(&mut self.inner, clone)
    }
}

impl<S, B, R> Service<Request<B>> for Conditional<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let access = Access::of(request.method());
        let (parts, body) = request.into_parts();
        let Some(exchange) = Exchange::of(&self.config, access, &parts) else {
            return ResponseFuture::forwarded(self.inner.call(forwarded(parts, body)));
        };
        match (access, &exchange.config.mode) {
            (Access::Write, Mode::Claim(store)) => {
                let store = Arc::clone(store);
                self.write_claimed(exchange, store, parts, body)
            }
            (Access::Write, Mode::Handler(_)) => self.write_reported(exchange, parts, body),
            (Access::Read | Access::Unconditional, _) => self.read(exchange, parts, body),
        }
    }
}

impl<S> Conditional<S> {
    fn read<B, R>(
        &mut self,
        exchange: Exchange,
        mut parts: Parts,
        body: B,
    ) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Send + 'static,
        R: Send + 'static,
    {
        let known = match at_once(Reading::ask(&exchange)) {
            Ok(known) => known,
            Err(answer) => {
                let mut inner = self.take_ready();
                return ResponseFuture::boxed(async move {
                    let known = Some(answer.await);
                    let reading = match Reading::begin(exchange, &mut parts, known) {
                        ControlFlow::Continue(reading) => reading,
                        ControlFlow::Break(answer) => return Ok(answer),
                    };
                    ResponseFuture::read(inner.call(forwarded(parts, body)), reading).await
                });
            }
        };
        match Reading::begin(exchange, &mut parts, known) {
            ControlFlow::Continue(reading) => {
                ResponseFuture::read(self.inner.call(forwarded(parts, body)), reading)
            }
            ControlFlow::Break(answer) => ResponseFuture::answered(answer),
        }
    }

    fn write_reported<B, R>(
        &mut self,
        exchange: Exchange,
        mut parts: Parts,
        body: B,
    ) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Send + 'static,
        R: Send + 'static,
    {
        let known = match at_once(Reporting::ask(&exchange)) {
            Ok(known) => known,
            Err(answer) => {
                let mut inner = self.take_ready();
                return ResponseFuture::boxed(async move {
                    let known = Some(answer.await);
                    let reporting = match Reporting::begin(&exchange, &mut parts, known) {
                        ControlFlow::Continue(reporting) => reporting,
                        ControlFlow::Break(stop) => {
                            return Ok(exchange.stopped(&parts, stop).await);
                        }
                    };
                    ResponseFuture::reported(inner.call(forwarded(parts, body)), reporting).await
                });
            }
        };
        match Reporting::begin(&exchange, &mut parts, known) {
            ControlFlow::Continue(reporting) => {
                ResponseFuture::reported(self.inner.call(forwarded(parts, body)), reporting)
            }
            ControlFlow::Break(stop) => stopped(&exchange, &mut parts, stop),
        }
    }

    fn write_claimed<B, R>(
        &mut self,
        exchange: Exchange,
        store: Arc<dyn ClaimStore>,
        parts: Parts,
        body: B,
    ) -> ResponseFuture<S::Future, R, S::Error>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        R: Send + 'static,
    {
        let mut write = Write {
            exchange,
            store,
            parts,
            body,
            inner: self.take_ready(),
        };
        match write.refuse_at_once() {
            Some(stop) => stopped(&write.exchange, &mut write.parts, stop),
            None => ResponseFuture::boxed(write.run()),
        }
    }
}

fn forwarded<B>(parts: Parts, body: B) -> Request<RequestBody<B>> {
    Request::from_parts(parts, RequestBody::new(body))
}

/// The answer to a request that stops short.
fn stopped<F, R, E>(
    exchange: &Exchange,
    parts: &mut Parts,
    stop: Stop<R>,
) -> ResponseFuture<F, R, E>
where
    R: Send + 'static,
{
    if let Stop::Refuse(refusal, state) = &stop
        && exchange.policy.renderer.is_bare()
    {
        // The header of a request that nobody else will see has room for ours.
        let headers = std::mem::take(&mut parts.headers);
        return ResponseFuture::answered(exchange.refuse_bare(headers, *refusal, state.as_ref()));
    }
    match exchange.stop(parts, stop) {
        Ok(answer) => ResponseFuture::answered(answer),
        Err(reading) => ResponseFuture::boxed(async move { Ok(reading.await) }),
    }
}

/// What the store knows, if it was not asked or knows it at once.
fn at_once(
    asked: Option<Answer<Result<Snapshot, StoreError>>>,
) -> Result<Known, Answer<Result<Snapshot, StoreError>>> {
    asked.map(Answer::try_ready).transpose()
}
