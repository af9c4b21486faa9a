//! What a failure of the database says about the step: it did not happen, it may have happened, or
//! somebody else stood in the way.

use std::error::Error;
use std::fmt;

use super::Engine;
use crate::store::StoreError;

/// Why a statement has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Others were at the same rows, or hold the lock; it did not happen.
    Contended(sqlx::Error),
    /// It did not happen.
    NotApplied(sqlx::Error),
    /// It may have happened.
    Unknown(Box<dyn Error + Send + Sync>),
}

/// How a database's own error code is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Contended,
    Refused,
    Unknown,
}

impl Failure {
    /// Of a statement that was sent.
    pub(crate) fn of(error: sqlx::Error, meaning: impl FnOnce(&str) -> Meaning) -> Self {
        let code = match &error {
            sqlx::Error::Database(error) => error.code(),
            // It was never sent.
            sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => {
                return Self::NotApplied(error);
            }
            _ => return Self::Unknown(Box::new(error)),
        };
        match meaning(code.as_deref().unwrap_or_default()) {
            Meaning::Contended => Self::Contended(error),
            Meaning::Refused => Self::NotApplied(error),
            Meaning::Unknown => Self::Unknown(Box::new(error)),
        }
    }
}

/// What a failure of something that was sent says.
pub(crate) fn store_error<DB: Engine>(error: sqlx::Error) -> StoreError {
    Failure::of(error, DB::meaning).into()
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Contended(error) | Failure::NotApplied(error) => Self::not_applied(error),
            Failure::Unknown(error) => Self::unknown(error),
        }
    }
}

/// Why a store cannot be used on a database.
///
/// ```
/// use tower_conditional::store::sql::OpenError;
///
/// let error = OpenError::SchemaVersion { found: 9, expected: 1 };
/// assert_eq!(
///     error.to_string(),
///     "the table of the store has schema version 9; this version of the library needs 1"
/// );
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The table is not there: run the migration.
    Missing,
    /// The table was made by another version of the library.
    SchemaVersion {
        /// The version that the table has.
        found: i64,
        /// The version that this library needs.
        expected: i64,
    },
    /// The database could not say, or refused the migration.
    Store(StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the table of the store is missing; run the migration"),
            Self::SchemaVersion { found, expected } => write!(
                f,
                "the table of the store has schema version {found}; this version of the library needs {expected}"
            ),
            Self::Store(_) => f.write_str("the table of the store cannot be used"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Missing | Self::SchemaVersion { .. } => None,
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}
