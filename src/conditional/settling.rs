//! Claims that are settled when the last byte of the answer is out, for handlers that go on writing
//! while they answer.
//!
//! The version is not known before, so it cannot stand in the header; it comes as a trailer. A body
//! that breaks off, or that nobody reads to its end, leaves its claims abandoned.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::HeaderMap;
use http_body::{Body, Frame};

use super::claims::Claims;
use super::exchange::Exchange;
use crate::store::{Outcome, Settled};

/// What stamps the trailers and tells the observer, once it is known which version was made, or
/// that nobody will know.
type End = Box<dyn FnOnce(Option<&Settled>, &mut HeaderMap) + Send>;

/// The end of a body that claims are settled at.
pub(super) struct Settling {
    exchange: Arc<Exchange>,
    state: State,
    end: Option<End>,
    /// What the inner body has given, and is passed on once the claims are settled.
    last: Option<Bytes>,
    trailers: HeaderMap,
}

enum State {
    Open(Box<Claims>, Outcome),
    /// Between two states, and after a failure.
    Closed,
    Settling(BoxFuture<'static, Option<Settled>>),
    Settled,
}

impl Settling {
    pub(super) fn new(
        claims: Claims,
        exchange: Arc<Exchange>,
        outcome: Outcome,
        end: impl FnOnce(Option<&Settled>, &mut HeaderMap) + Send + 'static,
    ) -> Self {
        Self {
            exchange,
            state: State::Open(Box::new(claims), outcome),
            end: Some(Box::new(end)),
            last: None,
            trailers: HeaderMap::new(),
        }
    }

    pub(super) fn poll_frame<B>(
        &mut self,
        mut body: Pin<&mut B>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>>
    where
        B: Body<Data = Bytes>,
    {
        loop {
            match &mut self.state {
                State::Open(..) => match ready!(body.as_mut().poll_frame(context)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        // Who knows the length of a body may not ask for more than that.
                        Ok(data) if body.is_end_stream() => {
                            self.last = Some(data);
                            self.settle();
                        }
                        Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                        Err(frame) => {
                            self.trailers = frame.into_trailers().unwrap_or_default();
                            self.settle();
                        }
                    },
                    Some(Err(error)) => {
                        self.state = State::Closed;
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => self.settle(),
                },
                State::Settling(settled) => {
                    let settled = ready!(settled.as_mut().poll(context));
                    self.state = State::Settled;
                    self.end(settled.as_ref());
                }
                State::Settled => {
                    if let Some(data) = self.last.take() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    self.state = State::Closed;
                    if !self.trailers.is_empty() {
                        let trailers = std::mem::take(&mut self.trailers);
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                }
                State::Closed => return Poll::Ready(None),
            }
        }
    }

    pub(super) const fn is_end(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn end(&mut self, settled: Option<&Settled>) {
        if let Some(end) = self.end.take() {
            end(settled, &mut self.trailers);
        }
    }

    fn settle(&mut self) {
        if let State::Open(claims, outcome) = std::mem::replace(&mut self.state, State::Closed) {
            let exchange = Arc::clone(&self.exchange);
            let settling = async move { claims.settle(&exchange, outcome).await };
            self.state = State::Settling(Box::pin(settling));
        }
    }
}

impl Drop for Settling {
    /// Broken off: nobody will know which version was made.
    fn drop(&mut self) {
        self.end(None);
    }
}
