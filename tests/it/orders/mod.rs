//! The example `orders`, as its clients see it: over sockets, as a process of its own, on SQLite
//! and on PostgreSQL.

mod bodies;
mod crashes;
mod keys;
mod lost_answers;
mod openapi;
mod parts;
mod races;
mod rows;
mod service;
mod staff;
