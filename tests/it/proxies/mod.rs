//! Real intermediaries between a client and the layer: what nginx and Apache make of entity-tags,
//! and what becomes of the conditions that clients send with what they were given.

mod cache;
mod notes;
mod replay;
mod servers;
mod tags;
