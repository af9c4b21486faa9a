//! Locks and counters: the standard library's, or, under `--cfg loom`, those of the model checker
//! that runs the tests in `interleavings` (see `.ci/loom`).

#[cfg(all(loom, test))]
pub(super) use loom::sync::{Mutex, MutexGuard, atomic::AtomicU64};
#[cfg(not(all(loom, test)))]
pub(super) use std::sync::{Mutex, MutexGuard, atomic::AtomicU64};
