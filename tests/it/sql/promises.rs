//! What every SQL store keeps. Each function is a test of both databases.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use tower_conditional::store::sql::{Engine, SqlStore};
use tower_conditional::store::{
    ClaimOptions, ClaimStore, Claimed, Condition, Intent, Outcome, Settled, Snapshot, State,
    StoreError, Version, VersionStore,
};

use super::shared::*;

/// Makes a test of each promise, on a store that `$store` makes.
macro_rules! keeps_its_promises {
    ($store:path: $($promise:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            if let Some(fixture) = $store().await {
                crate::sql::promises::$promise(&fixture.store).await;
            }
        }
    )*};
    ($store:path) => {
        crate::sql::promises::keeps_its_promises! { $store:
            a_resource_nobody_told_of_has_a_version_until_its_first_write
            a_write_that_changed_nothing_leaves_a_resource_as_unknown_as_it_was
            outcomes_decide_on_the_version
            the_time_of_a_write_is_known
            the_database_tests_conditions_as_the_library_does
            an_open_claim_is_seen_by_readers_and_refused_to_others
            a_claim_that_is_waited_for_is_granted_when_it_is_free
            who_has_waited_too_long_is_told_so
            a_claim_that_ran_out_leaves_a_version_that_never_was
            a_claim_that_ran_out_is_taken_over_and_fenced
            a_claim_settles_once
            of_many_that_name_one_version_one_is_granted
            no_update_is_lost
            no_version_comes_back
            pruned_resources_get_a_version_that_they_never_had
            a_prune_amid_writes_loses_nothing
            claims_that_are_open_are_not_pruned
            a_conditional_write_takes_two_round_trips_and_a_read_one
            keys_that_the_database_cannot_hold_are_errors
            a_healthy_database_is_found_healthy
        }
    };
}
pub(crate) use keeps_its_promises;

pub(crate) async fn a_resource_nobody_told_of_has_a_version_until_its_first_write<DB: Engine>(
    store: &SqlStore<DB>,
) {
    let order = key("/orders/1");
    let seen = current(store, &order).await;
    assert!(seen.settled);
    assert!(matches!(seen.state, State::Unseen(_)), "{seen:?}");
    let first = version(&seen.state);
    assert_eq!(
        version(&current(store, &key("/orders/2")).await.state),
        first
    );

    let condition = Condition::AnyOf(vec![first.clone()]);
    let claim = granted(try_claim(store, &order, &condition, AT_ONCE).await);
    assert_eq!(*claim.state(), seen.state);
    let settled = settle(store, claim, Outcome::Written).await;
    let Settled::Done(state) = settled else {
        panic!("{settled:?}");
    };
    assert!(matches!(state, State::Present(_)));
    assert_ne!(version(&state), first);
    assert_eq!(
        current(store, &order).await,
        Snapshot::settled(state.clone())
    );

    let claimed = try_claim(store, &order, &condition, AT_ONCE).await;
    assert!(
        matches!(&claimed, Claimed::Failed(now) if *now == state),
        "{claimed:?}"
    );
    assert_eq!(
        version(&current(store, &key("/orders/2")).await.state),
        first
    );
}

pub(crate) async fn a_write_that_changed_nothing_leaves_a_resource_as_unknown_as_it_was<
    DB: Engine,
>(
    store: &SqlStore<DB>,
) {
    let order = key("/orders/1");
    let before = current(store, &order).await;
    assert_eq!(write(store, &order, Outcome::Unchanged).await, before.state);
    assert_eq!(current(store, &order).await, before);

    // Not so if somebody may have written it.
    let _ = run_out(store, &order).await;
    let in_doubt = current(store, &order).await;
    assert_eq!(
        write(store, &order, Outcome::Unchanged).await,
        in_doubt.state
    );
    assert_eq!(current(store, &order).await, in_doubt);
    assert_ne!(in_doubt, before);
}

