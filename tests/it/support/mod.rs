//! What several modules need: servers, folders.

pub(crate) mod folder;
#[cfg(feature = "sqlx-postgres")]
pub(crate) mod postgres;
