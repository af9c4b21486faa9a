//! By the number of those who wait for one resource: what a hand-over costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::Mutex;
use tower_conditional::store::{ClaimOptions, Claimed, Condition, Intent, Outcome};
use tower_conditional::{ClaimStore, MemoryStore, ResourceKey, Runtime};

use crate::figures::{Figure, median};

const PLOT: &str = "A hand-over, ns, by tasks that wait";
const ROUNDS: usize = 7;

const OPTIONS: ClaimOptions = ClaimOptions {
    wait: Duration::from_secs(3_600),
    lease: Duration::from_secs(30),
    intent: Intent::Write,
};

/// How long a section takes, of tasks that all want the same, each of them a few times.
fn each<F>(waiters: usize, section: impl Fn() -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread");
    let rounds = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..waiters).map(|_| tokio::spawn(section())).collect();
            for task in tasks {
                task.await.expect("no section panics");
            }
        });
        started.elapsed().as_nanos() as f64 / (waiters * SECTIONS) as f64
    });
    median(rounds.collect())
}

/// Of each task.
const SECTIONS: usize = 8;

fn queued(line: &'static str, waiters: usize, runtime: Runtime) -> Figure {
    // As many as come find a place.
    let store = MemoryStore::with_runtime(runtime).with_queue_limits(waiters, 64 * waiters);
    let y = each(waiters, || {
        let store = store.clone();
        async move {
            for _ in 0..SECTIONS {
                let key = ResourceKey::new("/orders/7");
                let claimed = store.claim(&key, &Condition::Unconditional, OPTIONS).await;
                let Ok(Claimed::Granted(claim)) = claimed else {
                    panic!("it waits for as long as it takes: {claimed:?}");
                };
                // Everybody else comes to wait.
                tokio::task::yield_now().await;
                let settled = store.settle(claim, Outcome::Written).await;
                settled.expect("the store is in memory");
            }
        }
    });
    let stats = store.stats();
    assert_eq!(
        (stats.held, stats.waiting),
        (0, 0),
        "something is left behind"
    );
    Figure {
        plot: PLOT,
        line,
        x: waiters,
        y,
    }
}

pub(crate) fn ours(waiters: usize) -> Vec<Figure> {
    vec![
        queued("ours, each wait with its limit", waiters, Runtime::tokio()),
        queued("ours, without a timer", waiters, Runtime::inline()),
    ]
}

/// One mutex, whose waits have no limit, and which knows neither keys nor versions.
pub(crate) fn tokio_mutex(waiters: usize) -> Vec<Figure> {
    let mutex = Arc::new(Mutex::new(()));
    let y = each(waiters, || {
        let mutex = Arc::clone(&mutex);
        async move {
            for _ in 0..SECTIONS {
                let held = mutex.lock().await;
                tokio::task::yield_now().await;
                drop(held);
            }
        }
    });
    vec![Figure {
        plot: PLOT,
        line: "one tokio::sync::Mutex",
        x: waiters,
        y,
    }]
}
