//! Claims that race: of all that name one version, one is granted. Rule 2.

use std::collections::HashSet;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use std::{hint, thread};

use tokio::time;

use super::bench::{Bench, LONG, Verdict, describe, ensure, version};
use super::threads;
use crate::key::ResourceKey;
use crate::store::{Answer, Claim, Claimed, Condition, Outcome, StoreError, Version};

/// Threads that hammer one resource.
const THREADS: usize = 6;
/// Claims that each of them has under way at once, naming the version that it has just read.
const CLAIMS: usize = 3;
/// Grants between all of them.
const GRANTS: usize = 100;
/// Times that two threads meet to claim in the same instant; and the time that may take, since a
/// remote store does far fewer, and is found out by the hammers.
const DUELS: usize = 20_000;
const DUEL_TIME: Duration = Duration::from_secs(1);

/// Hammered so often at the most: on a machine that is busy elsewhere, the threads may not meet in
/// the first round.
const MOST_HAMMERINGS: usize = 20;

pub(super) async fn claim_is_atomic(bench: Bench) -> Verdict {
    for round in 0..MOST_HAMMERINGS {
        if hammer_it(bench.clone(), round).await? > 0 {
            return duel(bench).await;
        }
    }
    Err(format!(
        "no thread was ever outrun by another in {MOST_HAMMERINGS} rounds: they never met, and \
         nothing is proven"
    ))
}

/// Finds stores with an await between the test and the claim. How often was a thread outrun by
/// another?
async fn hammer_it(bench: Bench, round: usize) -> Verdict<usize> {
    let key = bench.key(format!("hammered {round}"));
    bench.handle(0).write(&key, Outcome::Written).await?;
    let arena = Arc::new(Arena {
        bench,
        key,
        grants: AtomicUsize::new(0),
        open: AtomicUsize::new(0),
    });
    let hammers: Vec<_> = (0..THREADS)
        .map(|number| threads::spawn(hammer(Arc::clone(&arena), number)))
        .collect();
    let (mut bases, mut outrun) = (HashSet::new(), 0);
    for hammered in threads::join(hammers).await? {
        outrun += hammered.outrun;
        for base in hammered.bases {
            ensure!(
                !bases.contains(&base),
                "two claims that named version {base} were granted, and both were settled"
            );
            bases.insert(base);
        }
    }
    ensure!(
        !bases.is_empty(),
        "nobody was granted a claim on what is current"
    );
    Ok(outrun)
}

struct Arena {
    bench: Bench,
    key: ResourceKey,
    grants: AtomicUsize,
    /// Claims that are held at this moment.
    open: AtomicUsize,
}

#[derive(Default)]
struct Hammered {
    /// On which versions claims were granted.
    bases: Vec<Version>,
    /// How often another thread was faster.
    outrun: usize,
}

async fn hammer(arena: Arc<Arena>, number: usize) -> Verdict<Hammered> {
    let Arena { bench, key, .. } = &*arena;
    let handle = bench.handle(number);
    let mut hammered = Hammered::default();
    let started = Instant::now();
    while arena.grants.load(Ordering::SeqCst) < GRANTS && started.elapsed() < bench.patience {
        let base = version(&handle.current(key).await?.state)?;
        // Lets the others read the same version.
        thread::yield_now();
        let mut granted = claim_at_once(bench, number, key, &base).await?;
        let Some(claim) = granted.pop() else {
            hammered.outrun += 1;
            continue;
        };
        let open = arena.open.fetch_add(1, Ordering::SeqCst) + granted.len();
        thread::yield_now();
        arena.open.fetch_sub(1, Ordering::SeqCst);
        ensure!(open == 0, "two claims on one resource were open at once");
        let granted_on = version(claim.state())?;
        ensure!(
            granted_on == base,
            "a claim that names version {base} was granted on {granted_on}"
        );
        handle.done(claim, Outcome::Written).await?;
        hammered.bases.push(base);
        arena.grants.fetch_add(1, Ordering::SeqCst);
    }
    Ok(hammered)
}

