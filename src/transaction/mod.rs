//! One database transaction for one request: data, version and the comparison of the version are
//! one commit (features `sqlx-postgres`, `sqlx-sqlite`).
//!
//! [`TransactionLayer`] puts a [`RequestTransaction`] into the extensions of each request. A handler
//! that takes it (with the feature `axum`, as an extractor) gets a connection, and with the first
//! one the transaction begins. It is committed before the answer leaves, if that is a success (2xx
//! or 3xx), and rolled back on anything else: an error status, a conflict that the handler reports,
//! an error of the service, a panic, a client that leaves. An answer whose commit failed is never
//! the handler's: 503 if nothing was changed, 500 `outcome-unknown` if nobody knows.
//!
//! In handler mode it belongs outside of the [`ConditionalLayer`](crate::ConditionalLayer), so that
//! what that refuses after the fact (`precondition-not-enforced`) is rolled back too; what it
//! refuses before the handler never began a transaction. In claim mode it belongs inside, since
//! there the handler outlives its client.
//!
//! [`compare_and_set`](crate::store::sql::compare_and_set) is the statement to run in it.
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use sqlx::{Database, Executor};
//! use tower_conditional::transaction::RequestTransaction;
//!
//! # #[cfg(feature = "sqlx-sqlite")]
//! async fn handler(request: Request<String>) -> Response<String> {
//!     let transaction = request.extensions().get::<RequestTransaction<sqlx::Sqlite>>();
//!     let transaction = transaction.expect("the route has a TransactionLayer");
//!     let Ok(mut connection) = transaction.connection().await else {
//!         let mut response = Response::new("try again later".to_owned());
//!         *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//!         return response;
//!     };
//!     let update = sqlx::query("UPDATE names SET name = ?").bind(request.body().as_str());
//!     match update.execute(&mut *connection).await {
//!         Ok(_) => Response::new("saved".to_owned()),
//!         Err(error) => {
//!             let mut response = Response::new(error.to_string());
//!             *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
//!             response
//!         }
//!     }
//! }
//! ```

mod handle;
mod layer;
mod service;

pub use self::handle::{RequestConnection, RequestTransaction, TransactionError};
pub use self::layer::TransactionLayer;
pub use self::service::Transactional;
