//! What several modules need: servers, folders.

pub mod folder;
#[cfg(feature = "sqlx-postgres")]
pub mod postgres;
