//! A million resources: memory for as many as the store has room for, and no more.

use std::time::Duration;

use tower_conditional::store::{
    Claim, ClaimOptions, Claimed, Condition, Intent, Outcome, Settled, State, Version,
};
use tower_conditional::{ClaimStore, MemoryStore, ResourceKey, VersionStore};

const RESOURCES: usize = 1_000_000;
/// As the documentation has it.
const CAPACITY: usize = 900_000;

fn key(id: usize) -> ResourceKey {
    ResourceKey::new(format!("/notes/{id}"))
}

async fn claim(store: &MemoryStore, key: &ResourceKey) -> Claim {
    let options = ClaimOptions {
        wait: Duration::ZERO,
        lease: Duration::from_secs(30),
        intent: Intent::Write,
    };
    match store.claim(key, &Condition::Unconditional, options).await {
        Ok(Claimed::Granted(claim)) => claim,
        other => panic!("{other:?}"),
    }
}

async fn written(store: &MemoryStore, key: &ResourceKey) -> Version {
    let claim = claim(store, key).await;
    match store.settle(claim, Outcome::Written).await {
        Ok(Settled::Done(State::Present(current))) => current.version.expect("a version"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_million_resources_that_are_read_cost_nothing() {
    let store = MemoryStore::new();
    for id in 0..RESOURCES {
        let snapshot = store.current(&key(id)).await.expect("it is in memory");
        assert!(snapshot.settled);
    }
    assert_eq!(store.stats(), MemoryStore::new().stats());
}

#[tokio::test]
async fn a_million_resources_that_are_written_cost_as_much_as_the_store_has_room_for() {
    let store = MemoryStore::new();
    let first = written(&store, &key(0)).await;
    let mut most = 0;
    for id in 1..RESOURCES {
        written(&store, &key(id)).await;
        if id % 50_000 == 0 {
            most = most.max(store.stats().resources);
        }
    }
    assert!((CAPACITY / 4 * 3..=CAPACITY + 64).contains(&most), "{most}");
    let stats = store.stats();
    assert!(stats.resources < most, "none was forgotten: {stats:?}");
    assert_eq!((stats.held, stats.waiting), (0, 0));
    // Whoever was forgotten has a version that he never had.
    let rewritten = written(&store, &key(0)).await;
    assert_ne!(rewritten, first);
}

#[tokio::test]
async fn a_million_resources_that_are_held_are_all_free_again() {
    let store = MemoryStore::new();
    let mut held = Vec::with_capacity(RESOURCES);
    for id in 0..RESOURCES {
        held.push(claim(&store, &key(id)).await);
    }
    assert_eq!(store.stats().held, RESOURCES);
    for claim in held {
        let settled = store.settle(claim, Outcome::Unchanged).await;
        assert!(matches!(settled, Ok(Settled::Done(_))), "{settled:?}");
    }
    assert_eq!(store.stats(), MemoryStore::new().stats());
}
