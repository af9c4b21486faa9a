//! Integration tests, one module for each behaviour.

mod memory_queue;
mod memory_store;
