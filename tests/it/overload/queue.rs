//! Ten thousand writers of one resource: a thousand wait, the rest is told at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};
use tower_conditional::policy::{Busy, IfMatch};
use tower_conditional::problem::Reason;
use tower_conditional::store::{
    Answer, Claim, ClaimOptions, Claimed, Condition, Intent, Outcome, QueuedStore, Settled,
    Snapshot, StoreError,
};
use tower_conditional::{
    ClaimStore, ConditionalLayer, MemoryStore, Policy, ResourceKey, SequenceLayer, VersionStore,
};

use crate::support::{Seen, Site, ask, request, see, until};

const PATH: &str = "/notes/1";
const WRITERS: usize = 10_000;
/// As the documentation has it.
const PLACES: usize = 1_024;
/// Nobody is refused because of it.
const FOREVER: Duration = Duration::from_secs(3_600);

fn patient() -> Policy {
    let policy = Policy::rfc9110().if_match(IfMatch::Optional);
    policy.busy(Busy::Wait(FOREVER))
}

const OPTIONS: ClaimOptions = ClaimOptions {
    wait: FOREVER,
    lease: FOREVER,
    intent: Intent::Write,
};

/// Ten thousand writes by `send`, of which the first is in its handler until all who find no place
/// have their answer. Gives the answers of those, and of the others.
async fn storm<F>(
    site: &Site,
    waiting: impl Fn() -> usize,
    send: impl Fn() -> F,
) -> (Vec<Seen>, Vec<Seen>)
where
    F: Future<Output = Seen> + Send + 'static,
{
    site.hold_writes();
    let first = tokio::spawn(send());
    site.write_began().await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for _ in 1..WRITERS {
        let (write, answered) = (send(), Arc::clone(&answered));
        writers.spawn(async move {
            let seen = write.await;
            answered.fetch_add(1, Ordering::SeqCst);
            seen
        });
    }
    // While the handler still runs: it is the refused who are prompt.
    until(|| answered.load(Ordering::SeqCst) == WRITERS - 1 - PLACES).await;
    until(|| waiting() == PLACES).await;
    assert_eq!(site.calls().len(), 1, "two handlers at once");
    let mut refused = Vec::new();
    for _ in 0..WRITERS - 1 - PLACES {
        let seen = writers.join_next().await.expect("so many have answered");
        refused.push(seen.expect("no panic"));
    }
    site.let_through(WRITERS);
    let mut served = writers.join_all().await;
    served.push(first.await.expect("no panic"));
    (refused, served)
}

