//! Tests of the library as its users see it: one module for each behaviour.

#[cfg(feature = "redis")]
mod redis;
