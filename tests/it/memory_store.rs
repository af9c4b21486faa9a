//! The store in memory: its versions, its claims, and what it leaves behind.

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::Duration;

use tower_conditional::store::{
    Answer, Claim, ClaimOptions, Claimed, Condition, Intent, Outcome, Settled, Snapshot, State,
    StoreError, Version,
};
use tower_conditional::{ClaimStore as _, MemoryStore, ResourceKey, Runtime, VersionStore as _};

pub(crate) const AT_ONCE: ClaimOptions = ClaimOptions {
    wait: Duration::ZERO,
    lease: Duration::from_secs(3600),
    intent: Intent::Write,
};

pub(crate) const ENDED_AT_ONCE: ClaimOptions = ClaimOptions {
    lease: Duration::ZERO,
    ..AT_ONCE
};

pub(crate) fn store() -> MemoryStore {
    MemoryStore::with_runtime(Runtime::inline())
}

pub(crate) fn key() -> ResourceKey {
    ResourceKey::new("/orders/5")
}

/// The answer, which must be there without waiting.
#[track_caller]
pub(crate) fn ready<T>(answer: Answer<Result<T, StoreError>>) -> T {
    let answer = answer.try_ready().expect("the answer is not there at once");
    answer.expect("a store in memory does not fail")
}

#[track_caller]
pub(crate) fn granted(claimed: Claimed) -> Claim {
    match claimed {
        Claimed::Granted(claim) => claim,
        other => panic!("not granted but {other:?}"),
    }
}

#[track_caller]
pub(crate) fn claim(store: &MemoryStore, key: &ResourceKey) -> Claim {
    granted(ready(store.claim(key, &Condition::Unconditional, AT_ONCE)))
}

#[track_caller]
fn write(store: &MemoryStore, key: &ResourceKey, outcome: Outcome) -> State {
    let claim = claim(store, key);
    match ready(store.settle(claim, outcome)) {
        Settled::Done(state) => state,
        Settled::Fenced(state) => panic!("fenced in {state:?}"),
    }
}

fn version(state: &State) -> Version {
    let current = state.current().expect("there is something");
    current.version.clone().expect("it has a version")
}

#[test]
fn a_resource_nobody_told_of_has_a_version_that_stays() {
    let store = store();
    let Snapshot { state, settled } = ready(store.current(&key()));
    assert!(settled);
    assert!(matches!(state, State::Unseen(_)), "{state:?}");
    assert_eq!(ready(store.current(&key())).state, state);
    let claim = granted(ready(store.claim(
        &key(),
        &Condition::AnyOf(vec![version(&state)]),
        AT_ONCE,
    )));
    assert_eq!(claim.state(), &state);
    assert_eq!(claim.lease(), None);
    let settled = ready(store.settle(claim, Outcome::Unchanged));
    assert_eq!(settled, Settled::Done(state));
}

#[test]
fn outcomes_decide_on_the_version() {
    let store = store();
    let first = ready(store.current(&key())).state;
    let written = write(&store, &key(), Outcome::Written);
    assert!(matches!(written, State::Present(_)), "{written:?}");
    let unchanged = write(&store, &key(), Outcome::Unchanged);
    assert_eq!(unchanged, written);
    let unknown = write(&store, &key(), Outcome::Unknown);
    assert!(matches!(unknown, State::Unseen(_)), "{unknown:?}");
    let deleted = write(&store, &key(), Outcome::Deleted);
    assert_eq!(deleted, State::Absent);
    assert_eq!(ready(store.current(&key())), Snapshot::settled(deleted));
    let recreated = write(&store, &key(), Outcome::Written);
    let versions = [&first, &written, &unknown, &recreated].map(version);
    assert_eq!(HashSet::from(versions).len(), 4);
}

