//! Waiting for a claim that is held, or not. Rule 2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::time;

use super::bench::{Bench, LONG, Seen, Verdict, ensure, version};
use super::threads;
use crate::store::{ClaimOptions, Claimed, Condition, Intent, Outcome, Version};

pub(super) async fn busy_at_once(bench: Bench) -> Verdict {
    let key = bench.key("busy");
    for intent in [Intent::Delete, Intent::Write] {
        let options = ClaimOptions { intent, ..LONG };
        let claim = bench.handle(0).granted(&key, options).await?;
        let never = Condition::AnyOf(vec![Version::from_opaque(&[b"never-written"])]);
        for condition in [Condition::Unconditional, never] {
            for handle in &bench.handles {
                // A store that waits for the claim to end is stopped by the bench's patience.
                match handle.claim(&key, &condition, LONG).await? {
                    Claimed::Busy { holder, .. } => ensure!(
                        holder == intent,
                        "a claim with the intent to {intent:?} is shown as {holder:?}"
                    ),
                    other => {
                        return Err(format!(
                            "while a claim was open, {condition:?} got {other:?}: nobody knows \
                             the state before that is settled"
                        ));
                    }
                }
            }
        }
        bench.handle(0).done(claim, Outcome::Unchanged).await?;
    }
    Ok(())
}

pub(super) async fn wait_is_served(bench: Bench) -> Verdict {
    const WAITERS: usize = 4;
    let key = bench.key("wait");
    let mut seen = Seen::default();
    let base = bench.handle(0).write(&key, Outcome::Written).await?;
    seen.fresh(&base, "a write")?;
    let holder = bench.handle(0).granted(&key, LONG).await?;
    let inside = Arc::new(AtomicUsize::new(0));
    let waiters: Vec<_> = (0..WAITERS)
        .map(|number| {
            let (bench, key, inside) = (bench.clone(), key.clone(), Arc::clone(&inside));
            threads::spawn(async move {
                let handle = bench.handle(number);
                let claim = handle.granted(&key, bench.patient()).await?;
                let others = inside.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
                ensure!(others == 0, "two who waited hold the claim at once");
                handle.done(claim, Outcome::Written).await
            })
        })
        .collect();
    let stale = {
        let (bench, key) = (bench.clone(), key.clone());
        let base = Condition::AnyOf(vec![version(&base)?]);
        threads::spawn(async move { bench.handle(1).claim(&key, &base, bench.patient()).await })
    };
    // Long enough for all to wait on most machines; on others they find the claim free.
    time::sleep(bench.lease).await;
    let state = bench.handle(0).done(holder, Outcome::Written).await?;
    seen.fresh(&state, "a write")?;
    let stale = threads::join(vec![stale]).await;
    for state in threads::join(waiters).await? {
        seen.fresh(&state, "the write of one who waited")?;
    }
    for claimed in stale? {
        ensure!(
            matches!(claimed, Claimed::Failed(_)),
            "who waited with a version that is gone by now got {claimed:?}"
        );
    }
    Ok(())
}

pub(super) async fn wait_is_limited(bench: Bench) -> Verdict {
    let key = bench.key("wait limit");
    let holder = bench.handle(0).granted(&key, LONG).await?;
    let options = ClaimOptions {
        wait: bench.lease,
        ..LONG
    };
    let started = Instant::now();
    let handle = bench.handle(1);
    let claim = handle.claim(&key, &Condition::Unconditional, options);
    let claimed = claim.await.map_err(|complaint| {
        let elapsed = started.elapsed();
        format!(
            "a claim that waits for {:?} at most, after {elapsed:?}: {complaint}",
            bench.lease
        )
    })?;
    ensure!(
        matches!(claimed, Claimed::Busy { .. }),
        "who waited for a claim that did not end got {claimed:?}"
    );
    bench.handle(0).done(holder, Outcome::Unchanged).await?;
    Ok(())
}
