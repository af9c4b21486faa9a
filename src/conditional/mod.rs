//! The conditional layer: tower glue around the decision.
//!
//! A request walks it top to bottom once: key → conditions → snapshot or claim → decision →
//! handler → outcome → settle → stamp.
//!
//! | file | what |
//! |---|---|
//! | `layer.rs` | what is configured once: mode, store, policy, key |
//! | `service.rs` | the tower service: which way a request goes |
//! | `exchange.rs` | one request on its route: what every step needs to know |
//! | `read.rs` | `GET` and `HEAD`: evaluate, forward, stamp |
//! | `reader.rs` | a `GET` of a resource while a write of it is being answered |
//! | `claimed.rs` | writes in claim mode |
//! | `claims.rs`, `held.rs` | their claims: taken in order, settled or abandoned, never lost |
//! | `patience.rs` | how long the store may take to answer |
//! | `settling.rs` | claims that are settled at the end of a body |
//! | `upload.rs` | reading the content of a request |
//! | `reported.rs` | writes in handler mode |
//! | `refuse.rs` | refusals, with the current resource |
//! | `respond.rs` | other answers of the layer, and stamps |
//! | `future.rs`, `body.rs` | the response future and the bodies |

mod body;
mod claimed;
mod claims;
mod exchange;
mod future;
mod held;
mod layer;
mod patience;
mod read;
mod reader;
mod refuse;
mod reported;
mod respond;
mod service;
mod settling;
mod upload;

pub(crate) use self::held::Held;
pub(crate) use self::layer::{OfRequest, PolicyOf};
pub(crate) use self::patience::Patience;
pub(crate) use self::respond::kept_fields;
pub(crate) use self::upload::{Unread, Whole, collect, read_body};

pub use self::body::{RequestBody, ResponseBody};
pub use self::future::ResponseFuture;
pub use self::layer::ConditionalLayer;
pub use self::reader::Reader;
pub use self::service::Conditional;
