//! Retries that do no harm: the first answer is kept under a key, and a retry gets it again.
//!
//! A client whose answer got lost cannot know whether its request was carried out. It tries again,
//! and makes a second sale, or gets a conflict with its own write. With a key that it makes up
//! itself, once for each operation, the retry is answered with what the first try was answered,
//! `ETag` and `Location` included, marked `Idempotency-Replayed: true`.
//!
//! ```
//! use axum::{Router, routing::{get, post}};
//! use http::request::Parts;
//! use tower_conditional::idempotency::{IdempotencyLayer, MemoryIdempotencyStore};
//! use tower_conditional::{ConditionalLayer, MemoryStore};
//!
//! /// What authentication has left in the request's extensions.
//! #[derive(Clone)]
//! struct User(String);
//!
//! fn user(parts: &Parts) -> Option<String> {
//!     parts.extensions.get::<User>().map(|user| user.0.clone())
//! }
//!
//! # async fn list() {}
//! # async fn create() {}
//! # async fn read() {}
//! # async fn write() {}
//! let app: Router = Router::new()
//!     .route("/orders", get(list).post(create))
//!     .route(
//!         "/orders/{id}",
//!         get(read).put(write).layer(ConditionalLayer::new(MemoryStore::new())),
//!     )
//!     .route_layer(IdempotencyLayer::new(MemoryIdempotencyStore::new(), user));
//! # let _ = app;
//! ```
//!
//! # Where it belongs
//!
//! Authentication, then this layer, then the conditional layer, then the handler. Inside of
//! authentication, because keys belong to somebody; outside of the conditional layer, because a
//! retry still carries the `If-Match` of the first try, which the first try has made stale.
//!
//! # What becomes of a request with a key
//!
//! | the key | the request |
//! |---|---|
//! | is new | is run |
//! | belongs to a request under way | 409 `request-in-progress`, or waits for its answer |
//! | belongs to another request | 422 `idempotency-key-reused` |
//! | was answered with success | gets that answer again |
//! | was refused (4xx, 503) | is run: nothing was done |
//! | was lost to a crash, a panic or a 5xx | is run again if that cannot apply twice, else 409 `outcome-unknown` |
//! | is older than 24 hours | is run |
//!
//! [`IdempotencyPolicy`] has the choices.
//!
//! # How often a handler runs
//!
//! Once, unless the process dies between the handler's commit and the layer's: then the key is in
//! doubt, and the policy decides, visibly. A handler that completes its [`Ticket`] in its own
//! transaction closes that gap.
//!
//! # Keys of other kinds
//!
//! [`KeySource`] finds a key in a member of the body or in what the body says, and [`OnDuplicate`]
//! rejects a duplicate or answers with what is there already:
//!
//! ```
//! use http::StatusCode;
//! use tower_conditional::Problem;
//! use tower_conditional::idempotency::{IdempotencyPolicy, KeySource, OnDuplicate};
//!
//! let policy = IdempotencyPolicy::new()
//!     .source(KeySource::json_member("temporaryUUID"))
//!     .on_duplicate(OnDuplicate::reject(|_| {
//!         Problem::new(StatusCode::CONFLICT, "duplicate-sale", "Duplicate Sale")
//!     }));
//! # let _ = policy;
//! ```
//!
//! # Files
//!
//! | file | what |
//! |---|---|
//! | `key.rs`, `source.rs`, `content.rs` | keys, and where they come from |
//! | `fingerprint.rs`, `stored.rs`, `ticket.rs` | what is remembered of a request, of its answer, of its run |
//! | `store.rs`, `memory.rs`, `sql/`, `redis/` | the stores |
//! | `form.rs` | an answer as stores outside of the process keep it |
//! | `policy.rs`, `duplicate.rs` | what a route chooses |
//! | `layer.rs`, `service.rs`, `exchange.rs`, `run.rs` | tower glue: one request from top to bottom |

mod content;
mod duplicate;
mod exchange;
mod fingerprint;
#[cfg(any(feature = "redis", feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
mod form;
mod key;
mod layer;
mod memory;
mod policy;
#[cfg(feature = "redis")]
pub mod redis;
mod run;
mod service;
mod source;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
pub mod sql;
mod store;
mod stored;
mod ticket;

pub use self::content::Content;
pub use self::duplicate::{Duplicate, OnDuplicate};
pub use self::fingerprint::Fingerprint;
pub use self::key::{IdempotencyKey, KeyError};
pub use self::layer::IdempotencyLayer;
pub use self::memory::MemoryIdempotencyStore;
pub use self::policy::{IdempotencyPolicy, InDoubt, InFlight, Keep, KeyUse};
pub use self::service::Idempotency;
pub use self::source::KeySource;
pub use self::store::{
    Attempt, BeginOptions, Begun, Ending, IdempotencyStore, RecordKey, Settlement,
};
pub use self::stored::StoredResponse;
pub use self::ticket::Ticket;
