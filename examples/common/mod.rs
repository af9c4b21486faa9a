//! What the example services have in common, apart from what they are about: how they are served,
//! how they say no, how they read JSON, and where their data are.
//!
//! Copy the files that you need.

#![allow(dead_code, reason = "each example needs its own part of this")]

pub(crate) mod database;
pub(crate) mod id;
pub(crate) mod json;
pub(crate) mod keys;
pub(crate) mod merge_patch;
pub(crate) mod problems;
pub(crate) mod refused;
pub(crate) mod serve;
pub(crate) mod upload;

/// The number in an environment variable, or `default` if it is not set.
pub(crate) fn setting<N>(variable: &str, default: N) -> Result<N, String>
where
    N: std::str::FromStr,
{
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .map_err(|_| format!("{variable} is no number: {text:?}")),
        Err(_) => Ok(default),
    }
}
