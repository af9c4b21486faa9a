//! Tests of the library as its users see it: one module for each behaviour.

mod memory_queue;
mod memory_store;
mod oracle;
mod readme;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
mod sql;
#[cfg(feature = "testing")]
mod store_contract;
mod support;
#[cfg(feature = "testing")]
mod toy_store;
