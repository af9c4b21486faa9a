//! Real threads, so that stores in memory race too, whatever the runtime of the test is.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::{self, JoinHandle};

use super::bench::Verdict;

/// A check's helper on a thread of its own.
pub(super) struct Thread<T>(JoinHandle<Verdict<T>>);

/// Runs `future` on a thread of its own.
pub(super) fn spawn<T>(future: impl Future<Output = Verdict<T>> + Send + 'static) -> Thread<T>
where
    T: Send + 'static,
{
    let runtime = Handle::current();
    Thread(task::spawn_blocking(move || runtime.block_on(future)))
}

/// Waits for all of them, also if one fails: none outlives its check, or even the runtime.
pub(super) async fn join<T>(threads: Vec<Thread<T>>) -> Verdict<Vec<T>> {
    let mut results = Vec::new();
    for Thread(thread) in threads {
        let result = thread.await;
        results.push(result.unwrap_or_else(|error| Err(panicked(error))));
    }
    results.into_iter().collect()
}

/// What a panic of the store said.
pub(super) fn panicked(error: task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "the runtime stopped".to_owned();
    };
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("the store panicked: {}", message.unwrap_or_default())
}
