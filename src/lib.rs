//! Tower middleware that makes lost updates impossible: `ETag`, `If-Match` and `If-None-Match`
//! ([RFC 9110, section 13]) for axum and hyper, with writes that are atomic.
//!
//! # The problem
//!
//! Two clients read version 5 of an order, both change it, both send it back; the second destroys
//! the work of the first and nobody is told. With this layer a client sends the tag of what it has
//! read, and a write that is based on an old version is refused before the handler runs:
//!
//! ```
//! use axum::{Router, extract::State, routing::get};
//! use std::sync::{Arc, Mutex};
//! use tower_conditional::{ConditionalLayer, MemoryStore};
//!
//! type Note = Arc<Mutex<String>>;
//!
//! async fn read(State(note): State<Note>) -> String {
//!     note.lock().expect("no handler panics").clone()
//! }
//!
//! async fn write(State(note): State<Note>, text: String) {
//!     *note.lock().expect("no handler panics") = text;
//! }
//!
//! let conditional = ConditionalLayer::new(MemoryStore::new());
//! let app: Router = Router::new()
//!     .route("/note", get(read).put(write).route_layer(conditional))
//!     .with_state(Note::default());
//! ```
//!
//! # What the layer decides
//!
//! | request | current version | answer |
//! |---|---|---|
//! | `GET`, `If-None-Match: "5"` | 5 | 304 |
//! | `GET`, `If-None-Match: "5"` | 7 | the handler's, `ETag: "7"` |
//! | `PUT`, `If-Match: "5"` | 5 | the handler's, with the new `ETag` |
//! | `PUT`, `If-Match: "5"` | 7 | 412 or 409, `ETag: "7"` |
//! | `PUT` | any | 428 or 400, unless `If-Match` is optional |
//! | `PUT`, `If-None-Match: *` | any | 412 |
//! | `PUT`, `If-None-Match: *` | none | the handler's, with the new `ETag` |
//!
//! [`Policy`] has the choices, [`decision`] the whole function.
//!
//! # Which mode
//!
//! A check before the handler is not enough: another write fits between the check and the write.
//!
//! - In **claim mode** ([`ConditionalLayer::new`]) a [`ClaimStore`] tests the condition and keeps
//!   everybody else away, in one step, until the handler is done. Handlers need not change.
//! - In **handler mode** ([`ConditionalLayer::handler`]) the handler compares in the statement that
//!   writes, and [reports](report) which version it made. The only mode that sees writers who
//!   bypass HTTP.
//!
//! The guide [`modes`](guide::modes) has a table, and what each mode rests on; the guide
//! [`stores`](guide::stores), which store is yours, and what a request asks of it.
//!
//! # Where it belongs
//!
//! Authentication, then routing, then this layer, then the handler. Outside of authentication a 304
//! or 412 would tell strangers what exists. A layer sees only the resource that the path names: put
//! it on routes whose representation changes only through writes to the same path, not on a list
//! whose items are written elsewhere.
//!
//! # Retries and queues
//!
//! A client whose answer got lost tries again, and is refused by its own write.
//! [`idempotency`] replays the first answer; it stands outside of this layer. APIs without versions
//! can at least have their writes run in [`sequence`].
//!
//! # Features
//!
//! - `tokio` (default): [`ConditionalLayer::new`] and [`MemoryStore::new`] on the Tokio runtime.
//! - `axum`: extractors and responders, and keys that see the whole path under nested routers.
//! - `sqlx-sqlite`, `sqlx-postgres`: versions, claims and idempotency keys in the database of the
//!   application, comparing in its own tables, and a transaction bound to the request.
//! - `redis`, `redis-cluster`: versions, claims and idempotency keys in Redis 7 or later.
//! - `opaque-tags`: entity-tags that show nothing of the version (`tags::Opaque`).
//! - `digest`: SHA-256 of answers and of canonical JSON, and tags made of bytes (`digest`).
//! - `client`: the other side of the wire: a client that remembers tags and copies, merges
//!   conflicts and tries again (`client`).
//! - `tracing`, `metrics`: observers that log and count what became of each request; the guide
//!   [`operations`](guide::operations) has their names.
//! - `testing`: the contracts of stores, as suites that any store can run.
//!
//! [RFC 9110, section 13]: https://www.rfc-editor.org/rfc/rfc9110#section-13
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub mod client;
mod conditional;
pub mod decision;
#[cfg(feature = "digest")]
#[cfg_attr(docsrs, doc(cfg(feature = "digest")))]
pub mod digest;
pub mod entity_tag;
pub mod guide;
mod http_date;
pub mod idempotency;
pub mod key;
pub mod merge;
mod numbers;
pub mod observe;
pub mod policy;
pub mod precondition;
pub mod problem;
mod render;
pub mod report;
pub mod runtime;
pub mod sequence;
mod short_bytes;
pub mod store;
pub mod tags;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
#[cfg_attr(
    docsrs,
    doc(cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite")))
)]
pub mod transaction;

pub use conditional::{
    Conditional, ConditionalLayer, Reader, RequestBody, ResponseBody, ResponseFuture,
};
pub use entity_tag::{EntityTag, EntityTagError};
pub use http_date::HttpDate;
pub use idempotency::IdempotencyLayer;
pub use key::ResourceKey;
pub use policy::Policy;
pub use problem::Problem;
pub use runtime::Runtime;
pub use sequence::SequenceLayer;
pub use store::{ClaimStore, MemoryStore, VersionStore};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
