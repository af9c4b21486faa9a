//! One module for each behaviour; a single binary, so that it is linked once.

#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
mod sql;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
mod support;
