//! What every store of keys in a SQL database keeps. Each function is a test of both databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{ETAG, VARY};
use http::{HeaderValue, StatusCode};
use tokio::sync::Barrier;
use tower_conditional::idempotency::sql::SqlIdempotencyStore;
use tower_conditional::idempotency::{
    BeginOptions, Begun, Ending, Fingerprint, IdempotencyStore, RecordKey, Settlement,
    StoredResponse,
};
use tower_conditional::store::StoreError;
use tower_conditional::store::sql::Engine;

use super::*;

/// Makes a test of each promise, on a store that `$store` makes.
macro_rules! keeps_its_promises {
    ($store:path: $($promise:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            if let Some(fixture) = $store().await {
                crate::sql::keys::promises::$promise(&fixture.store).await;
            }
        }
    )*};
    ($store:path) => {
        crate::sql::keys::promises::keeps_its_promises! { $store:
            a_key_goes_through_its_states
            an_answer_comes_back_as_it_was_stored
            another_request_is_told_so_whatever_the_state
            what_was_not_run_is_absent_again
            what_is_done_stays_done_and_may_be_refreshed
            of_many_first_uses_at_once_one_starts
            of_many_that_take_over_one_starts
            an_attempt_that_was_taken_over_is_fenced
            a_lease_that_ends_leaves_doubt
            a_late_answer_ends_the_doubt_and_every_take_over_of_it
            a_key_is_forgotten_when_its_time_is_over
            only_what_is_forgotten_is_pruned
            an_attempt_takes_two_round_trips
            keys_that_the_database_cannot_hold_are_errors
            a_healthy_database_is_found_healthy
        }
    };
}
pub(crate) use keeps_its_promises;

type Store<DB> = SqlIdempotencyStore<DB>;

pub(crate) async fn a_key_goes_through_its_states<DB: Engine>(store: &Store<DB>) {
    let key = key("states");
    let attempt = started(store, &key, LONG).await;
    assert_eq!((attempt.key(), attempt.fingerprint()), (&key, &request()));
    assert_eq!(attempt.lease(), Some(LONG.lease));
    let begun = begin(store, &key, LONG).await;
    let Begun::InFlight { retry_after } = begun else {
        panic!("{begun:?}");
    };
    assert_eq!(retry_after, Duration::from_secs(1));
    let begun = begin(store, &key, instead_of(attempt.token())).await;
    assert!(matches!(begun, Begun::InFlight { .. }), "{begun:?}");

    let settled = settle(store, &attempt, Ending::InDoubt).await;
    assert_eq!(settled, Settlement::Done);
    let begun = begin(store, &key, LONG).await;
    assert!(
        matches!(begun, Begun::InDoubt { token } if token == attempt.token()),
        "{begun:?}"
    );
    let again = started(store, &key, instead_of(attempt.token())).await;
    let settled = settle(store, &again, Ending::Done(answer("x"))).await;
    assert_eq!(settled, Settlement::Done);
    let (token, kept) = done(store, &key).await;
    assert_eq!(kept, answer("x"));
    let third = started(store, &key, instead_of(token)).await;
    assert!(attempt.token() < again.token() && again.token() < third.token());
    let begun = begin(store, &key, LONG).await;
    assert!(matches!(begun, Begun::InFlight { .. }), "{begun:?}");
}

pub(crate) async fn an_answer_comes_back_as_it_was_stored<DB: Engine>(store: &Store<DB>) {
    let latin = HeaderValue::from_bytes(b"caf\xE9").unwrap();
    for (number, response) in [
        answer("é 🦀"),
        StoredResponse::new(StatusCode::NO_CONTENT),
        StoredResponse::new(StatusCode::SEE_OTHER).without_content(),
        StoredResponse::new(StatusCode::OK)
            .with_header(ETAG, HeaderValue::from_static("\"5\""))
            .with_header(VARY, latin)
            .with_header(VARY, HeaderValue::from_static(""))
            .with_content((0..=255).collect::<Vec<u8>>()),
    ]
    .into_iter()
    .enumerate()
    {
        let key = key(format!("answer {number}"));
        let attempt = started(store, &key, LONG).await;
        settle(store, &attempt, Ending::Done(response.clone())).await;
        assert_eq!(done(store, &key).await.1, response);
    }
}

