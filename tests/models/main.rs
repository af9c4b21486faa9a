//! Models: what the promises rest on, tried in every order that steps can come in.
//!
//! `protocol` has no line of the library in it: it is the argument, on one page, why the layer
//! compares, claims, labels and bumps as it does, and what is lost where it does not. `layer` is
//! the real layer over the real memory store, on a scheduler that takes its turns at random.
//! The store's own locks have a third model, next to their code: see `.ci/loom`.

mod layer;
mod protocol;
