//! The UUID in a path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use uuid::Uuid;

use super::problems::Failure;

/// An id in its canonical spelling: hyphenated, in lower case. What is no UUID names nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) String);

impl Id {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4().to_string())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(Failure::not_found());
        };
        // There are spellings without hyphens too: one id, one spelling.
        let uuid = Uuid::try_parse(&text).ok().filter(|_| text.len() == 36);
        let uuid = uuid.ok_or_else(Failure::not_found)?;
        Ok(Self(uuid.to_string()))
    }
}
