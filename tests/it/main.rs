//! One binary for all integration tests: a module for each behaviour.

#[cfg(feature = "redis")]
mod redis;