#[test]
fn conditions_are_tested_against_the_current_state() {
    let store = store();
    let stale = version(&write(&store, &key(), Outcome::Written));
    let state = write(&store, &key(), Outcome::Written);
    for condition in [
        Condition::AnyOf(vec![stale.clone()]),
        Condition::Absent,
        Condition::NoneOf(vec![stale, version(&state)]),
    ] {
        match ready(store.claim(&key(), &condition, AT_ONCE)) {
            Claimed::Failed(current) => assert_eq!(current, state, "{condition:?}"),
            other => panic!("{condition:?}: {other:?}"),
        }
    }
    assert_eq!(store.stats().held, 0);
}

#[test]
fn a_held_claim_is_seen_by_readers_and_told_to_others() {
    let store = store();
    let options = ClaimOptions {
        intent: Intent::Delete,
        ..AT_ONCE
    };
    let claim = granted(ready(store.claim(&key(), &Condition::Exists, options)));
    let state = claim.state().clone();
    assert_eq!(ready(store.current(&key())), Snapshot::unsettled(state));
    match ready(store.claim(&key(), &Condition::Exists, AT_ONCE)) {
        Claimed::Busy {
            retry_after,
            holder,
        } => {
            assert_eq!(holder, Intent::Delete);
            assert_eq!(retry_after, Duration::from_secs(1));
        }
        other => panic!("{other:?}"),
    }
    let other = ResourceKey::new("/orders/6");
    assert!(ready(store.current(&other)).settled);
    ready(store.settle(claim, Outcome::Unchanged));
    assert!(ready(store.current(&key())).settled);
}

