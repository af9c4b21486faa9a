//! Tests of the library as its users see it: one module for each behaviour.

mod memory_queue;
mod memory_store;
mod oracle;
mod readme;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
mod sql;
mod store_contract;
mod support;
mod toy_store;