#[track_caller]
fn assert_told(refused: &[Seen], served: &[Seen]) {
    assert_eq!(refused.len(), WRITERS - 1 - PLACES);
    for seen in refused {
        assert_eq!((seen.status, seen.reason()), (503, Some(Reason::Busy)));
        assert_eq!(seen.header("retry-after"), Some("1"));
    }
    assert_eq!(served.len(), PLACES + 1);
    for seen in served {
        assert_eq!((seen.status, seen.reason()), (200, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_ten_thousand_writers_a_thousand_wait_and_the_rest_is_503_at_once() {
    let store = MemoryStore::new();
    let site = Site::new(&[(PATH, "old")]);
    let layer = ConditionalLayer::new(store.clone()).policy(patient());
    let (refused, served) = storm(
        &site,
        || store.stats().waiting,
        || {
            let (layer, site) = (layer.clone(), site.clone());
            async move { ask(&layer, &site, request("PUT", PATH, &[], "new")).await }
        },
    )
    .await;
    assert_told(&refused, &served);
    assert_eq!(site.calls().len(), PLACES + 1, "refused, and run");
    let mut tags: Vec<_> = served
        .iter()
        .map(|seen| seen.etag().map(str::to_owned))
        .collect();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), PLACES + 1, "a tag was used twice");
    // All is as before.
    let stats = store.stats();
    assert_eq!((stats.held, stats.waiting, stats.resources), (0, 0, 1));
    let read = ask(&layer, &site, request("GET", PATH, &[], "")).await;
    let current = [("if-match", read.etag().expect("a tag"))];
    let next = ask(&layer, &site, request("PUT", PATH, &current, "newer")).await;
    assert_eq!(next.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sequence_has_the_same_places() {
    let store = MemoryStore::new();
    let site = Site::new(&[(PATH, "old")]);
    let layer = SequenceLayer::new(store.clone(), |parts, _| {
        Some(ResourceKey::from_path(parts))
    });
    let layer = layer.wait(FOREVER);
    let (refused, served) = storm(
        &site,
        || store.stats().waiting,
        || {
            let service = layer.layer(site.service());
            async move {
                let answer = service.oneshot(request("PUT", PATH, &[], "new")).await;
                see(answer.expect("no error")).await
            }
        },
    )
    .await;
    assert_told(&refused, &served);
    let stats = store.stats();
    assert_eq!((stats.held, stats.waiting), (0, 0));
}

/// A store that counts who talks to it.
#[derive(Clone)]
struct Counted(MemoryStore, Arc<AtomicUsize>);

impl VersionStore for Counted {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        self.0.current(key)
    }
}

impl ClaimStore for Counted {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.claim(key, condition, options)
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        self.0.settle(claim, outcome)
    }

    fn abandon(&self, claim: Claim) {
        self.0.abandon(claim);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shared_store_hears_of_none_of_those_who_wait_in_a_queue_before_it() {
    let claims = Arc::new(AtomicUsize::new(0));
    let shared = Counted(MemoryStore::new(), Arc::clone(&claims));
    let store = QueuedStore::new(shared).with_queue_limits(PLACES, usize::MAX);
    let site = Site::new(&[(PATH, "old")]);
    let layer = ConditionalLayer::new(store).policy(patient());
    let heard = Arc::clone(&claims);
    let (refused, served) = storm(
        &site,
        // Nobody can see into this queue; but all of the others have their answer.
        || {
            assert_eq!(heard.load(Ordering::SeqCst), 1);
            PLACES
        },
        || {
            let (layer, site) = (layer.clone(), site.clone());
            async move { ask(&layer, &site, request("PUT", PATH, &[], "new")).await }
        },
    )
    .await;
    assert_told(&refused, &served);
    assert_eq!(claims.load(Ordering::SeqCst), PLACES + 1);
}

#[tokio::test]
async fn a_place_that_is_left_is_free_again() {
    let store = MemoryStore::new().with_queue_limits(2, 1_000);
    let key = ResourceKey::new(PATH);
    let claim = || store.claim(&key, &Condition::Unconditional, OPTIONS);
    let Ok(Claimed::Granted(held)) = claim().await else {
        panic!("it is free");
    };
    let mut waiting: Vec<_> = (0..2).map(|_| tokio::spawn(claim())).collect();
    until(|| store.stats().waiting == 2).await;
    for _ in 0..3 {
        assert!(
            matches!(claim().await, Ok(Claimed::Busy { .. })),
            "a third place"
        );
    }
    waiting.remove(0).abort();
    until(|| store.stats().waiting == 1).await;
    waiting.push(tokio::spawn(claim()));
    until(|| store.stats().waiting == 2).await;
    assert!(matches!(claim().await, Ok(Claimed::Busy { .. })));
    store
        .settle(held, Outcome::Written)
        .await
        .expect("it is in memory");
    for waiter in waiting {
        let Ok(Ok(Claimed::Granted(claim))) = waiter.await else {
            panic!("its turn has come");
        };
        store
            .settle(claim, Outcome::Written)
            .await
            .expect("it is in memory");
    }
    let stats = store.stats();
    assert_eq!((stats.held, stats.waiting), (0, 0));
}

#[tokio::test]
async fn all_resources_together_have_only_so_many_places() {
    const RESOURCES: usize = 500;
    const IN_ALL: usize = 128;
    let store = MemoryStore::new().with_queue_limits(PLACES, IN_ALL);
    let site = Site::new(&[]);
    let layer = ConditionalLayer::new(store.clone()).policy(patient());
    let keys: Vec<_> = (0..RESOURCES)
        .map(|id| ResourceKey::new(format!("/notes/{id}")))
        .collect();
    let mut held = Vec::new();
    for key in &keys {
        match store.claim(key, &Condition::Unconditional, OPTIONS).await {
            Ok(Claimed::Granted(claim)) => held.push(claim),
            other => panic!("{other:?}"),
        }
    }
    let answered = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for key in &keys {
        let (layer, site, answered) = (layer.clone(), site.clone(), Arc::clone(&answered));
        let path = key.as_str().to_owned();
        writers.spawn(async move {
            let seen = ask(
                &layer,
                &site,
                request(Method::PUT.as_str(), &path, &[], "new"),
            )
            .await;
            answered.fetch_add(1, Ordering::SeqCst);
            seen.status
        });
    }
    until(|| answered.load(Ordering::SeqCst) + store.stats().waiting == RESOURCES).await;
    let waiting = store.stats().waiting;
    assert!((IN_ALL / 2..=IN_ALL).contains(&waiting), "{waiting} wait");
    for claim in held {
        store
            .settle(claim, Outcome::Unchanged)
            .await
            .expect("it is in memory");
    }
    let statuses = writers.join_all().await;
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((count(201), count(503)), (waiting, RESOURCES - waiting));
}
