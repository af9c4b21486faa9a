//! First answers in the SQL database that the application already runs:
//! [`PostgresIdempotencyStore`] (feature `sqlx-postgres`) and [`SqliteIdempotencyStore`] (feature
//! `sqlx-sqlite`), over the application's own `sqlx` pool.
//!
//! They keep a table of their own, which a migration makes that a database administrator can read
//! (see [`SqlIdempotencyStore::migration`]). Each operation is one statement, committed by itself, so
//! that a pooler in transaction mode may stand between. All processes on one database share its keys,
//! and leases and times to live end by the clock of the database.
//!
//! | operation | statements, as counted by [`SqlIdempotencyStore::round_trips`] |
//! |---|---|
//! | `begin`, started | 1 |
//! | `begin`, anything else | 1; on SQLite 2 |
//! | `begin`, outrun by another at the same moment | 1 more |
//! | `settle` | 1 |
//! | `abandon` | 0 |
//! | [`complete_in`](SqlIdempotencyStore::complete_in) | 1, in the handler's transaction |
//!
//! # Exactly once
//!
//! Without help, a process that is killed between the handler's commit and the layer's leaves the key
//! in doubt. A handler that writes the record in the transaction that writes its data leaves no such
//! gap:
//!
//! ```
//! # #[cfg(feature = "sqlx-sqlite")] mod example {
//! use axum::Extension;
//! use axum::extract::State;
//! use axum::http::StatusCode;
//! use tower_conditional::idempotency::sql::SqliteIdempotencyStore;
//! use tower_conditional::idempotency::{StoredResponse, Ticket};
//!
//! #[derive(Clone)]
//! struct App {
//!     pool: sqlx::SqlitePool,
//!     keys: SqliteIdempotencyStore,
//! }
//!
//! type BoxError = Box<dyn std::error::Error + Send + Sync>;
//!
//! /// `ticket` is there if the request has a key.
//! async fn sell(app: &App, ticket: Option<&Ticket>, sale: String) -> Result<StatusCode, BoxError> {
//!     let mut transaction = app.pool.begin().await?;
//!     sqlx::query("INSERT INTO sales (content) VALUES (?)")
//!         .bind(sale)
//!         .execute(&mut *transaction)
//!         .await?;
//!     if let Some(ticket) = ticket {
//!         let answer = StoredResponse::new(StatusCode::CREATED);
//!         // The `?` rolls back if the key is somebody else's by now.
//!         app.keys.complete_in(&mut transaction, ticket, &answer).await?;
//!     }
//!     transaction.commit().await?;
//!     if let Some(ticket) = ticket {
//!         ticket.completed();
//!     }
//!     Ok(StatusCode::CREATED)
//! }
//!
//! async fn handler(
//!     State(app): State<App>,
//!     ticket: Option<Extension<Ticket>>,
//!     sale: String,
//! ) -> Result<StatusCode, StatusCode> {
//!     let ticket = ticket.as_ref().map(|Extension(ticket)| ticket);
//!     let sold = sell(&app, ticket, sale).await;
//!     // Nothing was done: a retry may run.
//!     sold.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
//! }
//! # }
//! ```
//!
//! (A commit that fails may have happened; a handler that answers 500 then, not 503, leaves the key
//! in doubt if it did not, and done if it did.)
//!
//! A retry is then answered from the record, and what was killed before its commit did nothing, so
//! that the route may [rerun](super::InDoubt::Rerun) what is in doubt. A handler that is so slow that
//! its lease ends under it is fenced: of it and the retry, one commits.
//!
//! # Limits
//!
//! - A scope and a key are at most 2048 bytes long together and hold no NUL; others are errors.
//! - Keys are only as durable as a commit: with `synchronous_commit = off`, with
//!   `PRAGMA synchronous = NORMAL` on SQLite in WAL mode, or after a failover to a replica that
//!   lagged behind, answered keys can be lost, and their retries run again.
//! - Nothing runs in the background: [`prune`](SqlIdempotencyStore::prune) now and then.

#[expect(
    unnameable_types,
    reason = "`Engine` is sealed by what others cannot name"
)]
mod engine;
#[cfg(feature = "sqlx-postgres")]
mod postgres;
mod row;
#[cfg(feature = "sqlx-sqlite")]
mod sqlite;
mod store;

pub(crate) use self::engine::Records;
#[cfg(feature = "sqlx-postgres")]
pub use self::postgres::PostgresIdempotencyStore;
#[cfg(feature = "sqlx-sqlite")]
pub use self::sqlite::SqliteIdempotencyStore;
pub use self::store::SqlIdempotencyStore;
