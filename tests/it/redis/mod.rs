//! The Redis store, against real servers.

mod claims;
mod cluster;
#[cfg(feature = "testing")]
mod contract;
mod keys;
mod losses;
mod processes;
pub(crate) mod server;
mod versions;

use std::time::Duration;

use tower_conditional::ResourceKey;
use tower_conditional::store::redis::RedisStore;
use tower_conditional::store::{
    Claim, ClaimOptions, ClaimStore as _, Claimed, Condition, Intent, Outcome, Settled, Snapshot,
    State, Version, VersionStore as _,
};

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(600);

fn key(text: &str) -> ResourceKey {
    ResourceKey::new(text)
}

const fn at_once() -> ClaimOptions {
    ClaimOptions {
        wait: Duration::ZERO,
        lease: LONG,
        intent: Intent::Write,
    }
}

const fn waiting() -> ClaimOptions {
    ClaimOptions {
        wait: LONG,
        ..at_once()
    }
}

#[track_caller]
fn version(state: &State) -> Version {
    let current = state.current().expect("a state with a version");
    current.version.clone().expect("a version")
}

async fn current(store: &RedisStore, key: &ResourceKey) -> Snapshot {
    store.current(key).await.unwrap()
}

async fn claim(store: &RedisStore, key: &ResourceKey, options: ClaimOptions) -> Claim {
    match store.claim(key, &Condition::Unconditional, options).await {
        Ok(Claimed::Granted(claim)) => claim,
        other => panic!("not granted: {other:?}"),
    }
}

async fn settle(store: &RedisStore, claim: Claim, outcome: Outcome) -> State {
    match store.settle(claim, outcome).await {
        Ok(Settled::Done(state)) => state,
        other => panic!("not done: {other:?}"),
    }
}

async fn write(store: &RedisStore, key: &ResourceKey) -> State {
    let claim = claim(store, key, waiting()).await;
    settle(store, claim, Outcome::Written).await
}
