//! The other side of the wire (feature `client`): a client that remembers what it has read, and
//! solves conflicts.
//!
//! Half of all lost updates are the client's doing: tags that are never sent, retries without
//! reading again, loops that send the refused tag for ever. [`ClientLayer`] goes around any
//! `Service<http::Request<_>>`, hyper-util's client, or a router in the same process, and does it
//! right:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Json, Router, extract::State, routing::get};
//! use http::Uri;
//! use serde_json::{Value, json};
//! use std::sync::{Arc, Mutex};
//! use tower::Layer;
//! use tower_conditional::client::{Change, ClientLayer, ErrorKind};
//! use tower_conditional::{ConditionalLayer, MemoryStore};
//!
//! type Order = Arc<Mutex<Value>>;
//!
//! async fn read(State(order): State<Order>) -> Json<Value> {
//!     Json(order.lock().expect("no handler panics").clone())
//! }
//!
//! async fn write(State(order): State<Order>, Json(new): Json<Value>) {
//!     *order.lock().expect("no handler panics") = new;
//! }
//!
//! let server: Router = Router::new()
//!     .route("/order", get(read).put(write).layer(ConditionalLayer::new(MemoryStore::new())))
//!     .with_state(Arc::new(Mutex::new(json!({"pieces": 4, "to": "Bonn"}))));
//!
//! // Over a socket: hyper_util::client::legacy::Client in the place of the router.
//! let client = ClientLayer::new().layer(server);
//! let order = Uri::from_static("/order");
//!
//! // What a program computes: as often as it takes, on top of whatever is there by then.
//! let more = |order: &Value| {
//!     let mut order = order.clone();
//!     order["pieces"] = (order["pieces"].as_i64().unwrap_or(0) + 1).into();
//!     Change::Replace(order)
//! };
//! let (one, other) = tokio::join!(
//!     client.update(order.clone(), more),
//!     client.update(order.clone(), more),
//! );
//! one?;
//! other?;
//!
//! // What people edit: both start from the same state, and each has changed something else.
//! let base = client.read(order.clone()).await?;
//! assert_eq!(base.value(), &json!({"pieces": 6, "to": "Bonn"}));
//! client.save(&base, &json!({"pieces": 6, "to": "Berlin"})).await?;
//! let merged = client.save(&base, &json!({"pieces": 7, "to": "Bonn"})).await?;
//! assert_eq!(merged.conflicts(), 1);
//! let order = client.read(order).await?;
//! assert_eq!(order.value(), &json!({"pieces": 7, "to": "Berlin"}));
//!
//! // Both have changed the same: that is for a person to decide.
//! let error = client.save(&base, &json!({"pieces": 6, "to": "Hamburg"})).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Unmerged);
//! assert_eq!(error.conflicts()[0].pointer, "/to");
//! # Ok(())
//! # }
//! ```
//!
//! # As a layer
//!
//! Each request through a [`Client`] as a service is sent once, and changed in this alone:
//!
//! | request | what is added |
//! |---|---|
//! | `GET` of what there is a copy of | `If-None-Match`; a 304 becomes 200 with the copy, marked [`Revalidated`] |
//! | `PUT`, `PATCH`, `DELETE` of what this handle has read | `If-Match` |
//! | one that has conditions or a `Range` of its own | nothing |
//!
//! A tag counts as read when it comes with a representation: with a `GET`, with a write that says
//! all of the new state (`PUT`) or was based on a tag, or with a 304 if the caller's own
//! `If-None-Match` names it; not with `HEAD`, and not with a refusal, whose reader may not have
//! merged. [Handles](Client) remember for themselves what they have read.
//!
//! Copies are kept of 200 answers with an `ETag`, whole, without `no-store`, for the same
//! principal, the same fields that `Vary` names, and the same `Accept`, `Accept-Encoding` and
//! `Accept-Language`. None is used unasked: the server validates it each time, so that how long an
//! answer is said to be fresh does not matter. Dates are no validators here, because they cannot tell
//! two changes in one second apart.
//!
//! # In one call
//!
//! [`Client::update`], [`save`](Client::save) and [`create`](Client::create) send as many requests
//! as it takes, up to [a limit](ClientLayer::requests). Reads ask caches for what the server has,
//! and ask for content as it is: where a proxy compresses, it marks the tag (`W/"5"`, `"5-gzip"`),
//! and a strict server never accepts a marked one.
//!
//! An answer to a read that has no tag may have met a write under way: it is read again, up to five
//! times, before that is [`NoTag`](ErrorKind::NoTag).
//!
//! | answer to a write | what happens |
//! |---|---|
//! | 2xx | done |
//! | 412, 409 `version-mismatch` | again from `currentResource` and `ETag` of the refusal if they are there and can be believed, else from a fresh `GET`; from the second time on after a pause, and from a fresh `GET` |
//! | 409 of another type | a `GET`: if the tag is another by now, as above, else [`Refused`](ErrorKind::Refused) |
//! | 409 `resource-busy`, 503 of that type, 429 | the same write again after a pause, `Retry-After` at the least, up to [a limit](ClientLayer::longest_retry_after), else [`Busy`](ErrorKind::Busy) |
//! | 409 `request-in-progress` | the same write with the same key: an earlier try is being answered |
//! | none in time, 408, any other 5xx | the same write with the same key and tag; it is in doubt from now on |
//! | 409 `outcome-unknown` | a `GET`, and what is in doubt is looked at |
//! | 428, 400 `if-match-required` | [`Missing`](ErrorKind::Missing): something on the way removes `If-Match` |
//! | the tag that was refused, again | if it is marked by a proxy [`MarkedTag`](ErrorKind::MarkedTag), else once more and then [`RefusedTwice`](ErrorKind::RefusedTwice) |
//! | 404, any other 4xx | [`NotFound`](ErrorKind::NotFound), [`Refused`](ErrorKind::Refused) |
//!
//! Each try on top of another version has an `Idempotency-Key` of its own; what is sent again
//! unchanged keeps it.
//!
//! # In doubt
//!
//! A write without an answer may have happened. It is safe to send it again, because its tag can be
//! used up only once. But then a refusal may come from its own first try, and starting again on top
//! of that would make the change twice. So:
//!
//! - Where [keys are honoured](ClientLayer::keys_honoured), a conflict proves that it has not
//!   happened, and the client starts again.
//! - Elsewhere, if what is there already says what the change says, that is
//!   [success](Outcome::Found). If not, it ends as [`InDoubt`](ErrorKind::InDoubt).
//!
//! A refusal that no silence came before is believed. On a server without keys, a proxy that sends
//! writes twice by itself (nginx does, `PUT` and `DELETE`, after an upstream has failed) and passes
//! on the second answer can still make a client take its own write for somebody else's.
//!
//! # Files
//!
//! | file | what |
//! |---|---|
//! | `layer.rs` | options and defaults |
//! | `key.rs`, `kept.rs`, `copies.rs`, `seen.rs` | copies and tags, and what they are kept under |
//! | `exchange.rs`, `service.rs`, `body.rs` | tower glue: one request through the layer |
//! | `document.rs`, `change.rs`, `updated.rs`, `error.rs` | what an update is about, and what comes of it |
//! | `answer.rs`, `attempt.rs`, `pace.rs`, `session.rs` | sending a write until an answer says what became of it |
//! | `editor.rs`, `edit.rs` | one update from top to bottom, and the calls that begin it |

mod answer;
mod attempt;
mod body;
mod change;
mod copies;
mod document;
mod edit;
mod editor;
mod error;
mod exchange;
mod kept;
mod key;
mod layer;
mod pace;
mod seen;
mod service;
mod session;
mod updated;

pub use self::body::ClientBody;
pub use self::change::Change;
pub use self::document::Document;
pub use self::error::{ClientError, ErrorKind};
pub use self::exchange::Revalidated;
pub use self::layer::ClientLayer;
pub use self::service::{Client, ClientFuture};
pub use self::updated::{Outcome, Updated};
