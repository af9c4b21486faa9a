//! Tests of the library as its users see it: one module for each behaviour.

mod cancellation;
mod history;
mod lease_bound;
mod memory_queue;
mod memory_store;
mod one_winner;
mod oracle;
