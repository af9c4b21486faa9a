//! Tests of the library as its users see it: one module for each behaviour.

mod oracle;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
mod sql;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
mod support;