#[test]
fn an_abandoned_claim_stays_for_its_lease() {
    let store = store();
    let claim = claim(&store, &key());
    store.abandon(claim);
    assert!(!ready(store.current(&key())).settled);
    match ready(store.claim(&key(), &Condition::Exists, AT_ONCE)) {
        Claimed::Busy { retry_after, .. } => {
            assert!(retry_after <= AT_ONCE.lease);
            assert!(retry_after > AT_ONCE.lease / 2, "{retry_after:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_lease_begins_when_the_claim_is_abandoned_and_then_bumps() {
    let store = store();
    let before = write(&store, &key(), Outcome::Written);
    let lease = Duration::from_millis(5);
    let options = ClaimOptions { lease, ..AT_ONCE };
    let claim = granted(ready(store.claim(&key(), &Condition::Exists, options)));
    let late = claim.clone();
    thread::sleep(lease * 2);
    assert!(!ready(store.current(&key())).settled);
    store.abandon(claim);
    thread::sleep(lease);
    let after = ready(store.current(&key()));
    assert!(after.settled);
    assert_ne!(version(&after.state), version(&before));
    // Its effect may be that there is nothing now.
    assert!(matches!(after.state, State::Unseen(_)));

    let settled = ready(store.settle(late.clone(), Outcome::Written));
    assert_eq!(settled, Settled::Fenced(after.state.clone()));
    store.abandon(late);
    let still = ready(store.current(&key()));
    assert_eq!(still, after, "a late call did something");
}

#[test]
fn a_claim_that_is_settled_after_all_ends_well() {
    let store = store();
    let claim = claim(&store, &key());
    store.abandon(claim.clone());
    let settled = ready(store.settle(claim, Outcome::Written));
    assert!(matches!(settled, Settled::Done(State::Present(_))));
    assert_eq!(store.stats().held, 0);
}

#[test]
fn an_old_claim_does_not_settle_the_next_one() {
    let store = store();
    let claim = || {
        let claimed = store.claim(&key(), &Condition::Exists, ENDED_AT_ONCE);
        granted(ready(claimed))
    };
    let old = claim();
    store.abandon(old.clone());
    let new = claim();
    assert!(new.token() > old.token());
    let state = new.state().clone();
    assert_eq!(
        ready(store.settle(old.clone(), Outcome::Deleted)),
        Settled::Fenced(state)
    );
    store.abandon(old);
    assert!(
        !ready(store.current(&key())).settled,
        "the new claim is gone"
    );
    let settled = ready(store.settle(new, Outcome::Written));
    assert!(matches!(settled, Settled::Done(_)));
}

#[test]
fn leases_of_any_length_are_leases() {
    let store = store();
    let options = ClaimOptions {
        lease: Duration::MAX,
        ..AT_ONCE
    };
    let claim = granted(ready(store.claim(&key(), &Condition::Exists, options)));
    store.abandon(claim);
    assert!(!ready(store.current(&key())).settled);
}

#[test]
fn abandoned_claims_do_not_pile_up_though_nobody_asks_for_them_again() {
    let store = store();
    for number in 0..10_000 {
        let key = ResourceKey::new(format!("/orders/{number}"));
        let claimed = store.claim(&key, &Condition::Exists, ENDED_AT_ONCE);
        store.abandon(granted(ready(claimed)));
    }
    let held = store.stats().held;
    assert!(held <= 64, "{held} are still held");
}

#[test]
fn only_writes_take_memory_and_only_so_much() {
    let store = store().with_capacity(640);
    for number in 0..10_000 {
        let key = ResourceKey::new(format!("/orders/{number}"));
        ready(store.current(&key));
        ready(store.settle(claim(&store, &key), Outcome::Unchanged));
    }
    assert_eq!(store.stats(), Default::default());
    for number in 0..10_000 {
        let key = ResourceKey::new(format!("/orders/{number}"));
        write(&store, &key, Outcome::Written);
        let stats = store.stats();
        assert!(stats.resources <= 640, "{stats:?}");
    }
    assert!(store.stats().resources > 64, "it forgets more than it must");
    assert_eq!(store.stats().held, 0);
}

/// Random steps on a few resources of a store that forgets all the time. The list of outcomes
/// says what each step does.
#[test]
fn no_version_comes_back_whatever_happens() {
    let store = store().with_capacity(1);
    let keys: Vec<_> = (0..200)
        .map(|number| ResourceKey::new(format!("/orders/{number}")))
        .collect();
    let mut seen: HashMap<&ResourceKey, (Option<Version>, HashSet<Version>)> = HashMap::new();
    let (mut random, mut forgotten) = (0x9E37_79B9_7F4A_7C15_u64, 0);
    for _ in 0..20_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let key = &keys[(random % 200) as usize];
        let step = (random >> 32) % 6;
        match step {
            0 => drop(write(&store, key, Outcome::Written)),
            1 => drop(write(&store, key, Outcome::Deleted)),
            2 => drop(write(&store, key, Outcome::Unknown)),
            3 => drop(write(&store, key, Outcome::Unchanged)),
            4 => {
                let claimed = store.claim(key, &Condition::Unconditional, ENDED_AT_ONCE);
                store.abandon(granted(ready(claimed)));
            }
            _ => {}
        }
        let state = ready(store.current(key)).state;
        let now = state.current().and_then(|current| current.version.clone());
        let (last, retired) = seen.entry(key).or_default();
        if *last != now {
            forgotten += usize::from(step == 5);
            retired.extend(last.take());
        }
        if let Some(version) = &now {
            assert!(!retired.contains(version), "{key}: {version} came back");
        }
        *last = now;
    }
    assert!(forgotten > 100, "it forgot only {forgotten} times");
}

#[test]
fn no_version_survives_a_restart() {
    let (before, after) = (store(), store());
    let versions = |store: &MemoryStore| -> HashSet<Version> {
        let first = ready(store.current(&key())).state;
        let others = (0..1000).map(|_| version(&write(store, &key(), Outcome::Written)));
        others.chain([version(&first)]).collect()
    };
    assert!(versions(&before).is_disjoint(&versions(&after)));
}

#[test]
fn clones_share_one_store() {
    let one = store();
    let other = one.clone();
    let claim = claim(&one, &key());
    assert!(!ready(other.current(&key())).settled);
    ready(other.settle(claim, Outcome::Written));
    assert_eq!(one.stats(), other.stats());
    assert!(format!("{one:?}").contains("resources: 1"), "{one:?}");
}