pub(crate) async fn outcomes_decide_on_the_version<DB: Engine>(store: &SqlStore<DB>) {
    let order = key("/orders/1");
    let written = write(store, &order, Outcome::Written).await;
    assert!(matches!(written, State::Present(_)), "{written:?}");

    assert_eq!(write(store, &order, Outcome::Unchanged).await, written);

    let deleted = write(store, &order, Outcome::Deleted).await;
    assert_eq!(deleted, State::Absent);
    assert_eq!(
        write(store, &order, Outcome::Unchanged).await,
        State::Absent
    );
    assert_eq!(
        current(store, &order).await,
        Snapshot::settled(State::Absent)
    );

    let again = write(store, &order, Outcome::Written).await;
    assert!(matches!(again, State::Present(_)), "{again:?}");
    assert_ne!(version(&again), version(&written));

    let unknown = write(store, &order, Outcome::Unknown).await;
    assert!(matches!(unknown, State::Unseen(_)), "{unknown:?}");
    assert!(![&again, &written].map(version).contains(&version(&unknown)));
}

pub(crate) async fn the_time_of_a_write_is_known<DB: Engine>(store: &SqlStore<DB>) {
    // The database has this machine's clock; its times are cut to milliseconds.
    let modified = |state: &State| state.current().and_then(|current| current.last_modified);
    let before = SystemTime::now() - Duration::from_millis(2);
    let written = write(store, &key("/orders/1"), Outcome::Written).await;
    let time = modified(&written).expect("a written resource has a time");
    assert!(before <= time && time <= SystemTime::now() + Duration::from_millis(2));
    let unchanged = write(store, &key("/orders/1"), Outcome::Unchanged).await;
    assert_eq!(modified(&unchanged), Some(time));
    let unseen = current(store, &key("/orders/2")).await;
    assert_eq!(modified(&unseen.state), None);
}

pub(crate) async fn the_database_tests_conditions_as_the_library_does<DB: Engine>(
    store: &SqlStore<DB>,
) {
    let [unseen, present, absent, in_doubt] =
        ["/unseen", "/present", "/absent", "/in-doubt"].map(key);
    write(store, &present, Outcome::Written).await;
    write(store, &absent, Outcome::Deleted).await;
    let _ = run_out(store, &in_doubt).await;

    let (mut granted_claims, mut failed) = (0, 0);
    for resource in [&unseen, &present, &absent, &in_doubt] {
        let state = current(store, resource).await.state;
        let mut conditions = vec![
            Condition::Absent,
            Condition::Exists,
            Condition::Unconditional,
        ];
        let right = state.current().and_then(|current| current.version.clone());
        let foreign = ["7", "007", "abc", "-1", "18446744073709551615"]
            .map(|text| Version::new(text).expect("a tag may hold it"));
        let mut with_right = foreign.to_vec();
        with_right.extend(right.clone());
        for versions in [Vec::new(), foreign.to_vec(), with_right] {
            conditions.push(Condition::AnyOf(versions.clone()));
            conditions.push(Condition::NoneOf(versions));
        }
        for condition in conditions {
            let claimed = try_claim(store, resource, &condition, AT_ONCE).await;
            match (condition.may_hold(&state), claimed) {
                (true, Claimed::Granted(claim)) => {
                    assert_eq!(*claim.state(), state, "{condition:?}");
                    settle(store, claim, Outcome::Unchanged).await;
                    granted_claims += 1;
                }
                (false, Claimed::Failed(found)) => {
                    assert_eq!(found, state, "{condition:?}");
                    failed += 1;
                }
                (holds, claimed) => panic!("{condition:?} of {state:?}: {holds}, {claimed:?}"),
            }
            assert_eq!(
                current(store, resource).await,
                Snapshot::settled(state.clone())
            );
        }
    }
    assert!(
        granted_claims > 15 && failed > 10,
        "{granted_claims}, {failed}"
    );
}

