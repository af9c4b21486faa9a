//! x
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
mod conditional;
pub mod decision;
pub mod entity_tag;
mod http_date;
pub mod key;
pub mod policy;
pub mod precondition;
pub mod problem;
pub mod report;
pub mod runtime;
mod short_bytes;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use conditional::{Conditional, ConditionalLayer, RequestBody, ResponseBody, ResponseFuture};
pub use entity_tag::{EntityTag, EntityTagError};
pub use http_date::HttpDate;
pub use key::ResourceKey;
pub use policy::Policy;
pub use problem::Problem;
pub use runtime::Runtime;
pub use store::{ClaimStore, MemoryStore, VersionStore};