pub(crate) async fn another_request_is_told_so_whatever_the_state<DB: Engine>(store: &Store<DB>) {
    let other = Fingerprint::of_nothing();
    for ending in [None, Some(Ending::InDoubt), Some(Ending::Done(answer("x")))] {
        let key = key(format!("mismatch {ending:?}"));
        let attempt = started(store, &key, LONG).await;
        if let Some(ending) = &ending {
            settle(store, &attempt, ending.clone()).await;
        }
        for options in [LONG, instead_of(attempt.token())] {
            let begun = store.begin(&key, &other, options).await;
            assert!(matches!(begun, Ok(Begun::Mismatch)), "{ending:?} {begun:?}");
        }
        // Of another scope it is another key.
        let elsewhere = RecordKey::new("globex", key.key());
        let begun = store.begin(&elsewhere, &other, LONG).await;
        assert!(matches!(begun, Ok(Begun::Started(_))), "{begun:?}");
    }
}

pub(crate) async fn what_was_not_run_is_absent_again<DB: Engine>(store: &Store<DB>) {
    let key = key("not run");
    let mut last = 0;
    for _ in 0..3 {
        let attempt = started(store, &key, LONG).await;
        assert!(attempt.token() > last);
        last = attempt.token();
        let settled = settle(store, &attempt, Ending::NotRun).await;
        assert_eq!(settled, Settlement::Done);
        let settled = settle(store, &attempt, Ending::Done(answer("late"))).await;
        assert_eq!(settled, Settlement::Fenced);
    }
}

pub(crate) async fn what_is_done_stays_done_and_may_be_refreshed<DB: Engine>(store: &Store<DB>) {
    let key = key("done");
    let attempt = started(store, &key, LONG).await;
    settle(store, &attempt, Ending::Done(answer("first"))).await;
    for ending in [Ending::NotRun, Ending::InDoubt] {
        let settled = settle(store, &attempt, ending).await;
        assert_eq!(settled, Settlement::Fenced);
    }
    store.abandon(&attempt);
    let (token, first) = done(store, &key).await;
    assert_eq!(first, answer("first"));
    let settled = settle(store, &attempt, Ending::Done(answer("whole"))).await;
    assert_eq!(settled, Settlement::Done);
    assert_eq!(done(store, &key).await, (token, answer("whole")));
}

pub(crate) async fn of_many_first_uses_at_once_one_starts<DB: Engine>(store: &Store<DB>) {
    let mut raced = 0;
    for round in 0..MOST_ROUNDS {
        let (starts, together) = race(store, &key(format!("race {round}")), LONG).await;
        assert_eq!(starts, 1, "of many first uses at once");
        raced += usize::from(together > RACERS / 2);
        if raced == RACES {
            return;
        }
    }
    panic!("{raced} races in {MOST_ROUNDS} rounds: they came one after the other");
}

pub(crate) async fn of_many_that_take_over_one_starts<DB: Engine>(store: &Store<DB>) {
    let mut raced = 0;
    for (round, ending) in [Ending::InDoubt, Ending::Done(answer("x"))]
        .into_iter()
        .cycle()
        .take(MOST_ROUNDS)
        .enumerate()
    {
        let key = key(format!("take over {round}"));
        let attempt = started(store, &key, LONG).await;
        settle(store, &attempt, ending).await;
        let token = match begin(store, &key, LONG).await {
            Begun::Done { token, .. } | Begun::InDoubt { token } => token,
            begun => panic!("{begun:?}"),
        };
        let (starts, together) = race(store, &key, instead_of(token)).await;
        assert_eq!(starts, 1, "of many take-overs at once");
        raced += usize::from(together > RACERS / 2);
        if raced == RACES {
            return;
        }
    }
    panic!("{raced} races in {MOST_ROUNDS} rounds: they came one after the other");
}

const RACERS: usize = 8;

/// Rounds in which most of the racers are under way at once: so many are run as it takes, since the
/// machine may be busy elsewhere.
const RACES: usize = 10;
const MOST_ROUNDS: usize = 300;

