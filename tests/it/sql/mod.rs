//! The stores in SQL databases: one list of promises, kept by each of them.

mod compare;
mod keys;
#[cfg(feature = "sqlx-postgres")]
pub(crate) mod postgres;
mod promises;
mod shared;
#[cfg(feature = "sqlx-sqlite")]
mod sqlite;
mod transactions;
pub(crate) mod worker;
