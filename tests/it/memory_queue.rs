//! The store in memory: waiting for a claim, in order, with a limit, and leaving the queue.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Sleep, Timer};
use tower_conditional::store::{
    Answer, ClaimOptions, Claimed, Condition, Intent, Outcome, State, StoreError,
};
use tower_conditional::{ClaimStore as _, MemoryStore, Runtime, VersionStore as _};

use crate::memory_store::{AT_ONCE, ENDED_AT_ONCE, claim, granted, key, ready, store};

/// Waits longer than any test takes, and ends a test that hangs.
const PATIENT: ClaimOptions = ClaimOptions {
    wait: Duration::from_secs(60),
    ..AT_ONCE
};

type Waiting = Answer<Result<Claimed, StoreError>>;

fn poll(waiting: &mut Waiting) -> Poll<Claimed> {
    let mut context = Context::from_waker(Waker::noop());
    let polled = Pin::new(waiting).poll(&mut context);
    polled.map(|answer| answer.expect("a store in memory does not fail"))
}

/// A claim that waits in the queue.
#[track_caller]
fn queue(store: &MemoryStore, condition: &Condition) -> Waiting {
    let mut waiting = store.claim(&key(), condition, PATIENT);
    assert!(poll(&mut waiting).is_pending());
    waiting
}

#[track_caller]
fn now<T>(polled: Poll<T>) -> T {
    match polled {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it still waits"),
    }
}

#[test]
fn claims_are_granted_in_the_order_of_arrival() {
    let store = store();
    let mut holder = claim(&store, &key());
    let mut queue: Vec<_> = (0..100)
        .map(|_| queue(&store, &Condition::Unconditional))
        .collect();
    assert_eq!(store.stats().waiting, 100);
    while !queue.is_empty() {
        for waiting in &mut queue {
            assert!(poll(waiting).is_pending(), "two hold the claim");
        }
        let token = holder.token();
        ready(store.settle(holder, Outcome::Written));
        holder = granted(now(poll(&mut queue.remove(0))));
        assert!(holder.token() > token);
    }
    ready(store.settle(holder, Outcome::Unchanged));
    assert_eq!((store.stats().held, store.stats().waiting), (0, 0));
}

#[test]
fn who_comes_when_a_claim_was_passed_on_waits_too() {
    let store = store();
    let holder = claim(&store, &key());
    let first = queue(&store, &Condition::Unconditional);
    ready(store.settle(holder, Outcome::Unchanged));
    // The first one has not come for it yet, and still it is no longer to be had.
    let claimed = ready(store.claim(&key(), &Condition::Unconditional, AT_ONCE));
    assert!(matches!(claimed, Claimed::Busy { .. }), "{claimed:?}");
    drop(first);
    assert_eq!((store.stats().held, store.stats().waiting), (0, 0));
}

#[test]
fn conditions_are_tested_when_the_turn_comes() {
    let store = store();
    let holder = claim(&store, &key());
    let mut create = queue(&store, &Condition::Absent);
    let mut update = queue(&store, &Condition::Exists);
    ready(store.settle(holder, Outcome::Deleted));
    let creator = granted(now(poll(&mut create)));
    assert_eq!(creator.state(), &State::Absent);
    ready(store.settle(creator, Outcome::Written));
    let updater = granted(now(poll(&mut update)));
    assert!(matches!(updater.state(), State::Present(_)));
    ready(store.settle(updater, Outcome::Unchanged));
}

#[test]
fn who_waits_for_a_version_that_is_gone_fails_at_once() {
    let store = store();
    let State::Unseen(first) = ready(store.current(&key())).state else {
        panic!("it was seen");
    };
    let gone = Condition::AnyOf(first.version.into_iter().collect());
    let holder = claim(&store, &key());
    let mut before = queue(&store, &Condition::Absent);
    let mut other = queue(&store, &Condition::Unconditional);
    let mut stale = [(); 3].map(|()| queue(&store, &gone));
    let mut last = queue(&store, &Condition::Absent);
    ready(store.settle(holder, Outcome::Written));
    for waiting in stale.iter_mut().chain([&mut before]) {
        let claimed = now(poll(waiting));
        assert!(
            matches!(claimed, Claimed::Failed(State::Present(_))),
            "{claimed:?}"
        );
    }
    // This one's condition may hold again.
    assert!(poll(&mut last).is_pending());
    let other = granted(now(poll(&mut other)));
    ready(store.settle(other, Outcome::Deleted));
    let last = granted(now(poll(&mut last)));
    ready(store.settle(last, Outcome::Unchanged));
    assert_eq!((store.stats().held, store.stats().waiting), (0, 0));
}