/// How many of all racers start, and how many of them were under way at once.
async fn race<DB: Engine>(
    store: &Store<DB>,
    key: &RecordKey,
    options: BeginOptions,
) -> (usize, usize) {
    let meeting = Arc::new(Barrier::new(RACERS));
    let under_way = Arc::new(AtomicUsize::new(0));
    let racers: Vec<_> = (0..RACERS)
        .map(|_| {
            let (store, key) = (store.clone(), key.clone());
            let (meeting, under_way) = (Arc::clone(&meeting), Arc::clone(&under_way));
            tokio::spawn(async move {
                meeting.wait().await;
                let together = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                let begun = begin(&store, &key, options).await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                (matches!(begun, Begun::Started(_)), together)
            })
        })
        .collect();
    let (mut starts, mut most) = (0, 0);
    for racer in racers {
        let (started, together) = racer.await.expect("it does not panic");
        starts += usize::from(started);
        most = most.max(together);
    }
    (starts, most)
}

pub(crate) async fn an_attempt_that_was_taken_over_is_fenced<DB: Engine>(store: &Store<DB>) {
    let key = key("fenced");
    let first = run_out(store, &key).await;
    let wrong = begin(store, &key, instead_of(first.token() + 2)).await;
    assert!(matches!(wrong, Begun::InDoubt { .. }), "{wrong:?}");
    let second = started(store, &key, instead_of(first.token())).await;
    for ending in [
        Ending::NotRun,
        Ending::InDoubt,
        Ending::Done(answer("late")),
    ] {
        let settled = settle(store, &first, ending).await;
        assert_eq!(settled, Settlement::Fenced);
    }
    let begun = begin(store, &key, instead_of(first.token())).await;
    assert!(matches!(begun, Begun::InFlight { .. }), "{begun:?}");
    let settled = settle(store, &second, Ending::Done(answer("x"))).await;
    assert_eq!(settled, Settlement::Done);
    let settled = settle(store, &first, Ending::Done(answer("late"))).await;
    assert_eq!(settled, Settlement::Fenced);
    assert_eq!(done(store, &key).await.1, answer("x"));
}

pub(crate) async fn a_lease_that_ends_leaves_doubt<DB: Engine>(store: &Store<DB>) {
    let key = key("lease");
    let options = BeginOptions {
        lease: Duration::from_millis(300),
        ttl: Duration::from_secs(600),
        instead_of: None,
    };
    let began = std::time::Instant::now();
    let attempt = started(store, &key, options).await;
    store.abandon(&attempt);
    let begun = begin(store, &key, LONG).await;
    if began.elapsed() < options.lease {
        assert!(
            matches!(begun, Begun::InFlight { retry_after } if retry_after <= options.lease),
            "{begun:?}"
        );
    }
    let begun = until(store, &key, |begun| {
        !matches!(begun, Begun::InFlight { .. })
    })
    .await;
    assert!(
        matches!(begun, Begun::InDoubt { token } if token == attempt.token()),
        "{begun:?}"
    );
    // SQLite's clock counts whole milliseconds: a lease can be that much shorter than it says.
    let clock = Duration::from_millis(2);
    assert!(began.elapsed() + clock >= options.lease);
}

pub(crate) async fn a_late_answer_ends_the_doubt_and_every_take_over_of_it<DB: Engine>(
    store: &Store<DB>,
) {
    let key = key("late");
    let attempt = run_out(store, &key).await;
    let settled = settle(store, &attempt, Ending::Done(answer("truth"))).await;
    assert_eq!(settled, Settlement::Done);
    // Somebody saw the doubt, and decided on it.
    let begun = begin(store, &key, instead_of(attempt.token())).await;
    let Begun::Done { token, response } = begun else {
        panic!("what was done was taken over as if it were in doubt: {begun:?}");
    };
    assert_eq!(*response, answer("truth"));
    // Again, as the layer does after a ticket.
    settle(store, &attempt, Ending::Done(answer("whole"))).await;
    assert_eq!(done(store, &key).await, (token, answer("whole")));
    // Who knows that it is done may still take it over.
    let next = started(store, &key, instead_of(token)).await;
    assert!(next.token() > token);
}

