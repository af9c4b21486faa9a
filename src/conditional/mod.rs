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
//! | `reported.rs` | writes in handler mode |
//! | `held.rs` | a claim that is settled or abandoned, never lost |
//! | `upload.rs` | reading the content of a request |
//! | `respond.rs` | 304s, refusals, stamps |
//! | `render.rs` | problems, as answers |
//! | `future.rs`, `body.rs` | the response future and the bodies |

mod body;
mod claimed;
mod exchange;
mod future;
mod held;
mod layer;
mod read;
mod reader;
mod render;
mod reported;
mod respond;
mod service;
mod upload;

pub(crate) use self::held::Held;
pub(crate) use self::layer::{OfRequest, PolicyOf};
pub(crate) use self::render::Renderer;
pub(crate) use self::respond::kept_fields;
pub(crate) use self::upload::{Unread, read_body, share};

pub use self::body::{RequestBody, ResponseBody};
pub use self::future::ResponseFuture;
pub use self::layer::ConditionalLayer;
pub use self::reader::Reader;
pub use self::service::Conditional;
