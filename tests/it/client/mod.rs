//! The client: what it sends, what it reuses, how it gets an edit through, and when it stops.

mod calls;
mod copies;
mod doubt;
mod faults;
mod faulty;
mod loops;
mod merges;
mod notes;
mod orders;
mod read_tags;
mod script;
mod sockets;