pub(crate) async fn a_key_is_forgotten_when_its_time_is_over<DB: Engine>(store: &Store<DB>) {
    let short = BeginOptions {
        lease: Duration::from_millis(1),
        ttl: Duration::from_millis(1),
        instead_of: None,
    };
    for ending in [None, Some(Ending::InDoubt), Some(Ending::Done(answer("x")))] {
        let key = key(format!("short {ending:?}"));
        let attempt = started(store, &key, short).await;
        if let Some(ending) = ending {
            store.settle(&attempt, ending).await.expect("it answers");
        }
        let begun = until(store, &key, |begun| matches!(begun, Begun::Started(_))).await;
        let Begun::Started(next) = begun else {
            unreachable!("that is what was waited for");
        };
        assert!(next.token() > attempt.token());
        for ending in [Ending::NotRun, Ending::Done(answer("late"))] {
            let settled = settle(store, &attempt, ending).await;
            assert_eq!(settled, Settlement::Fenced);
        }
        // Its own time to live, not that of the one before.
        let begun = begin(store, &key, LONG).await;
        assert!(matches!(begun, Begun::InFlight { .. }), "{begun:?}");
    }
}

pub(crate) async fn only_what_is_forgotten_is_pruned<DB: Engine>(store: &Store<DB>) {
    let short = BeginOptions {
        lease: Duration::from_millis(1),
        ttl: Duration::from_millis(1),
        instead_of: None,
    };
    let over = ["a", "b", "c"].map(key);
    for key in &over {
        let _ = started(store, key, short).await;
    }
    let (flying, finished) = (key("flying"), key("finished"));
    let _ = started(store, &flying, LONG).await;
    let attempt = started(store, &finished, LONG).await;
    settle(store, &attempt, Ending::Done(answer("x"))).await;
    let doubtful = key("doubtful");
    let _ = run_out(store, &doubtful).await;

    let mut pruned = 0;
    while pruned < 3 {
        pruned += store.prune().await.expect("it prunes");
    }
    assert_eq!(pruned, 3);
    let begun = begin(store, &flying, LONG).await;
    assert!(matches!(begun, Begun::InFlight { .. }), "{begun:?}");
    let begun = begin(store, &doubtful, LONG).await;
    assert!(matches!(begun, Begun::InDoubt { .. }), "{begun:?}");
    assert_eq!(done(store, &finished).await.1, answer("x"));
    let next = started(store, &over[0], LONG).await;
    assert!(next.token() > attempt.token(), "a token came back");
}

pub(crate) async fn an_attempt_takes_two_round_trips<DB: Engine>(store: &Store<DB>) {
    let key = key("trips");
    let before = store.round_trips();
    let attempt = started(store, &key, LONG).await;
    assert_eq!(store.round_trips() - before, 1);
    settle(store, &attempt, Ending::Done(answer("x"))).await;
    store.abandon(&attempt);
    assert_eq!(store.round_trips() - before, 2);
    let _ = done(store, &key).await;
    let replay = store.round_trips() - before - 2;
    assert_eq!(replay, if DB::NAME == "SQLite" { 2 } else { 1 });
}

pub(crate) async fn keys_that_the_database_cannot_hold_are_errors<DB: Engine>(store: &Store<DB>) {
    for (scope, name) in [("a\0", "k"), ("a", "k\0"), ("a", &*"k".repeat(2048))] {
        let key = RecordKey::new(scope, name);
        let begun = store.begin(&key, &request(), LONG).await;
        assert!(matches!(begun, Err(StoreError::NotApplied(_))), "{begun:?}");
    }
    for name in ["'; DROP TABLE keys; --", "%", "", &*"k".repeat(2044)] {
        let _ = started(store, &key(name), LONG).await;
    }
    // No token of ours.
    let begun = begin(store, &key("%"), instead_of(u64::MAX)).await;
    assert!(matches!(begun, Begun::InFlight { .. }), "{begun:?}");
}

pub(crate) async fn a_healthy_database_is_found_healthy<DB: Engine>(store: &Store<DB>) {
    let before = store.round_trips();
    store.health_check().await.expect("it is healthy");
    assert_eq!(store.round_trips() - before, 1);
}