pub(crate) async fn an_open_claim_is_seen_by_readers_and_refused_to_others<DB: Engine>(
    store: &SqlStore<DB>,
) {
    let order = key("/orders/1");
    let written = write(store, &order, Outcome::Written).await;
    let delete = ClaimOptions {
        intent: Intent::Delete,
        ..AT_ONCE
    };
    let claim = claim(store, &order, delete).await;
    assert!(
        claim
            .lease()
            .is_some_and(|lease| lease <= LONG && lease > LONG / 2)
    );
    assert_eq!(
        current(store, &order).await,
        Snapshot::unsettled(written.clone())
    );
    for condition in [
        Condition::Unconditional,
        // Not even a condition that fails now: it may hold when the claim is settled.
        Condition::Absent,
    ] {
        match try_claim(store, &order, &condition, AT_ONCE).await {
            Claimed::Busy {
                retry_after,
                holder,
            } => {
                assert_eq!(holder, Intent::Delete);
                assert!(retry_after > Duration::ZERO && retry_after <= LONG);
            }
            other => panic!("{other:?}"),
        }
    }
    // Others are not concerned.
    write(store, &key("/orders/2"), Outcome::Written).await;
    store.abandon(claim.clone());
    assert_eq!(current(store, &order).await, Snapshot::unsettled(written));
    let settled = settle(store, claim, Outcome::Deleted).await;
    assert_eq!(settled, Settled::Done(State::Absent));
}

pub(crate) async fn a_claim_that_is_waited_for_is_granted_when_it_is_free<DB: Engine>(
    store: &SqlStore<DB>,
) {
    let order = key("/orders/1");
    let held = claim(store, &order, AT_ONCE).await;
    let trips = store.round_trips();
    let waiter = {
        let (store, order) = (store.clone(), order.clone());
        tokio::spawn(async move { claim(&store, &order, PATIENT).await })
    };
    // It has asked, several times.
    while store.round_trips() < trips + 4 {
        tokio::task::yield_now().await;
    }
    assert!(!waiter.is_finished());
    let settled = settle(store, held, Outcome::Written).await;
    let claim = waiter.await.expect("it does not panic");
    assert_eq!(settled, Settled::Done(claim.state().clone()));
}

pub(crate) async fn who_has_waited_too_long_is_told_so<DB: Engine>(store: &SqlStore<DB>) {
    let order = key("/orders/1");
    let _held = claim(store, &order, AT_ONCE).await;
    let wait = Duration::from_millis(30);
    let started = std::time::Instant::now();
    let claimed = try_claim(
        store,
        &order,
        &Condition::Unconditional,
        options(wait, LONG),
    )
    .await;
    assert!(matches!(claimed, Claimed::Busy { .. }), "{claimed:?}");
    assert!(started.elapsed() >= wait);
}

pub(crate) async fn a_claim_that_ran_out_leaves_a_version_that_never_was<DB: Engine>(
    store: &SqlStore<DB>,
) {
    let order = key("/orders/1");
    let mut seen = HashSet::from([version(&current(store, &order).await.state)]);
    for outcome in [Outcome::Written, Outcome::Deleted, Outcome::Unchanged] {
        let before = write(store, &order, outcome).await;
        seen.extend(before.current().and_then(|current| current.version.clone()));
        let late = run_out(store, &order).await;
        assert_eq!(*late.state(), before);
        let after = current(store, &order).await;
        assert!(matches!(after.state, State::Unseen(_)), "{after:?}");
        assert!(seen.insert(version(&after.state)), "{after:?}");
        for outcome in [Outcome::Unchanged, Outcome::Written, Outcome::Deleted] {
            let settled = settle(store, late.clone(), outcome).await;
            assert_eq!(settled, Settled::Fenced(after.state.clone()));
        }
        assert_eq!(current(store, &order).await, after);
    }
}

