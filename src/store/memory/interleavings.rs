//! The store's locks, queue and tokens in every order that two threads can take them in.
//!
//! Loom runs each model once for each order, and calls it a deadlock if nobody can go on: that is
//! what becomes of a waiter that is never woken. Run by `.ci/loom`. The models that should panic
//! have a fault planted in them, so that we know that it would be found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;

use super::*;
use crate::store::{Intent, State};

const OPTIONS: ClaimOptions = ClaimOptions {
    wait: Duration::from_secs(1),
    lease: Duration::ZERO,
    intent: Intent::Write,
};

fn store() -> MemoryStore {
    // Without a timer a wait has no limit.
    MemoryStore::with_runtime(Runtime::inline())
}

fn key() -> ResourceKey {
    ResourceKey::new("/a")
}

fn claim(store: &MemoryStore, condition: &Condition) -> Claimed {
    block_on(store.claim(&key(), condition, OPTIONS)).expect("memory does not fail")
}

fn settle(store: &MemoryStore, claim: Claim, outcome: Outcome) -> State {
    match block_on(store.settle(claim, outcome)).expect("memory does not fail") {
        Settled::Done(state) => state,
        Settled::Fenced(state) => panic!("a claim was taken away, for {state:?}"),
    }
}

fn current(store: &MemoryStore) -> Snapshot {
    block_on(store.current(&key())).expect("memory does not fail")
}

/// The condition that only the current version meets.
fn unchanged(store: &MemoryStore) -> Condition {
    let state = current(store).state;
    let version = state.current().and_then(|current| current.version.clone());
    Condition::AnyOf(version.into_iter().collect())
}

/// Panics if two are inside at once.
#[derive(Default)]
struct Alone(AtomicUsize);

impl Alone {
    fn enter(&self) {
        assert_eq!(
            self.0.fetch_add(1, Ordering::Relaxed),
            0,
            "two hold the claim"
        );
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has everybody left the resource, and the queue?
fn assert_free(store: &MemoryStore) {
    assert!(current(store).settled, "a claim is stuck");
    let digest = store.0.digest(&key());
    let counts = store.0.with(digest, |shard, _| shard.counts());
    assert_eq!((counts.held, counts.waiting), (0, 0), "a claim is stuck");
}

/// Claims, writes and settles; gives the token and the new version, or nothing if it was refused.
fn write(store: &MemoryStore, condition: &Condition, alone: &Alone) -> Option<(u64, State)> {
    let Claimed::Granted(claim) = claim(store, condition) else {
        return None;
    };
    let token = claim.token();
    alone.enter();
    thread::yield_now();
    alone.leave();
    Some((token, settle(store, claim, Outcome::Written)))
}

/// What `work` returns on each of two threads that do it at once, over one store.
fn both<T: 'static>(
    store: &MemoryStore,
    work: impl Fn(&MemoryStore) -> T + Clone + 'static,
) -> [T; 2] {
    let (other_store, other_work) = (store.clone(), work.clone());
    let other = thread::spawn(move || other_work(&other_store));
    let one = work(store);
    [
        one,
        other.join().expect("a thread that panics ends the model"),
    ]
}

#[test]
fn two_writers_take_turns_and_make_two_versions() {
    loom::model(|| {
        let store = store();
        let alone = Arc::new(Alone::default());
        let [one, other] = both(&store, move |store| {
            write(store, &Condition::Unconditional, &alone).expect("nothing refuses it")
        });
        assert_ne!(one.0, other.0, "two claims have one token");
        assert_ne!(one.1, other.1, "two writes have one version");
        let last = if one.0 > other.0 { one.1 } else { other.1 };
        assert_eq!(
            current(&store).state,
            last,
            "the later claim is not the later version"
        );
        assert_free(&store);
    });
}

#[test]
fn of_two_writers_with_one_version_one_is_granted() {
    loom::model(|| write_with_one_version(write));
}

#[test]
#[should_panic(expected = "both were granted")]
fn a_comparison_apart_from_the_claim_is_found() {
    loom::model(|| {
        write_with_one_version(|store, condition, alone| {
            if !condition.may_hold(&current(store).state) {
                return None;
            }
            write(store, &Condition::Unconditional, alone)
        });
    });
}

type Write = fn(&MemoryStore, &Condition, &Alone) -> Option<(u64, State)>;

/// Two have read one version, and write on it.
fn write_with_one_version(write: Write) {
    let store = store();
    let alone = Arc::new(Alone::default());
    let condition = unchanged(&store);
    let [one, other] = both(&store, move |store| write(store, &condition, &alone));
    assert!(
        one.is_none() || other.is_none(),
        "both were granted: {one:?}, {other:?}"
    );
    assert!(one.is_some() || other.is_some(), "none was granted");
    assert_free(&store);
}

#[test]
fn who_leaves_the_queue_leaves_nothing_behind() {
    loom::model(|| leave_the_queue(drop));
}

#[test]
#[should_panic(expected = "a claim is stuck")]
fn a_place_in_the_queue_that_nobody_gives_up_is_found() {
    loom::model(|| leave_the_queue(std::mem::forget));
}

type Waiting = Answer<Result<Claimed, StoreError>>;

/// One writes while another one waits for a while, and then gives up.
fn leave_the_queue(give_up: fn(Waiting)) {
    let store = store();
    let Claimed::Granted(held) = claim(&store, &Condition::Unconditional) else {
        panic!("nobody else claims it");
    };
    let mut waiting = store.claim(&key(), &Condition::Unconditional, OPTIONS);
    let polled = std::pin::Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it did not wait");
    let holder = {
        let store = store.clone();
        thread::spawn(move || settle(&store, held, Outcome::Written))
    };
    give_up(waiting);
    holder.join().expect("a thread that panics ends the model");
    assert_free(&store);
}

#[test]
fn an_abandoned_claim_ends_for_whoever_waits_and_its_version_with_it() {
    loom::model(|| abandon(|store, claim| store.abandon(claim)));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_waiter_that_is_never_woken_is_found() {
    loom::model(|| abandon(|_, _| ()));
}

/// One abandons its claim while another one waits for it.
fn abandon(end: fn(&MemoryStore, Claim)) {
    let store = store();
    let Claimed::Granted(held) = claim(&store, &Condition::Unconditional) else {
        panic!("nobody else claims it");
    };
    let before = held.state().clone();
    let other = {
        let store = store.clone();
        thread::spawn(move || end(&store, held))
    };
    let Claimed::Granted(claim) = claim(&store, &Condition::Unconditional) else {
        panic!("nothing refuses it");
    };
    assert_ne!(
        *claim.state(),
        before,
        "a write that is in doubt kept its version"
    );
    other.join().expect("a thread that panics ends the model");
    settle(&store, claim, Outcome::Unchanged);
    assert_free(&store);
}

#[test]
fn two_threads_never_get_one_number() {
    loom::model(|| number_twice(Sequence::next));
}

#[test]
#[should_panic(expected = "one number twice")]
fn a_number_that_is_read_and_then_raised_is_found() {
    loom::model(|| number_twice(Sequence::next_in_two_steps));
}

fn number_twice(next: fn(&Sequence) -> u64) {
    let sequence = Arc::new(Sequence::new(&RandomState::new()));
    let other = {
        let sequence = Arc::clone(&sequence);
        thread::spawn(move || next(&sequence))
    };
    let one = next(&sequence);
    let other = other.join().expect("a thread that panics ends the model");
    assert_ne!(one, other, "one number twice");
}
