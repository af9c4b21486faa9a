//! What is counted and logged of requests: as many as there were, each under its own name, under
//! names of which there are few, and as loud as it deserves.

mod counts;
mod layers;
mod log;
mod recorder;
mod subscriber;
