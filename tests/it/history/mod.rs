//! No lost update, by experiment: clients read, modify and write over sockets, they and the server
//! fail in every way, and a checker goes through all that they saw.
//!
//! 10,000 acknowledged writes for each mode. For a longer run, as long as you like for each:
//!
//! ```text
//! HISTORY_SECONDS=600 cargo test --release --test it history::modes
//! ```
//!
//! `HISTORY_SEED` repeats the choices of an earlier run, though not its timing.
//!
//! [`drive`] and [`checker`] know nothing of how a server is made: give them the addresses of any, with
//! a [`drive::Api`].

mod broken;
pub(crate) mod checker;
mod checker_tests;
mod client;
pub(crate) mod documents;
pub(crate) mod drive;
mod exchange;
pub(crate) mod faults;
pub(crate) mod leases;
mod modes;
pub(crate) mod random;
pub(crate) mod record;
mod rows;
mod rules;
pub(crate) mod server;
pub(crate) mod wire;
