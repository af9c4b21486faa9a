//! The service: conditions on the way out, copies on the way back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::ClientBody;
use super::copies::Copies;
use super::exchange::Exchange;
use super::layer::Settings;
use super::seen::Seen;

/// The client that [`ClientLayer`](super::ClientLayer) makes.
///
/// Each clone remembers for itself which tags it has read, starting with those that its original
/// had read when it was cloned: a clone is one editor. Give each task that edits on its own a clone
/// of its own, and read and write through the same one. Copies are shared by all clones.
///
/// See the [module docs](crate::client) for an example.
pub struct Client<S> {
    pub(super) inner: S,
    pub(super) settings: Arc<Settings>,
    /// What [`update`](Self::update) and its like send along.
    pub(super) fields: Arc<HeaderMap>,
    copies: Arc<Copies>,
    seen: Arc<Seen>,
}

impl<S> Client<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self {
            inner,
            copies: Arc::new(Copies::new(settings.copies, settings.copied_bytes)),
            seen: Arc::new(Seen::new(settings.validators)),
            fields: Arc::default(),
            settings,
        }
    }

    /// The same, with a header field that [`read`](Self::read), [`update`](Self::update) and their
    /// like send with each request: `Authorization`, for instance. One of another name that says who
    /// asks belongs to the [principal fields](super::ClientLayer::principal_fields) too.
    ///
    /// ```
    /// use http::{HeaderValue, header::AUTHORIZATION};
    /// # use tower_conditional::client::Client;
    /// # fn with_token<S>(client: Client<S>) -> Client<S> {
    /// let mut token = HeaderValue::from_static("Bearer 2YotnFZFEjr1zCsicMWpAA");
    /// token.set_sensitive(true);
    /// client.with_field(AUTHORIZATION, token)
    /// # }
    /// ```
    #[must_use]
    pub fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        Arc::make_mut(&mut self.fields).insert(name, value);
        self
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

impl<S> Clone for Client<S>
where
    S: Clone,
{
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            settings: Arc::clone(&self.settings),
            fields: Arc::clone(&self.fields),
            copies: Arc::clone(&self.copies),
            seen: Arc::new(self.seen.fork()),
        }
    }
}

impl<S, B, R> Service<Request<B>> for Client<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<ClientBody<R>>;
    type Error = S::Error;
    type Future = ClientFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let exchange = Exchange::begin(&self.settings, &self.copies, &self.seen, &mut request);
        ClientFuture {
            answer: self.inner.call(request),
            exchange: Some(exchange),
            copies: Arc::clone(&self.copies),
            seen: Arc::clone(&self.seen),
        }
    }
}

impl<S> fmt::Debug for Client<S>
where
    S: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The answer to a request through a [`Client`]. See the [module docs](crate::client) for an
    /// example.
    pub struct ClientFuture<F> {
        #[pin]
        answer: F,
        exchange: Option<Exchange>,
        copies: Arc<Copies>,
        seen: Arc<Seen>,
    }
}

impl<F, R, E> Future for ClientFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<ClientBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context))?;
        let exchange = this.exchange.take().unwrap_or(Exchange::Other);
        Poll::Ready(Ok(exchange.finish(this.copies, this.seen, answer)))
    }
}

impl<F> fmt::Debug for ClientFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFuture").finish_non_exhaustive()
    }
}
