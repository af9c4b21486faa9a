//! Futures that are dropped half way, as those of requests are when clients leave. Rule 8.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::bench::{Bench, LONG, Seen, Verdict};
use super::threads::panicked;
use crate::store::{Answer, Claimed, Condition, Outcome, StoreError};

/// Futures are dropped after 0 to this many polls.
const POLLS: usize = 12;

pub(super) async fn drop_leaves_nothing(bench: Bench) -> Verdict {
    let mut tasks = Vec::new();
    for polls in 0..=POLLS {
        tasks.push(tokio::spawn(dropped_claim(bench.clone(), polls)));
        tasks.push(tokio::spawn(dropped_wait(bench.clone(), polls)));
        tasks.push(tokio::spawn(dropped_settle(bench.clone(), polls)));
    }
    let mut verdict = Ok(());
    for task in tasks {
        let ended = task.await.unwrap_or_else(|error| Err(panicked(error)));
        verdict = verdict.and(ended);
    }
    verdict
}

async fn dropped_claim(bench: Bench, polls: usize) -> Verdict {
    let key = bench.key(format!("dropped claim {polls}"));
    let handle = bench.handle(polls);
    let answer = handle
        .store
        .claim(&key, &Condition::Unconditional, bench.short());
    give_up(handle, polled(answer, polls).await);
    let describe = |complaint| format!("`claim` was dropped after {polls} polls: {complaint}");
    let next = bench.handle(polls + 1).taken_over(&key, LONG).await;
    let next = next.map_err(describe)?;
    bench.handle(polls + 1).done(next, Outcome::Written).await?;
    Ok(())
}

async fn dropped_wait(bench: Bench, polls: usize) -> Verdict {
    let key = bench.key(format!("dropped wait {polls}"));
    let handle = bench.handle(polls);
    let holder = bench.handle(0).granted(&key, LONG).await?;
    let options = crate::store::ClaimOptions {
        wait: bench.patience,
        ..bench.short()
    };
    let answer = handle.store.claim(&key, &Condition::Unconditional, options);
    // It would not end by itself: nothing but its own timers wakes it.
    let waited = tokio::time::timeout(bench.lease, polled(answer, polls)).await;
    give_up(handle, waited.ok().flatten());
    bench.handle(0).done(holder, Outcome::Written).await?;
    let describe =
        |complaint| format!("a waiting `claim` was dropped after {polls} polls: {complaint}");
    let next = bench.handle(polls + 1).taken_over(&key, LONG).await;
    let next = next.map_err(describe)?;
    bench.handle(polls + 1).done(next, Outcome::Written).await?;
    Ok(())
}

async fn dropped_settle(bench: Bench, polls: usize) -> Verdict {
    let key = bench.key(format!("dropped settle {polls}"));
    let handle = bench.handle(polls);
    let mut seen = Seen::default();
    let before = handle.write(&key, Outcome::Written).await?;
    seen.fresh(&before, "a write")?;
    let claim = handle.granted(&key, bench.short()).await?;
    let settled = polled(handle.store.settle(claim.clone(), Outcome::Written), polls).await;
    if settled.is_none() {
        // As the layer does when it is dropped.
        handle.store.abandon(claim);
    }
    let describe = |complaint| format!("`settle` was dropped after {polls} polls: {complaint}");
    let next = bench.handle(polls + 1).taken_over(&key, LONG).await;
    let next = next.map_err(describe)?;
    seen.fresh(next.state(), "a `settle` that was dropped")
        .map_err(describe)?;
    bench.handle(polls + 1).done(next, Outcome::Written).await?;
    Ok(())
}

/// A claim that somebody was given and has no use for.
fn give_up(handle: &super::bench::Handle, answer: Option<Result<Claimed, StoreError>>) {
    if let Some(Ok(Claimed::Granted(claim))) = answer {
        handle.store.abandon(claim);
    }
}

/// Polls an answer at most `polls` times, whenever it asks for it. An answer that is there at once
/// was given, polled or not.
async fn polled<T: Unpin>(answer: Answer<T>, polls: usize) -> Option<T> {
    let answer = match answer.try_ready() {
        Ok(answer) => return Some(answer),
        Err(answer) => answer,
    };
    let mut answer = pin!(answer);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match answer.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
