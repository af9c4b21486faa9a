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
//! | `claimed.rs` | writes in claim mode |
//! | `reported.rs` | writes in handler mode |
//! | `respond.rs` | 304s, refusals, stamps |
//! | `future.rs`, `body.rs` | the response future and the bodies |

mod body;
mod claimed;
mod exchange;
mod future;
mod layer;
mod read;
mod reported;
mod respond;
mod service;

pub use self::body::{RequestBody, ResponseBody};
pub use self::future::ResponseFuture;
pub use self::layer::ConditionalLayer;
pub use self::service::Conditional;
