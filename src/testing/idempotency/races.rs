//! First uses and take-overs that race: of any number, one starts. Rules 1 and 6.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use tokio::time;

use super::bench::{Bench, LONG, answer, is_done_with, request};
use crate::idempotency::{BeginOptions, Begun, Ending, RecordKey, Settlement};
use crate::testing::bench::{Verdict, ensure};
use crate::testing::threads;

/// Threads that begin one key in the same instant.
const THREADS: usize = 4;
/// How often they meet, and the time that may take.
const ROUNDS: usize = 2000;
const TIME: Duration = Duration::from_secs(2);

pub(super) async fn begin_is_atomic(bench: Bench) -> Verdict {
    let started = Instant::now();
    let mut round = 0;
    while round < ROUNDS && (round < 10 || started.elapsed() < TIME) {
        // Several keys for each meeting, since meetings are dear.
        let keys: Arc<[_]> = (0..8)
            .map(|number| bench.key(format!("race {round}.{number}")))
            .collect();
        for wins in race(&bench, &keys, LONG).await? {
            ensure!(wins == 1, "of {THREADS} first uses at once {wins} started");
        }
        round += 8;
    }
    Ok(())
}

pub(super) async fn take_over_is_fenced(bench: Bench) -> Verdict {
    for round in 0..20 {
        let key = bench.key(format!("taken over {round}"));
        let first = bench.handle(0).started(&key, LONG).await?;
        let is_done = round % 2 == 1;
        let ending = match is_done {
            false => Ending::InDoubt,
            true => Ending::Done(answer("first")),
        };
        let named = |token| BeginOptions {
            instead_of: Some(token),
            ..LONG
        };
        let early = bench.handle(1).begin(&key, named(first.token())).await?;
        ensure!(
            matches!(early, Begun::InFlight { .. }),
            "an attempt in flight was taken over: {early:?}"
        );
        bench.handle(0).done(&first, ending).await?;
        let wrong = bench
            .handle(1)
            .begin(&key, named(first.token() + 2))
            .await?;
        ensure!(
            !matches!(wrong, Begun::Started(_)),
            "a key was taken over from an attempt that was not the one named"
        );
        let token = match bench.handle(2).begin(&key, LONG).await? {
            Begun::Done { token, .. } if is_done => token,
            Begun::InDoubt { token } if !is_done => token,
            begun => return Err(format!("it is {begun:?}, done: {is_done}")),
        };
        if is_done {
            // Somebody saw a doubt, just before the answer was there.
            let doubted = bench.handle(0).begin(&key, named(first.token())).await?;
            ensure!(
                !matches!(doubted, Begun::Started(_)),
                "what was done was taken over for the doubt that it seemed"
            );
        }
        let keys: Arc<[_]> = Arc::from([key.clone()]);
        let wins = race(&bench, &keys, named(token)).await?;
        ensure!(
            wins == [1],
            "of {THREADS} that took a key over at once {wins:?} started"
        );
        for ending in [
            Ending::Done(answer("late")),
            Ending::NotRun,
            Ending::InDoubt,
        ] {
            let late = bench.handle(2).settle(&first, ending).await?;
            ensure!(
                late == Settlement::Fenced,
                "an attempt that was taken over was settled"
            );
        }
        bench.handle(2).store.abandon(&first);
        let late = answer("late");
        let begun = bench.handle(0).begin(&key, LONG).await?;
        ensure!(
            matches!(begun, Begun::InFlight { .. }) && !is_done_with(&late)(&begun),
            "the attempt that took over is not in flight, it is {begun:?}"
        );
    }
    Ok(())
}

/// How many of the threads started an attempt, for each key.
async fn race(
    bench: &Bench,
    keys: &Arc<[RecordKey]>,
    options: BeginOptions,
) -> Verdict<Vec<usize>> {
    let meeting = Arc::new(Barrier::new(THREADS));
    let arrived: Arc<[_]> = keys.iter().map(|_| AtomicUsize::new(0)).collect();
    let racers = (0..THREADS).map(|number| {
        let (bench, keys) = (bench.clone(), Arc::clone(keys));
        let (meeting, arrived) = (Arc::clone(&meeting), Arc::clone(&arrived));
        threads::spawn(async move {
            let met = time::timeout(bench.patience, meeting.wait()).await;
            ensure!(met.is_ok(), "the machine has too few threads to race");
            let mut wins = Vec::new();
            for (key, arrived) in keys.iter().zip(arrived.iter()) {
                arrived.fetch_add(1, Ordering::AcqRel);
                let since = Instant::now();
                // In the same instant, unless a core is missing.
                while arrived.load(Ordering::Acquire) < THREADS
                    && since.elapsed() < Duration::from_micros(200)
                {
                    hint::spin_loop();
                }
                let begin = bench.handle(number).store.begin(key, &request(), options);
                let begun = begin.await.map_err(|error| error.to_string())?;
                wins.push(usize::from(matches!(begun, Begun::Started(_))));
            }
            Ok(wins)
        })
    });
    let mut sum = vec![0; keys.len()];
    for wins in threads::join(racers.collect()).await? {
        for (sum, win) in sum.iter_mut().zip(wins) {
            *sum += win;
        }
    }
    Ok(sum)
}
