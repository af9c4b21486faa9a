//! The example `gateway`, as its clients and its upstream see it: a process of its own between the
//! two.

mod conditions;
mod doubt;
mod forwarding;
mod several;
mod streaming;
mod upstream;
