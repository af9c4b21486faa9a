//! Tests of the library as its users see it: one module for each behaviour.

mod digest;
mod memory_queue;
mod memory_store;
mod merge;
mod oracle;
mod readme;
mod redis;
mod store_contract;
mod support;
mod tags;
mod toy_store;
