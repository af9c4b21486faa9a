//! Tests of the library as its users see it: one module for each behaviour.

mod idempotency;
mod idempotency_contract;
mod memory_queue;
mod memory_store;
mod oracle;
mod readme;
mod redis;
mod sequence;
mod store_contract;
mod support;
mod toy_store;
