//! Which version is current: rules 1 and 3, and what counts as written.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::bench::{Bench, Handle, LONG, Seen, Verdict, ensure, version};
use super::threads;
use crate::key::ResourceKey;
use crate::store::{Condition, Outcome, Snapshot, State, Version};

pub(super) async fn outcome_is_applied(bench: Bench) -> Verdict {
    let key = bench.key("outcome");
    for turn in 0..3 {
        let handle = bench.handle(turn);
        let state = handle.write(&key, Outcome::Written).await?;
        ensure!(
            matches!(&state, State::Present(current) if current.version.is_some()),
            "after a write {state:?} is current"
        );
        bench.all_read(&key, &state).await?;
        let state = handle.write(&key, Outcome::Deleted).await?;
        ensure!(
            state == State::Absent,
            "after a delete {state:?} is current"
        );
        bench.all_read(&key, &state).await?;
    }
    Ok(())
}

pub(super) async fn current_is_linearizable(bench: Bench) -> Verdict {
    let key = bench.key("linearizable");
    for turn in 0..6 {
        let state = bench.handle(turn).write(&key, Outcome::Written).await?;
        bench.all_read(&key, &state).await?;
    }
    reads_beside_writes(&bench).await
}

/// Readers on other threads must never see an older version than the last one that was settled
/// before they asked.
async fn reads_beside_writes(bench: &Bench) -> Verdict {
    const WRITES: usize = 100;
    let key = bench.key("linearizable under way");
    let settled = Arc::new(Mutex::new(vec![bench.handle(0).version(&key).await?]));
    let done = Arc::new(AtomicBool::new(false));
    let count = {
        let settled = Arc::clone(&settled);
        move || settled.lock().unwrap_or_else(PoisonError::into_inner).len()
    };
    let mut reads = Vec::new();
    for handle in &bench.handles {
        let (handle, key) = (handle.clone(), key.clone());
        let (done, count) = (Arc::clone(&done), count.clone());
        reads.push(threads::spawn(async move {
            let mut reads = Vec::new();
            while !done.load(Ordering::Acquire) {
                let before = count();
                let snapshot = handle.current(&key).await?;
                reads.push((before, snapshot));
            }
            Ok(reads)
        }));
    }
    let writer = bench.handle(0).clone();
    let written = write_and_note(&writer, &key, &settled, WRITES).await;
    done.store(true, Ordering::Release);
    let reads = threads::join(reads).await?;
    written?;

    let settled = settled.lock().unwrap_or_else(PoisonError::into_inner);
    let position: HashMap<&Version, usize> = settled.iter().zip(1..).collect();
    for (before, Snapshot { state, settled }) in reads.into_iter().flatten() {
        let read = version(&state)?;
        let Some(position) = position.get(&read) else {
            return Err(format!("a read saw version {read}, which nobody wrote"));
        };
        ensure!(
            *position >= before || !settled,
            "a read saw version {read}, {} writes after a newer one was settled",
            before - position
        );
    }
    Ok(())
}

async fn write_and_note(
    handle: &Handle,
    key: &ResourceKey,
    settled: &Mutex<Vec<Version>>,
    writes: usize,
) -> Verdict {
    for _ in 0..writes {
        let version = handle.version(key).await?;
        let mut settled = settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.push(version);
    }
    Ok(())
}

pub(super) async fn unchanged_keeps_version(bench: Bench) -> Verdict {
    let key = bench.key("unchanged");
    for (turn, outcome) in [None, Some(Outcome::Written), Some(Outcome::Deleted)]
        .into_iter()
        .enumerate()
    {
        let handle = bench.handle(turn);
        if let Some(outcome) = outcome {
            handle.write(&key, outcome).await?;
        }
        let before = handle.current(&key).await?.state;
        let after = handle.write(&key, Outcome::Unchanged).await?;
        ensure!(
            after == before,
            "what was left unchanged went from {before:?} to {after:?}"
        );
        bench.all_read(&key, &before).await?;
    }
    Ok(())
}

pub(super) async fn version_is_fresh(bench: Bench) -> Verdict {
    let key = bench.key("fresh");
    let mut seen = Seen::default();
    let first = bench.handle(0).current(&key).await?;
    ensure!(
        first.settled,
        "a resource that nobody claimed is not settled"
    );
    if let State::Unseen(_) = first.state {
        seen.fresh(&first.state, "its first read")?;
    }
    for turn in 0..20 {
        let state = bench.handle(turn).write(&key, Outcome::Written).await?;
        seen.fresh(&state, "a write")?;
    }
    Ok(())
}

pub(super) async fn version_is_fresh_after_delete(bench: Bench) -> Verdict {
    let key = bench.key("fresh after delete");
    let mut seen = Seen::default();
    for turn in 0..5 {
        let handle = bench.handle(turn);
        let created = handle.write(&key, Outcome::Written).await?;
        seen.fresh(&created, "a write after a delete")?;
        let updated = handle.write(&key, Outcome::Written).await?;
        seen.fresh(&updated, "a write")?;
        handle.write(&key, Outcome::Deleted).await?;
        let deleted = handle.current(&key).await?.state;
        ensure!(
            !seen.contains(&deleted),
            "after a delete the old version is current: {deleted:?}"
        );
        let old = Condition::AnyOf(vec![version(&created)?, version(&updated)?]);
        let claimed = handle.claim(&key, &old, LONG).await?;
        ensure!(
            matches!(claimed, crate::store::Claimed::Failed(_)),
            "a claim that names versions from before a delete got {claimed:?}"
        );
    }
    Ok(())
}

pub(super) async fn unknown_bumps(bench: Bench) -> Verdict {
    let key = bench.key("unknown");
    let mut seen = Seen::default();
    for turn in 0..3 {
        let handle = bench.handle(turn);
        let written = handle.write(&key, Outcome::Written).await?;
        seen.fresh(&written, "a write")?;
        let unknown = handle.write(&key, Outcome::Unknown).await?;
        seen.fresh(&unknown, "an unknown outcome")?;
        bench.all_read(&key, &unknown).await?;
        handle.write(&key, Outcome::Deleted).await?;
        // It may have been created: not absent, or the next one would create it over that.
        let unknown = handle.write(&key, Outcome::Unknown).await?;
        seen.fresh(&unknown, "an unknown outcome where there was nothing")?;
        bench.all_read(&key, &unknown).await?;
    }
    Ok(())
}
