//! Tags: whatever a version is written as, it is read back, and handlers see versions.

mod opacity;
mod round_trip;
mod variants;