pub(crate) async fn a_claim_that_ran_out_is_taken_over_and_fenced<DB: Engine>(
    store: &SqlStore<DB>,
) {
    let order = key("/orders/1");
    let written = write(store, &order, Outcome::Written).await;
    let late = run_out(store, &order).await;
    let before = Condition::AnyOf(vec![version(&written)]);
    let claimed = try_claim(store, &order, &before, AT_ONCE).await;
    let Claimed::Failed(in_doubt) = claimed else {
        panic!("{claimed:?}");
    };
    let now = Condition::AnyOf(vec![version(&in_doubt)]);
    let next = granted(try_claim(store, &order, &now, AT_ONCE).await);
    assert!(next.token() > late.token());
    assert_eq!(*next.state(), in_doubt);

    let settled = settle(store, late, Outcome::Written).await;
    assert_eq!(settled, Settled::Fenced(in_doubt.clone()));
    assert_eq!(
        current(store, &order).await,
        Snapshot::unsettled(in_doubt.clone())
    );
    let settled = settle(store, next, Outcome::Unchanged).await;
    assert_eq!(settled, Settled::Done(in_doubt));
}

pub(crate) async fn a_claim_settles_once<DB: Engine>(store: &SqlStore<DB>) {
    let order = key("/orders/1");
    let claim = claim(store, &order, AT_ONCE).await;
    let Settled::Done(state) = settle(store, claim.clone(), Outcome::Written).await else {
        panic!("fenced");
    };
    let settled = settle(store, claim, Outcome::Deleted).await;
    assert_eq!(settled, Settled::Fenced(state));
}

pub(crate) async fn of_many_that_name_one_version_one_is_granted<DB: Engine>(store: &SqlStore<DB>) {
    for round in 0..10 {
        // In the beginning nobody has a row yet, then one that was seen, then one in doubt.
        let order = key(&format!("/orders/{}", round / 4));
        if round % 4 == 3 {
            let _ = run_out(store, &order).await;
        }
        let seen = version(&current(store, &order).await.state);
        let condition = Condition::AnyOf(vec![seen]);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (store, order, condition) = (store.clone(), order.clone(), condition.clone());
                tokio::spawn(async move {
                    let claimed = try_claim(&store, &order, &condition, PATIENT).await;
                    let Claimed::Granted(claim) = claimed else {
                        assert!(matches!(claimed, Claimed::Failed(_)), "{claimed:?}");
                        return 0;
                    };
                    let settled = settle(&store, claim, Outcome::Written).await;
                    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
                    1
                })
            })
            .collect();
        let mut winners = 0;
        for task in tasks {
            winners += task.await.expect("it does not panic");
        }
        assert_eq!(winners, 1, "in round {round}");
    }
}

pub(crate) async fn no_update_is_lost<DB: Engine>(store: &SqlStore<DB>) {
    let collisions = increments(store, 8, 10).await;
    assert!(collisions > 0, "the writers never met");
}

pub(crate) async fn no_version_comes_back<DB: Engine>(store: &SqlStore<DB>) {
    let order = key("/orders/1");
    let mut seen = HashSet::new();
    let mut last = None;
    for step in 0..24 {
        match step % 6 {
            0 => drop(write(store, &order, Outcome::Written).await),
            1 => drop(write(store, &order, Outcome::Deleted).await),
            2 => drop(write(store, &order, Outcome::Written).await),
            3 => drop(run_out(store, &order).await),
            4 => drop(store.prune(Duration::ZERO).await.expect("it prunes")),
            _ => drop(write(store, &order, Outcome::Unchanged).await),
        }
        let state = current(store, &order).await.state;
        let now = state.current().and_then(|current| current.version.clone());
        if now != last {
            if let Some(now) = &now {
                assert!(seen.insert(now.clone()), "{now:?} again, in step {step}");
            }
            last = now;
        }
    }
    assert!(seen.len() >= 16, "{seen:?}");
}

