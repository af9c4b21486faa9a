//! Tests of the library as its users see it: one module for each behaviour.

mod memory_queue;
mod memory_store;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "testing")]
mod store_contract;
#[cfg(feature = "testing")]
mod toy_store;