#[test]
fn a_claim_that_leaves_everything_as_it_was_leaves_the_hope_of_those_who_wait() {
    let store = store();
    let state = ready(store.current(&key())).state;
    let version = state.current().and_then(|current| current.version.clone());
    let condition = Condition::AnyOf(version.into_iter().collect());
    let holder = claim(&store, &key());
    let mut waiting = queue(&store, &condition);
    ready(store.settle(holder, Outcome::Unchanged));
    let claim = granted(now(poll(&mut waiting)));
    ready(store.settle(claim, Outcome::Unchanged));
}

#[tokio::test(start_paused = true)]
async fn waiting_has_a_limit() {
    let store = MemoryStore::new();
    let options = ClaimOptions {
        intent: Intent::Delete,
        ..AT_ONCE
    };
    let holder = granted(ready(store.claim(&key(), &Condition::Exists, options)));
    let started = tokio::time::Instant::now();
    let wait = Duration::from_secs(5);
    let options = ClaimOptions { wait, ..AT_ONCE };
    match store.claim(&key(), &Condition::Exists, options).await {
        Ok(Claimed::Busy { holder, .. }) => assert_eq!(holder, Intent::Delete),
        other => panic!("{other:?}"),
    }
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!(store.stats().waiting, 0);
    ready(store.settle(holder, Outcome::Unchanged));
    assert_eq!(store.stats().held, 0);
}

#[tokio::test]
async fn who_waits_takes_an_abandoned_claim_over_when_its_lease_ends() {
    let store = MemoryStore::new();
    let lease = Duration::from_millis(30);
    let options = ClaimOptions { lease, ..AT_ONCE };
    let holder = granted(ready(store.claim(&key(), &Condition::Exists, options)));
    let (before, token) = (holder.state().clone(), holder.token());
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let waiting = store.claim(&key(), &Condition::Exists, PATIENT);
                let claim = granted(waiting.await.expect("it does not fail"));
                ready(store.settle(claim.clone(), Outcome::Unchanged));
                claim
            })
        })
        .collect();
    while store.stats().waiting < 3 {
        tokio::task::yield_now().await;
    }
    let abandoned = Instant::now();
    store.abandon(holder);
    for waiting in waiting {
        let claim = waiting.await.expect("the task ends");
        assert!(abandoned.elapsed() >= lease);
        assert_ne!(claim.state(), &before, "a write in doubt kept its version");
        assert!(claim.token() > token);
    }
    assert_eq!((store.stats().held, store.stats().waiting), (0, 0));
}

#[test]
fn without_a_timer_a_claim_is_taken_over_by_whoever_comes_by() {
    let store = store();
    let holder = granted(ready(store.claim(
        &key(),
        &Condition::Exists,
        ENDED_AT_ONCE,
    )));
    let mut waiting = queue(&store, &Condition::Exists);
    store.abandon(holder);
    assert!(!ready(store.current(&key())).settled);
    let claim = granted(now(poll(&mut waiting)));
    ready(store.settle(claim, Outcome::Unchanged));
}

#[test]
fn an_answer_that_nobody_polled_has_no_place_in_the_queue() {
    let store = store();
    let holder = claim(&store, &key());
    let lazy = store.claim(&key(), &Condition::Exists, PATIENT);
    assert_eq!(store.stats().waiting, 0);
    ready(store.settle(holder, Outcome::Unchanged));
    assert_eq!(store.stats().held, 0);
    drop(lazy);
}

#[test]
fn who_leaves_leaves_no_gap() {
    for leaver in 0..5 {
        let store = store();
        let mut holder = claim(&store, &key());
        let mut waiting: Vec<_> = (0..5)
            .map(|_| queue(&store, &Condition::Unconditional))
            .collect();
        drop(waiting.remove(leaver));
        assert_eq!(store.stats().waiting, 4);
        for mut next in waiting {
            ready(store.settle(holder, Outcome::Written));
            holder = granted(now(poll(&mut next)));
        }
        ready(store.settle(holder, Outcome::Written));
        assert_eq!((store.stats().held, store.stats().waiting), (0, 0));
    }
}

