//! Tests of the library as its users see it: one module for each behaviour.

mod answers;
mod cancellation;
mod history;
mod idempotency;
mod memory_queue;
mod memory_store;
mod one_winner;
mod oracle;
mod orders;
mod placement;
mod policy;
mod readiness;
mod readme;
mod reads;
mod redis;
mod sequence;
mod sql;
mod stamping;
mod store_contract;
mod store_failure;
mod streams;
mod support;
mod toy_store;
mod wire_http1;
mod wire_http2;
