//! Writes in sequence: one at a time for each resource, in the order of arrival.
//!
//! For APIs that have no versions: nobody is told that he overwrites something, but no two writes
//! of one resource overlap, and each waits for its turn. A request arrives when all of its body is
//! there. One that has waited too long is refused, and so is at once a delete of what is being
//! deleted. Nothing that was refused happens later; a client that leaves the queue leaves no gap.
//!
//! Which resource a request is about may stand in its body:
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, routing::post};
//! use tower_conditional::{MemoryStore, ResourceKey, SequenceLayer};
//!
//! # async fn save() {}
//! # async fn delete() {}
//! let layer = SequenceLayer::new(MemoryStore::new(), |_, body| {
//!     let document: serde_json::Value = serde_json::from_slice(body).ok()?;
//!     Some(ResourceKey::new(document.get("id")?.to_string()))
//! })
//! .wait(Duration::from_secs(5))
//! .deletes(|parts| parts.uri.path().starts_with("/api/delete"));
//!
//! let app: Router = Router::new()
//!     .route("/api/saveDocument", post(save))
//!     .route("/api/deleteDocument", post(delete))
//!     .route_layer(layer);
//! # let _ = app;
//! ```
//!
//! Order and exclusion are the store's: a [`MemoryStore`](crate::MemoryStore) serves one process
//! first come first served, a store in a database serves several, in no promised order. No version
//! of the store is changed; one store may serve a [`ConditionalLayer`](crate::ConditionalLayer) as
//! well.
//!
//! | refusal | status | type |
//! |---|---|---|
//! | waited too long | 503, `Retry-After` | `resource-busy` |
//! | it is being deleted | 409, `Retry-After` | `delete-in-progress` |
//! | the store failed | 503, `Retry-After` | `store-unavailable` |
//! | body too long | 413 | `content-too-large` |
//! | body broke off | 400 | `content-unreadable` |

mod layer;
mod service;

pub use self::layer::SequenceLayer;
pub use self::service::Sequence;
