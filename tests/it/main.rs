//! Tests of the library as its users see it: one module for each behaviour.

mod answers;
mod memory_queue;
mod memory_store;
mod oracle;
mod placement;
mod policy;
mod readiness;
mod readme;
mod reads;
mod stamping;
mod store_failure;
mod streams;
mod support;
mod wire_http1;
mod wire_http2;
