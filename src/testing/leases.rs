//! Claims whose holders are gone: rules 4, 5 and 6.

use std::time::Instant;

use tokio::time;

use super::bench::{Bench, LONG, Seen, Verdict, ensure};
use crate::store::{Claimed, Condition, Outcome, Settled};

pub(super) async fn abandon_holds(bench: Bench) -> Verdict {
    let key = bench.key("abandon holds");
    let claim = bench.handle(0).granted(&key, LONG).await?;
    bench.handle(0).store.abandon(claim);
    // Some abandon in the background.
    time::sleep(bench.lease).await;
    for handle in &bench.handles {
        let read = handle.current(&key).await?;
        ensure!(
            !read.settled,
            "a claim was abandoned, its lease has not ended, and a read says {read:?}: the write \
             may still be under way"
        );
        let claimed = handle.claim(&key, &Condition::Unconditional, LONG).await?;
        ensure!(
            matches!(claimed, Claimed::Busy { .. }),
            "a claim was abandoned, its lease has not ended, and another one got {claimed:?}"
        );
    }
    Ok(())
}

pub(super) async fn abandon_bumps(bench: Bench) -> Verdict {
    let key = bench.key("abandon bumps");
    let mut seen = Seen::default();
    for (turn, outcome) in [Outcome::Written, Outcome::Deleted].into_iter().enumerate() {
        let handle = bench.handle(turn);
        let before = handle.write(&key, outcome).await?;
        if before.current().is_some() {
            seen.fresh(&before, "a write")?;
        }
        let claim = handle.granted(&key, bench.short()).await?;
        handle.store.abandon(claim);
        let after = bench.handle(turn + 1).once_settled(&key).await?;
        seen.fresh(&after, "an abandoned claim")?;
    }
    Ok(())
}

pub(super) async fn expiry_bumps(bench: Bench) -> Verdict {
    let (read, claimed) = (bench.key("expiry, read"), bench.key("expiry, claimed"));
    let mut seen = [Seen::default(), Seen::default()];
    for (turn, outcome) in [Outcome::Written, Outcome::Deleted].into_iter().enumerate() {
        let (handle, other) = (bench.handle(turn), bench.handle(turn + 1));
        for (key, seen) in [&read, &claimed].into_iter().zip(&mut seen) {
            let before = handle.write(key, outcome).await?;
            if before.current().is_some() {
                seen.fresh(&before, "a write")?;
            }
            handle.die_with(handle.granted(key, bench.short()).await?);
        }
        let [seen_by_reader, seen_by_claimer] = &mut seen;
        let after = other.once_settled(&read).await?;
        seen_by_reader.fresh(&after, "a claim whose lease ended")?;
        let next = other.taken_over(&claimed, LONG).await?;
        let after = next.state().clone();
        seen_by_claimer.fresh(&after, "the takeover of a claim whose lease ended")?;
        let same = other.done(next, Outcome::Unchanged).await?;
        ensure!(
            same == after,
            "a claim was granted in {after:?} and left that unchanged, and {same:?} is current"
        );
    }
    Ok(())
}

pub(super) async fn lease_ends(bench: Bench) -> Verdict {
    let key = bench.key("lease ends");
    bench
        .handle(0)
        .die_with(bench.handle(0).granted(&key, bench.short()).await?);
    let next = bench.handle(1).taken_over(&key, bench.short()).await?;
    bench.handle(1).die_with(next);
    // The same for one who waits.
    let next = bench.handle(2).granted(&key, bench.patient()).await?;
    bench.handle(2).done(next, Outcome::Written).await?;
    Ok(())
}

pub(super) async fn lease_holds(bench: Bench) -> Verdict {
    let (short, long) = (bench.key("short lease"), bench.key("long lease"));
    let (first, other) = (bench.handle(0), bench.handle(1));
    let held = first.granted(&long, LONG).await?;
    let started = Instant::now();
    first.die_with(first.granted(&short, bench.short()).await?);
    let next = other.taken_over(&short, LONG).await?;
    let elapsed = started.elapsed();
    // A tenth for clocks that are coarse.
    ensure!(
        elapsed >= bench.lease * 9 / 10,
        "a claim with a lease of {:?} was taken over after {elapsed:?}",
        bench.lease
    );
    other.done(next, Outcome::Unchanged).await?;
    let read = other.current(&long).await?;
    ensure!(
        !read.settled,
        "a claim with a lease of {:?} was gone after {elapsed:?}",
        LONG.lease
    );
    first.done(held, Outcome::Unchanged).await?;
    Ok(())
}

pub(super) async fn late_settle_is_fenced(bench: Bench) -> Verdict {
    let key = bench.key("fenced");
    let (first, other) = (bench.handle(0), bench.handle(1));
    let late = first.granted(&key, bench.short()).await?;
    first.die_with(late.clone());
    let next = other.taken_over(&key, LONG).await?;
    let state = next.state().clone();
    for outcome in [
        Outcome::Written,
        Outcome::Deleted,
        Outcome::Unchanged,
        Outcome::Unknown,
    ] {
        let settled = first.settle(late.clone(), outcome).await?;
        ensure!(
            settled == Settled::Fenced(state.clone()),
            "a claim that was taken over settles as {outcome:?}, and the answer is {settled:?}, \
             where {state:?} is current"
        );
        let read = other.current(&key).await?;
        ensure!(
            !read.settled && read.state == state,
            "settling late changed {state:?} into {read:?}, under an open claim"
        );
    }
    first.store.abandon(late.clone());
    time::sleep(bench.lease * 2).await;
    let settled = other
        .done(next, Outcome::Written)
        .await
        .map_err(|complaint| {
            format!("after a claim that it took over was settled and abandoned late: {complaint}")
        })?;
    first.settle(late, Outcome::Deleted).await?;
    bench.all_read(&key, &settled).await
}

pub(super) async fn tokens_increase(bench: Bench) -> Verdict {
    let key = bench.key("tokens");
    let mut last = None;
    let ends = [
        Some(Outcome::Written),
        Some(Outcome::Unchanged),
        None,
        Some(Outcome::Deleted),
        Some(Outcome::Written),
        Some(Outcome::Unknown),
        None,
        Some(Outcome::Deleted),
        Some(Outcome::Unchanged),
    ];
    for (turn, end) in ends.into_iter().enumerate() {
        let handle = bench.handle(turn);
        let claim = handle.taken_over(&key, bench.short()).await?;
        let token = claim.token();
        ensure!(
            last < Some(token),
            "a claim has token {token}, and the one before it had {}",
            last.unwrap_or_default()
        );
        last = Some(token);
        match end {
            // On a slow machine its lease may be over: the next one takes over then.
            Some(outcome) => drop(handle.settle(claim, outcome).await?),
            None => handle.die_with(claim),
        }
    }
    Ok(())
}
