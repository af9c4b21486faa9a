//! What several tests need.

pub(crate) mod example;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
pub(crate) mod folder;
#[cfg(feature = "sqlx-postgres")]
pub(crate) mod postgres;