/// Drops a waiting claim after each number of polls, with the claim in each state that it can be
/// in by then.
#[test]
fn a_claim_may_be_dropped_at_any_point() {
    type Step = fn(&MemoryStore, tower_conditional::store::Claim);
    let steps: [(&str, Step); 4] = [
        ("settled", |store, holder| {
            drop(ready(store.settle(holder, Outcome::Written)))
        }),
        ("unchanged", |store, holder| {
            drop(ready(store.settle(holder, Outcome::Unchanged)))
        }),
        ("abandoned", |store, holder| store.abandon(holder)),
        ("settled after", |_, _| {}),
    ];
    for polls in 0..4 {
        for (name, step) in steps {
            let store = store();
            let options = ENDED_AT_ONCE;
            let holder = granted(ready(store.claim(&key(), &Condition::Exists, options)));
            let mut leaver = store.claim(&key(), &Condition::Exists, PATIENT);
            for _ in 0..polls {
                assert!(poll(&mut leaver).is_pending());
            }
            let mut next = queue(&store, &Condition::Exists);
            step(&store, holder.clone());
            drop(leaver);
            ready(store.settle(holder, Outcome::Unchanged));
            let claim = granted(now(poll(&mut next)));
            ready(store.settle(claim, Outcome::Unchanged));
            let stats = store.stats();
            assert_eq!(
                (stats.held, stats.waiting),
                (0, 0),
                "{name} after {polls} polls"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_at_a_time_though_a_third_of_them_leave() {
    const TASKS: usize = 300;
    let store = MemoryStore::new();
    let (inside, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let start = claim(&store, &key());
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (store, inside, done) = (store.clone(), Arc::clone(&inside), Arc::clone(&done));
            tokio::spawn(async move {
                for _ in 0..10 {
                    let waiting = store.claim(&key(), &Condition::Unconditional, PATIENT);
                    let claim = granted(waiting.await.expect("it does not fail"));
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                    // No await in here: a task that is aborted here would take its claim along.
                    std::thread::yield_now();
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1, "two at once");
                    ready(store.settle(claim, Outcome::Written));
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    while store.stats().waiting < TASKS {
        tokio::task::yield_now().await;
    }
    ready(store.settle(start, Outcome::Written));
    for (number, task) in tasks.iter().enumerate() {
        if number % 3 == 0 {
            task.abort();
            tokio::task::yield_now().await;
        }
    }
    let mut aborted = 0;
    for task in tasks {
        match task.await {
            Ok(()) => {}
            Err(error) if error.is_cancelled() => aborted += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(aborted > 0, "nobody left");
    assert!(done.load(Ordering::SeqCst) >= TASKS / 3 * 2 * 10);
    let stats = store.stats();
    assert_eq!((stats.held, stats.waiting, stats.resources), (0, 0, 1));
}

/// A task that is kept alive by its wakers alone, as some executors have it.
struct Task(Mutex<Option<Waiting>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_take_its_task_along_when_it_goes() {
    let (finished, done) = mpsc::channel();
    std::thread::spawn(move || {
        let store = store();
        let holder = claim(&store, &key());
        for _ in 0..2 {
            let task = Arc::new(Task(Mutex::new(None)));
            let waker = Waker::from(Arc::clone(&task));
            let mut waiting = store.claim(&key(), &Condition::Exists, PATIENT);
            let polled = Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            *task.0.lock().expect("nobody panics") = Some(waiting);
        }
        ready(store.settle(holder, Outcome::Written));
        finished.send(store.stats()).expect("the test waits");
    });
    let stats = done
        .recv_timeout(Duration::from_secs(30))
        .expect("it hangs");
    assert_eq!((stats.held, stats.waiting), (0, 0));
}

#[derive(Clone, Default)]
struct CountingTimer(Arc<AtomicUsize>);

struct Never;

impl Future for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Sleep for Never {}

impl Timer for CountingTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(Never)
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        unreachable!("durations will do")
    }
}

struct NoExecutor;

impl<T> Executor<T> for NoExecutor {
    fn execute(&self, _: T) {
        panic!("the store spawned a task");
    }
}

#[test]
fn only_who_waits_starts_a_timer_and_nobody_spawns() {
    let timer = CountingTimer::default();
    let store = MemoryStore::with_runtime(Runtime::new(NoExecutor, timer.clone()));
    let holder = granted(ready(store.claim(&key(), &Condition::Exists, PATIENT)));
    ready(store.claim(&key(), &Condition::Exists, AT_ONCE));
    ready(store.current(&key()));
    assert_eq!(timer.0.load(Ordering::SeqCst), 0);
    let waiting = queue(&store, &Condition::Exists);
    assert_eq!(timer.0.load(Ordering::SeqCst), 1);
    store.abandon(holder);
    drop(waiting);
}
