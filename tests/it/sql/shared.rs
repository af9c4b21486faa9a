//! Short ways to ask a store.

use std::sync::Arc;
use std::time::Duration;

use tower_conditional::ResourceKey;
use tower_conditional::store::sql::{Engine, SqlStore};
use tower_conditional::store::{
    Claim, ClaimOptions, ClaimStore, Claimed, Condition, Intent, Outcome, Settled, Snapshot, State,
    Version, VersionStore,
};

/// Long enough that no test meets its end by accident.
pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const AT_ONCE: ClaimOptions = options(Duration::ZERO, LONG);
pub(crate) const PATIENT: ClaimOptions = options(LONG, LONG);

pub(crate) const fn options(wait: Duration, lease: Duration) -> ClaimOptions {
    ClaimOptions {
        wait,
        lease,
        intent: Intent::Write,
    }
}

pub(crate) fn key(name: &str) -> ResourceKey {
    ResourceKey::new(name)
}

pub(crate) async fn current(store: &impl VersionStore, key: &ResourceKey) -> Snapshot {
    store.current(key).await.expect("the database answers")
}

pub(crate) async fn try_claim(
    store: &impl ClaimStore,
    key: &ResourceKey,
    condition: &Condition,
    options: ClaimOptions,
) -> Claimed {
    let claimed = store.claim(key, condition, options).await;
    claimed.expect("the database answers")
}

#[track_caller]
pub(crate) fn granted(claimed: Claimed) -> Claim {
    match claimed {
        Claimed::Granted(claim) => claim,
        other => panic!("not granted: {other:?}"),
    }
}

pub(crate) async fn claim(
    store: &impl ClaimStore,
    key: &ResourceKey,
    options: ClaimOptions,
) -> Claim {
    granted(try_claim(store, key, &Condition::Unconditional, options).await)
}

pub(crate) async fn settle(store: &impl ClaimStore, claim: Claim, outcome: Outcome) -> Settled {
    let settled = store.settle(claim, outcome).await;
    settled.expect("the database answers")
}

/// A whole write, and what is there then.
pub(crate) async fn write(store: &impl ClaimStore, key: &ResourceKey, outcome: Outcome) -> State {
    let claim = claim(store, key, PATIENT).await;
    match settle(store, claim, outcome).await {
        Settled::Done(state) => state,
        Settled::Fenced(state) => panic!("fenced: {state:?}"),
    }
}

#[track_caller]
pub(crate) fn version(state: &State) -> Version {
    let version = state.current().and_then(|current| current.version.clone());
    version.unwrap_or_else(|| panic!("no version: {state:?}"))
}

/// A claim whose lease is over.
pub(crate) async fn run_out(store: &impl ClaimStore, key: &ResourceKey) -> Claim {
    let claim = claim(store, key, options(LONG, Duration::from_millis(1))).await;
    while !current(store, key).await.settled {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    claim
}

/// Read, increment, write by `writers` at once, `writes` each, through claims on one resource; the
/// counter is not atomic. Gives how many found the claim held.
pub(crate) async fn increments<DB: Engine>(store: &SqlStore<DB>, writers: u64, writes: u64) -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    let counter = Arc::new(AtomicU64::new(0));
    let collisions = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (store, counter, collisions) =
                (store.clone(), Arc::clone(&counter), Arc::clone(&collisions));
            tokio::spawn(async move {
                let key = key("/counter");
                let mut done = 0;
                while done < writes {
                    let seen = current(&store, &key).await;
                    let condition = Condition::AnyOf(vec![version(&seen.state)]);
                    let claim = match try_claim(&store, &key, &condition, AT_ONCE).await {
                        Claimed::Granted(claim) => claim,
                        Claimed::Busy { .. } | Claimed::Failed(_) => {
                            collisions.fetch_add(1, Relaxed);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            continue;
                        }
                    };
                    let before = counter.load(Relaxed);
                    tokio::task::yield_now().await;
                    counter.store(before + 1, Relaxed);
                    let settled = settle(&store, claim, Outcome::Written).await;
                    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
                    done += 1;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a writer does not panic");
    }
    assert_eq!(
        counter.load(Relaxed),
        writers * writes,
        "an update was lost"
    );
    collisions.load(Relaxed)
}
