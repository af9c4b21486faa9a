//! What needs more than a running store: one that was restarted, one that is out of reach.
//! Rules 3 and 9.

use std::future::Future;

use super::ClaimStoreSuite;
use super::bench::{Bench, Handle, LONG, Seen, Verdict, ensure};
use crate::store::{Claim, Condition, Outcome, Snapshot, State, StoreError};

pub(super) async fn version_is_fresh(suite: &ClaimStoreSuite<'_>, bench: Bench) -> Verdict {
    let written = bench.key("restart");
    let deleted = bench.key("restart after delete");
    let open = bench.key("restart under a claim");
    let keys = [&written, &deleted, &open];
    let mut seen = [Seen::default(), Seen::default(), Seen::default()];
    for (key, seen) in keys.into_iter().zip(&mut seen) {
        for turn in 0..5 {
            let state = bench.handle(turn).write(key, Outcome::Written).await?;
            seen.fresh(&state, "a write")?;
        }
    }
    bench.handle(0).write(&deleted, Outcome::Deleted).await?;
    if suite.has_claims {
        let handle = bench.handle(0);
        handle.die_with(handle.granted(&open, bench.short()).await?);
    }
    drop(bench);

    let restarted = suite.restarted().await;
    let [_, seen_deleted, seen_open] = &seen;
    if suite.has_claims {
        let found = restarted.once_settled(&open).await?;
        ensure!(
            !seen_open.contains(&found),
            "a claim was open when the store was restarted, and an old version is current: \
             {found:?}"
        );
    }
    let found = restarted.current(&deleted).await?.state;
    ensure!(
        !seen_deleted.contains(&found),
        "a restart brought the version of a deleted resource back: {found:?}"
    );
    for (key, seen) in keys.into_iter().zip(&mut seen) {
        for _ in 0..10 {
            let state = restarted.write(key, Outcome::Written).await?;
            seen.fresh(&state, "a write after a restart")?;
        }
    }
    Ok(())
}

pub(super) async fn failure_is_an_error(
    bench: Bench,
    failing: Handle,
    has_claims: bool,
) -> Verdict {
    let key = bench.key("failing");
    let current = failing.store.current(&key);
    let current = within(&failing, "current", current).await?;
    ensure!(
        current.is_err(),
        "a store that cannot be reached says: {:?}",
        current.map(|Snapshot { state, .. }| state)
    );
    if !has_claims {
        return Ok(());
    }
    let claim = failing.store.claim(&key, &Condition::Unconditional, LONG);
    let claimed = within(&failing, "claim", claim).await?;
    ensure!(
        claimed.is_err(),
        "a store that cannot be reached answers a claim: {claimed:?}"
    );
    let claim = Claim::new(key, 1, State::Absent).with_lease(LONG.lease);
    failing.store.abandon(claim.clone());
    let settled = failing.store.settle(claim, Outcome::Written);
    let settled = within(&failing, "settle", settled).await?;
    ensure!(
        settled.is_err(),
        "a store that cannot be reached settles: {settled:?}"
    );
    Ok(())
}

async fn within<T>(
    handle: &Handle,
    method: &str,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Verdict<Result<T, StoreError>> {
    let answered = tokio::time::timeout(handle.patience, answer).await;
    answered.map_err(|_| format!("`{method}` of a store that cannot be reached does not end"))
}
