//! Integration tests, one module for each behaviour.

mod memory_queue;
mod memory_store;
#[cfg(feature = "testing")]
mod store_contract;
#[cfg(feature = "testing")]
mod toy_store;