/// Several claims that name one version, on several handles, polled side by side.
async fn claim_at_once(
    bench: &Bench,
    number: usize,
    key: &ResourceKey,
    base: &Version,
) -> Verdict<Vec<Claim>> {
    let condition = Condition::AnyOf(vec![base.clone()]);
    let claims = (0..CLAIMS).map(|claim| {
        let handle = bench.handle(number + claim);
        handle.store.claim(key, &condition, LONG)
    });
    let claimed = time::timeout(bench.patience, all(claims.collect())).await;
    let claimed = claimed.map_err(|_| "claims on one resource got stuck".to_owned())?;
    let mut granted = Vec::new();
    for claimed in claimed {
        match claimed {
            Ok(Claimed::Granted(claim)) => granted.push(claim),
            // What was not applied is an honest answer under such a load.
            Ok(Claimed::Busy { .. } | Claimed::Failed(_)) | Err(StoreError::NotApplied(_)) => {}
            Err(error) => return Err(format!("`claim` failed: {}", describe(&error))),
        }
    }
    Ok(granted)
}

async fn all<T: Unpin>(mut answers: Vec<Answer<T>>) -> Vec<T> {
    let mut given: Vec<Option<T>> = answers.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (answer, given) in answers.iter_mut().zip(&mut given) {
            if given.is_none() {
                match Pin::new(answer).poll(context) {
                    Poll::Ready(value) => *given = Some(value),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    given.into_iter().flatten().collect()
}

/// Finds stores in memory that let go of their lock between the test and the claim.
async fn duel(bench: Bench) -> Verdict {
    let key = bench.key("duel");
    let base = bench.handle(0).version(&key).await?;
    let duel = Arc::new(Duel {
        bench,
        key,
        base: Mutex::new(base),
        granted: AtomicUsize::new(0),
        arrived: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    let duellists = (0..2).map(|number| threads::spawn(fight(Arc::clone(&duel), number)));
    threads::join(duellists.collect()).await?;
    Ok(())
}

struct Duel {
    bench: Bench,
    key: ResourceKey,
    base: Mutex<Version>,
    /// Claims granted in this round.
    granted: AtomicUsize,
    /// How often anybody came to a meeting.
    arrived: AtomicUsize,
    over: AtomicBool,
}

async fn fight(duel: Arc<Duel>, number: usize) -> Verdict {
    let Duel { bench, key, .. } = &*duel;
    let _leave = Leave(&duel.over);
    let handle = bench.handle(number);
    let started = Instant::now();
    let mut meeting = 0;
    // Spins: whoever sleeps comes too late.
    let mut meet = || {
        meeting += 2;
        duel.arrived.fetch_add(1, Ordering::SeqCst);
        for spins in 1_u32.. {
            if duel.arrived.load(Ordering::SeqCst) >= meeting {
                return true;
            }
            if duel.over.load(Ordering::SeqCst) {
                return false;
            }
            hint::spin_loop();
            if spins % 1024 == 0 {
                thread::yield_now();
            }
        }
        false
    };
    for _ in 0..DUELS {
        let base = lock(&duel.base).clone();
        let condition = Condition::AnyOf(vec![base.clone()]);
        if !meet() {
            break;
        }
        let claimed = handle.store.claim(key, &condition, LONG);
        let claimed = time::timeout(bench.patience, claimed).await;
        let claim = match claimed {
            Ok(Ok(Claimed::Granted(claim))) => Some(claim),
            Ok(Ok(_) | Err(StoreError::NotApplied(_))) => None,
            Ok(Err(error)) => return Err(format!("`claim` failed: {}", describe(&error))),
            Err(_) => return Err("claims on one resource got stuck".to_owned()),
        };
        if claim.is_some() {
            duel.granted.fetch_add(1, Ordering::SeqCst);
        }
        if !meet() {
            break;
        }
        let granted = duel.granted.load(Ordering::SeqCst);
        ensure!(
            granted < 2,
            "two claims that named version {base} were granted in the same instant"
        );
        if !meet() {
            break;
        }
        if let Some(claim) = claim {
            let state = handle.done(claim, Outcome::Written).await?;
            *lock(&duel.base) = version(&state)?;
            duel.granted.store(0, Ordering::SeqCst);
        }
        let out_of_time = started.elapsed() > DUEL_TIME;
        if !meet() || out_of_time {
            break;
        }
    }
    Ok(())
}

/// Tells the other one not to wait.
struct Leave<'a>(&'a AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
