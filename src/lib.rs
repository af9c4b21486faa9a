//! x
pub mod decision;
pub mod entity_tag;
mod http_date;
pub mod key;
pub mod precondition;
pub mod runtime;
mod short_bytes;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use entity_tag::{EntityTag, EntityTagError};
pub use http_date::HttpDate;
pub use key::ResourceKey;
pub use runtime::Runtime;
pub use store::{ClaimStore, MemoryStore, VersionStore};
/// x
#[derive(Debug)]
pub struct Policy;
impl Policy {
    /// x
    pub fn outcome() {}
}
