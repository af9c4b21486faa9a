//! A queue in front of a shared store: the order of arrival, one wait limit, no place that is lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_conditional::store::{ClaimOptions, Claimed, Condition, Intent, Outcome, QueuedStore};
use tower_conditional::testing::ClaimStoreSuite;
use tower_conditional::{ClaimStore, MemoryStore, ResourceKey};

use crate::toy_store::{Fault, LEASE, ToyStore};

const PATIENT: ClaimOptions = ClaimOptions {
    wait: Duration::from_secs(30),
    lease: Duration::from_secs(30),
    intent: Intent::Write,
};

async fn claim(
    store: &impl ClaimStore,
    key: &ResourceKey,
    options: ClaimOptions,
) -> tower_conditional::store::Claim {
    match store.claim(key, &Condition::Unconditional, options).await {
        Ok(Claimed::Granted(claim)) => claim,
        other => panic!("not granted: {other:?}"),
    }
}

#[tokio::test]
async fn a_queue_keeps_the_contract_of_the_store_behind_it() {
    let store = QueuedStore::new(MemoryStore::new());
    let suite = ClaimStoreSuite::new(async || store.clone())
        .restart(async || QueuedStore::new(MemoryStore::new()));
    suite.run().await.assert_passed();
}

#[tokio::test]
async fn processes_with_a_queue_each_keep_the_contract_together() {
    let shared = ToyStore::new(Fault::None);
    let suite = ClaimStoreSuite::new(async || QueuedStore::new(shared.handle())).lease(LEASE);
    suite.run().await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_come_forward_in_the_order_in_which_they_joined() {
    let store = QueuedStore::new(ToyStore::new(Fault::None));
    let key = ResourceKey::new("/orders/5");
    let held = claim(&store, &key, PATIENT).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut writers = Vec::new();
    for number in 0..32 {
        let (store, key, order) = (store.clone(), key.clone(), Arc::clone(&order));
        let mut waiting = Box::pin(async move {
            let claim = claim(&store, &key, PATIENT).await;
            order.lock().unwrap().push(number);
            store.settle(claim, Outcome::Written).await.unwrap();
        });
        // Joins the queue now, before the next one does.
        assert!(futures_poll(waiting.as_mut()).await.is_pending());
        // Every third one leaves, and leaves no gap.
        if number % 3 == 0 {
            drop(waiting);
        } else {
            writers.push(tokio::spawn(waiting));
        }
    }
    store.settle(held, Outcome::Unchanged).await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    let expected: Vec<_> = (0..32).filter(|number| number % 3 != 0).collect();
    assert_eq!(*order.lock().unwrap(), expected);
}

async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn the_wait_in_the_queue_counts_for_the_wait_in_the_store() {
    let shared = ToyStore::new(Fault::None);
    let key = ResourceKey::new("/orders/5");
    // Another process holds it, and a writer of ours waits for that at the head of the queue.
    let held = claim(&shared, &key, PATIENT).await;
    let store = QueuedStore::new(shared.handle());
    let impatient = ClaimOptions {
        wait: Duration::from_millis(200),
        ..PATIENT
    };
    let began = std::time::Instant::now();
    let unconditional = Condition::Unconditional;
    let both = tokio::join!(
        store.claim(&key, &unconditional, impatient),
        store.claim(&key, &unconditional, impatient),
    );
    let waited = began.elapsed();
    assert!(matches!(both.0, Ok(Claimed::Busy { .. })), "{both:?}");
    assert!(matches!(both.1, Ok(Claimed::Busy { .. })), "{both:?}");
    assert!(waited >= Duration::from_millis(200), "{waited:?}");
    // Nobody is left behind in the queue.
    shared.settle(held, Outcome::Unchanged).await.unwrap();
    let claim = claim(&store, &key, PATIENT).await;
    store.abandon(claim);
}