pub(crate) async fn pruned_resources_get_a_version_that_they_never_had<DB: Engine>(
    store: &SqlStore<DB>,
) {
    let [order, deleted, unseen] = ["/orders/1", "/orders/2", "/orders/3"].map(key);
    let first = version(&current(store, &unseen).await.state);
    let written = version(&write(store, &order, Outcome::Written).await);
    write(store, &deleted, Outcome::Deleted).await;

    assert_eq!(
        store.prune(LONG).await.expect("it prunes"),
        0,
        "none is idle for so long"
    );
    assert_eq!(version(&current(store, &order).await.state), written);
    assert_eq!(version(&current(store, &unseen).await.state), first);

    assert_eq!(store.prune(Duration::ZERO).await.expect("it prunes"), 2);
    for resource in [&order, &deleted, &unseen] {
        let state = current(store, resource).await.state;
        assert!(matches!(state, State::Unseen(_)), "{state:?}");
        assert!(![&first, &written].contains(&&version(&state)));
        for old in [&first, &written] {
            let condition = Condition::AnyOf(vec![old.clone()]);
            let claimed = try_claim(store, resource, &condition, AT_ONCE).await;
            assert!(matches!(claimed, Claimed::Failed(_)), "{claimed:?}");
        }
    }
}

pub(crate) async fn a_prune_amid_writes_loses_nothing<DB: Engine>(store: &SqlStore<DB>) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    let over = Arc::new(AtomicBool::new(false));
    let pruner = {
        let (store, over) = (store.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let mut pruned = 0;
            while !over.load(Relaxed) {
                pruned += store.prune(Duration::ZERO).await.expect("it prunes");
            }
            pruned
        })
    };
    increments(store, 4, 25).await;
    over.store(true, Relaxed);
    assert!(
        pruner.await.expect("it does not panic") > 0,
        "they never met"
    );
}

pub(crate) async fn claims_that_are_open_are_not_pruned<DB: Engine>(store: &SqlStore<DB>) {
    let order = key("/orders/1");
    let claim = claim(store, &order, AT_ONCE).await;
    assert_eq!(store.prune(Duration::ZERO).await.expect("it prunes"), 0);
    let settled = settle(store, claim, Outcome::Written).await;
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
}

pub(crate) async fn a_conditional_write_takes_two_round_trips_and_a_read_one<DB: Engine>(
    store: &SqlStore<DB>,
) {
    let order = key("/orders/1");
    for in_doubt in [false, true] {
        if in_doubt {
            let _ = run_out(store, &order).await;
        }
        let trips = store.round_trips();
        let seen = version(&current(store, &order).await.state);
        assert_eq!(store.round_trips() - trips, 1, "a read");

        let condition = Condition::AnyOf(vec![seen]);
        let claim = granted(try_claim(store, &order, &condition, AT_ONCE).await);
        settle(store, claim, Outcome::Written).await;
        assert_eq!(store.round_trips() - trips, 3, "a read and a write");

        store.abandon(claim_and_count(store, trips + 4).await);
        assert_eq!(store.round_trips() - trips, 4, "a claim, given up");
        while !current(store, &order).await.settled {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn claim_and_count<DB: Engine>(
    store: &SqlStore<DB>,
    trips: u64,
) -> tower_conditional::store::Claim {
    let short = options(Duration::ZERO, Duration::from_millis(1));
    let claim = claim(store, &key("/orders/1"), short).await;
    assert_eq!(store.round_trips(), trips);
    claim
}

pub(crate) async fn keys_that_the_database_cannot_hold_are_errors<DB: Engine>(
    store: &SqlStore<DB>,
) {
    // Nothing that compresses well.
    let long: String = (0..512)
        .map(|number| format!("{:04x}", number * 40503 % 65536))
        .collect();
    write(store, &key(&long), Outcome::Written).await;
    for bad in [&format!("{long}x"), "a\0b"] {
        let claimed = store
            .claim(&key(bad), &Condition::Unconditional, AT_ONCE)
            .await;
        assert!(
            matches!(claimed, Err(StoreError::NotApplied(_))),
            "{claimed:?}"
        );
        let read = store.current(&key(bad)).await;
        assert!(matches!(read, Err(StoreError::NotApplied(_))), "{read:?}");
    }
}

pub(crate) async fn a_healthy_database_is_found_healthy<DB: Engine>(store: &SqlStore<DB>) {
    let trips = store.round_trips();
    store.health_check().await.expect("it is healthy");
    assert_eq!(store.round_trips() - trips, 1);
}
