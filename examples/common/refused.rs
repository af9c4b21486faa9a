//! Why nothing was written: somebody else was first, or something is wrong.

use axum::response::{IntoResponse, Response};
use tower_conditional::axum::Conflict;

use super::problems::Failure;

pub(crate) enum Refused {
    /// What the client expects is not so. The layer writes the answer.
    Conflict(Conflict),
    Failure(Failure),
}

impl From<Conflict> for Refused {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Conflict(conflict) => conflict.into_response(),
            Self::Failure(failure) => failure.into_response(),
        }
    }
}
