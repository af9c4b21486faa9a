//! What several tests need: a store that can be told to fail or to take its time, a site of a few
//! notes whose handler knows nothing of versions, answers that are easy to look at, a server on a
//! real socket, an example that runs, alone or in several processes on one database, and servers of
//! other people's making.

#[allow(dead_code, reason = "each example needs its own part of this")]
pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod example;
pub(crate) mod folder;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
mod seen;
mod server;
#[allow(dead_code, reason = "each example needs its own part of this")]
pub(crate) mod service;
mod site;
mod store;
mod threaded;

pub(crate) use self::seen::{Seen, ask, json, request, see};
pub(crate) use self::server::{CallEnd, Frames, Raw, Server, http2, in_time, until, watched};
pub(crate) use self::site::Site;
pub(crate) use self::store::{Failure, ScriptedStore, Step};
pub(crate) use self::threaded::Threaded;
