//! How long a layer waits for its store: one that hangs must not keep requests, nor what they hold.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::runtime::Runtime;
use crate::store::{Answer, StoreError};

/// What a layer allows its store. An answer that is there at once costs nothing.
#[derive(Clone, Copy)]
pub(crate) struct Patience<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) limit: Duration,
}

impl Patience<'_> {
    /// The same, when the store is asked to wait for so long by itself.
    pub(crate) fn and(self, wait: Duration) -> Self {
        Self {
            limit: self.limit.saturating_add(wait),
            ..self
        }
    }

    /// The same answer, or an error if there is none in time. Then it is dropped, which a store can
    /// bear at any moment.
    pub(crate) fn bound<T>(
        self,
        answer: Answer<Result<T, StoreError>>,
    ) -> Answer<Result<T, StoreError>>
    where
        T: Send + Unpin + 'static,
    {
        let later = match answer.try_ready() {
            Ok(answer) => return Answer::ready(answer),
            Err(later) => later,
        };
        let (runtime, limit) = (self.runtime.clone(), self.limit);
        Answer::later(async move {
            let answer = runtime.answered(limit, later).await;
            answer.unwrap_or_else(|| Err(StoreError::unknown(NoAnswer(limit))))
        })
    }
}

/// The store took too long.
#[derive(Debug)]
struct NoAnswer(Duration);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {:?}", self.0)
    }
}

impl Error for NoAnswer {}
