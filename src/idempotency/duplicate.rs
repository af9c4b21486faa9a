//! What a request gets that was made before.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::{Method, Response, Uri};

use super::store::RecordKey;
use super::stored::StoredResponse;
use crate::problem::Problem;

type AnswerOf = dyn Fn(Duplicate) -> BoxFuture<'static, Option<Response<Bytes>>> + Send + Sync;

/// What a request gets that was made before, under its key.
///
/// ```
/// use bytes::Bytes;
/// use http::{Response, StatusCode};
/// use tower_conditional::Problem;
/// use tower_conditional::idempotency::OnDuplicate;
///
/// let reject = OnDuplicate::reject(|_| {
///     Problem::new(StatusCode::CONFLICT, "duplicate-sale", "Duplicate Sale")
/// });
/// let existing = OnDuplicate::answer_with(|duplicate| async move {
///     // Look it up as it is now; `None` if it is gone, and the request is run as a new one.
///     let content = duplicate.response.content()?.clone();
///     Some(Response::new(content))
/// });
/// # let _ = (OnDuplicate::Replay, reject, existing);
/// ```
#[derive(Clone)]
pub enum OnDuplicate {
    /// An answer of the application's own; see [`answer_with`](Self::answer_with).
    AnswerWith(Arc<AnswerOf>),
    /// A problem; see [`reject`](Self::reject).
    Reject(Arc<dyn Fn(&Duplicate) -> Problem + Send + Sync>),
    /// The first answer.
    Replay,
}

impl OnDuplicate {
    /// The problem that `problem` makes of it. The request itself is not compared: its key is
    /// enough, unless the policy [says otherwise](super::IdempotencyPolicy::compare_requests).
    pub fn reject(problem: impl Fn(&Duplicate) -> Problem + Send + Sync + 'static) -> Self {
        Self::Reject(Arc::new(problem))
    }

    /// What `answer` makes of it: the existing resource, say. `None` means that it is no duplicate
    /// any more, and the request is run as a new one. The request itself is not compared, as for
    /// [`reject`](Self::reject).
    pub fn answer_with<F>(answer: impl Fn(Duplicate) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Response<Bytes>>> + Send + 'static,
    {
        Self::AnswerWith(Arc::new(move |duplicate| Box::pin(answer(duplicate))))
    }
}

impl fmt::Debug for OnDuplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AnswerWith(_) => "AnswerWith",
            Self::Reject(_) => "Reject",
            Self::Replay => "Replay",
        })
    }
}

/// A request that was made before, and what it was answered then.
///
/// See [`OnDuplicate`] for an example.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Duplicate {
    /// Its method.
    pub method: Method,
    /// Where it was sent.
    pub uri: Uri,
    /// Its key.
    pub key: RecordKey,
    /// Its content.
    pub content: Bytes,
    /// The first answer.
    pub response: Arc<StoredResponse>,
}
