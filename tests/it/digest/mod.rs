//! Digests: of the bytes that are sent, or none at all.

mod canonical;
mod compression;
mod layer;
