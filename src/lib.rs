//! Tower middleware that makes lost updates impossible: `ETag`, `If-Match` and `If-None-Match`
//! ([RFC 9110, section 13]) for axum and hyper, with writes that are atomic.
//!
//! # The problem
//!
//! Two clients read version 5 of an order, both change it, both send it back; the second destroys
//! the work of the first, and both are told 200. HTTP has the cure: a client sends the tag of what
//! it has read, `If-Match: "5"`, and a write that is based on an old version is refused. But a check
//! before the handler is not enough. Between the check and the write another write fits, so the
//! comparison has to be one step with the write, through disconnects, panics and crashes.
//!
//! # One layer
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
//! # use axum::body::Body;
//! # use http::{Request, StatusCode, header};
//! # use tower::ServiceExt;
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(async move {
//! # let get = Request::get("/note").body(Body::empty()).expect("a request");
//! # let read = app.clone().oneshot(get).await.expect("an answer");
//! # let tag = read.headers()[header::ETAG].clone();
//! # for status in [StatusCode::OK, StatusCode::PRECONDITION_FAILED] {
//! #     let put = Request::put("/note").header(header::IF_MATCH, &tag);
//! #     let put = put.body(Body::from("text")).expect("a request");
//! #     assert_eq!(app.clone().oneshot(put).await.expect("an answer").status(), status);
//! # }
//! # });
//! ```
//!
//! Handlers stay as they are. Reads carry an `ETag`, unchanged reads are 304, and of all writes
//! that are based on one version one succeeds.
//!
//! # What the layer decides
//!
//! | request | current version | answer |
//! |---|---|---|
//! | `GET` | any | the handler's, with its `ETag` |
//! | `GET`, `If-None-Match: "5"` | 5 | 304 |
//! | `GET`, `If-None-Match: "5"` | 7 | the handler's, `ETag: "7"` |
//! | `PUT`, `If-Match: "5"` | 5 | the handler's, with the new `ETag` |
//! | `PUT`, `If-Match: "5"` | 7 | 412 or 409, `ETag: "7"` |
//! | `PUT`, `If-Match: "5"` | none | 412 or 409 |
//! | `PATCH`, `DELETE`, `If-Match: "5"` | none | the handler's 404 |
//! | `PUT` | any | 428 or 400, unless `If-Match` is optional |
//! | `PUT`, `If-Match` that cannot be read | any | 412 or 400 |
//! | `PUT`, `If-None-Match: *` | any | 412 |
//! | `PUT`, `If-None-Match: *` | none | the handler's, with the new `ETag` |
//! | a write | held by another write | its turn, or 503 or 409 after a wait |
//! | a write | the store cannot say | 503 |
//!
//! Where it says 412, 409, 428, 400, 503 or 304, the handler does not run. [`Policy`] has the
//! choices, [`guide::status`] tells which are yours, and [`decision`] is the whole function.
//!
//! # Who compares
//!
//! - In **claim mode** ([`ConditionalLayer::new`]) a [`ClaimStore`] tests the condition and keeps
//!   everybody else away, in one step, until the handler is done. Handlers need not change.
//! - In **handler mode** ([`ConditionalLayer::handler`]) the handler compares in the statement that
//!   writes, and [reports](report) which version it made. The only mode that sees writers who
//!   bypass HTTP.
//!
//! [`guide::modes`] has a table, and what each mode rests on; [`guide::stores`], which store is yours,
//! and what a request asks of it.
//!
//! # Where it belongs
//!
//! Authentication, then routing, then this layer, then the handler ([`guide::layers`]). Outside of
//! authentication a 304 or 412 would tell strangers what exists ([`guide::security`]). A layer sees
//! only the resource that the path names: put it on routes whose representation changes only
//! through writes to the same path, not on a list whose items are written elsewhere.
//!
//! # Retries and queues
//!
//! A client whose answer got lost tries again, and is refused by its own write.
//! [`idempotency`] replays the first answer; it stands outside of this layer
//! ([`guide::idempotency`]). APIs without versions can at least have their writes run in
//! [`sequence`].
//!
//! # How to go on
//!
//! - From an API without conditions, with clients that know of none: [`guide::migrate`].
//! - Versions that live elsewhere: [`guide::own_store`], with a suite that says whether it is right.
//! - Behind [proxies](guide::proxies), for [browsers](guide::browsers), at
//!   [night](guide::operations), under [load](guide::overload).
//! - Tests of your own service: [`guide::tests`].
//! - What is promised, and which test turns red when it is not kept: [`guide::promises`].
//! - Other systems: [`guide::comparison`].
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
//! - `utoipa`, `aide`: what the layers answer, in an operation of those crates; as JSON it needs no
//!   feature, see [`openapi`].
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
pub mod openapi;
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
