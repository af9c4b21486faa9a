//! One holder at a time, conditions in the same step, leases by the clock of the server.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::Barrier;
use tower_conditional::store::redis::RedisOptions;

use super::server::Server;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_simultaneous_claimers_exactly_one_is_granted() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let stores: Vec<_> = (0..4).map(|_| server.store()).collect();
    let tag = version(&current(&stores[0], &key("/one")).await.state);
    let start = Arc::new(Barrier::new(64));
    let claimers: Vec<_> = (0..64)
        .map(|n| {
            let (store, start, tag) = (stores[n % 4].clone(), Arc::clone(&start), tag.clone());
            tokio::spawn(async move {
                start.wait().await;
                let condition = Condition::AnyOf(vec![tag]);
                store.claim(&key("/one"), &condition, at_once()).await
            })
        })
        .collect();
    let (mut granted, mut busy) = (Vec::new(), 0);
    for claimer in claimers {
        match claimer.await.unwrap().unwrap() {
            Claimed::Granted(claim) => granted.push(claim),
            // Nobody settles: whoever is not granted met the holder, so that all of them raced.
            Claimed::Busy { .. } => busy += 1,
            Claimed::Failed(state) => panic!("failed in {state:?}"),
        }
    }
    assert_eq!((granted.len(), busy), (1, 63));
}

#[tokio::test]
async fn conditions_hold_as_the_core_says() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let other = Version::from(5);
    for (name, outcome) in [
        ("/present", Some(Outcome::Written)),
        ("/absent", Some(Outcome::Deleted)),
        ("/unseen", None),
    ] {
        let key = key(name);
        // The version that a tombstone has inside must not be matched either.
        if let Some(outcome) = outcome {
            let claim = claim(&store, &key, at_once()).await;
            settle(&store, claim, outcome).await;
        }
        let state = current(&store, &key).await.state;
        let row: String = server.ask(&format!("GET conditional:row:{name}"));
        let inner = row.split(' ').nth(2).unwrap();
        let mine = Version::new(inner).unwrap();
        for condition in [
            Condition::Absent,
            Condition::Exists,
            Condition::Unconditional,
            Condition::AnyOf(vec![]),
            Condition::AnyOf(vec![other.clone()]),
            Condition::AnyOf(vec![other.clone(), mine.clone()]),
            Condition::NoneOf(vec![]),
            Condition::NoneOf(vec![other.clone()]),
            Condition::NoneOf(vec![other.clone(), mine.clone()]),
        ] {
            let claimed = store.claim(&key, &condition, at_once()).await.unwrap();
            let expected = condition.may_hold(&state);
            match claimed {
                Claimed::Granted(claim) => {
                    assert!(expected, "{condition:?} was granted in {state:?}");
                    assert_eq!(*claim.state(), state);
                    settle(&store, claim, Outcome::Unchanged).await;
                }
                Claimed::Failed(now) => {
                    assert!(!expected, "{condition:?} failed in {state:?}");
                    assert_eq!(now, state);
                }
                Claimed::Busy { .. } => panic!("nobody holds {name}"),
            }
        }
    }
}

#[tokio::test]
async fn a_claim_that_is_held_is_busy_and_says_what_its_holder_does() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let delete = ClaimOptions {
        intent: Intent::Delete,
        ..at_once()
    };
    let held = claim(&store, &key("/one"), delete).await;
    assert!(!current(&store, &key("/one")).await.settled);
    let stale = Condition::AnyOf(vec![Version::from(5)]);
    // Before it is settled nobody knows whether the condition will hold.
    match store.claim(&key("/one"), &stale, at_once()).await.unwrap() {
        Claimed::Busy {
            retry_after,
            holder,
        } => {
            assert_eq!(holder, Intent::Delete);
            assert_eq!(retry_after, Duration::from_secs(1));
        }
        other => panic!("{other:?}"),
    }
    write(&store, &key("/two")).await;
    settle(&store, held, Outcome::Deleted).await;
    assert!(current(&store, &key("/one")).await.settled);
}

#[tokio::test]
async fn a_waiter_is_granted_when_the_holder_settles() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let (store, other) = (server.store(), server.store());
    let held = claim(&store, &key("/one"), at_once()).await;
    let waiter = tokio::spawn(async move { claim(&other, &key("/one"), waiting()).await });
    // Until it was refused at least once, it is not waiting.
    while server.calls("evalsha") + server.calls("eval") < 3 {
        tokio::task::yield_now().await;
    }
    assert!(!waiter.is_finished());
    let state = settle(&store, held, Outcome::Written).await;
    assert_eq!(*waiter.await.unwrap().state(), state);
}

#[tokio::test]
async fn a_waiter_gives_up_at_its_limit() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let _held = claim(&store, &key("/one"), at_once()).await;
    let before = store.round_trips();
    let short = ClaimOptions {
        wait: Duration::from_millis(20),
        ..at_once()
    };
    let claimed = store.claim(&key("/one"), &Condition::Unconditional, short);
    assert!(matches!(claimed.await.unwrap(), Claimed::Busy { .. }));
    assert!(store.round_trips() > before + 1, "it did not wait");
}

#[tokio::test]
async fn a_lease_that_ends_bumps_and_fences_the_late_holder() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let (store, other) = (server.store(), server.store());
    let before = write(&store, &key("/one")).await;
    let short = ClaimOptions {
        lease: Duration::from_millis(30),
        ..at_once()
    };
    let late = claim(&store, &key("/one"), short).await;
    assert_eq!(*late.state(), before);
    assert!(late.lease().unwrap() <= short.lease);

    let next = claim(&other, &key("/one"), waiting()).await;
    assert!(matches!(next.state(), State::Unseen(_)), "{next:?}");
    assert_ne!(version(next.state()), version(&before));
    assert!(next.token() > late.token());

    let settled = store.settle(late, Outcome::Written).await.unwrap();
    assert!(matches!(settled, Settled::Fenced(_)), "{settled:?}");
    assert!(
        !current(&store, &key("/one")).await.settled,
        "it ended another's claim"
    );
    settle(&other, next, Outcome::Written).await;
}

#[tokio::test]
async fn an_abandoned_claim_bumps_for_readers_too() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let before = write(&store, &key("/one")).await;
    let short = ClaimOptions {
        lease: Duration::from_millis(100),
        ..at_once()
    };
    store.abandon(claim(&store, &key("/one"), short).await);
    let mut seen = current(&store, &key("/one")).await;
    assert!(!seen.settled, "it was given up before its lease was over");
    while !seen.settled {
        seen = current(&store, &key("/one")).await;
    }
    assert_ne!(version(&seen.state), version(&before));
    assert_eq!(current(&store, &key("/one")).await, seen);
}

#[tokio::test]
async fn a_holder_can_settle_only_once() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    for first in [Outcome::Unchanged, Outcome::Deleted, Outcome::Written] {
        let held = claim(&store, &key("/one"), at_once()).await;
        let again = held.clone();
        let state = settle(&store, held, first).await;
        let settled = store.settle(again, Outcome::Written).await.unwrap();
        assert_eq!(settled, Settled::Fenced(state), "after {first:?}");
    }
}

#[tokio::test]
async fn a_holder_cannot_settle_the_claim_of_the_next() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let gone = claim(&store, &key("/gone"), at_once()).await;
    settle(&store, gone, Outcome::Deleted).await;
    // Neither changes anything, so that only the token tells the claims apart.
    for name in ["/gone", "/unseen"] {
        let held = claim(&store, &key(name), at_once()).await;
        let again = held.clone();
        settle(&store, held, Outcome::Unchanged).await;
        let next = claim(&store, &key(name), at_once()).await;
        let settled = store.settle(again, Outcome::Written).await.unwrap();
        assert!(matches!(settled, Settled::Fenced(_)), "{settled:?}");
        settle(&store, next, Outcome::Unchanged).await;
    }
}

#[tokio::test]
async fn a_read_a_claim_and_a_settle_take_one_round_trip_each() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    write(&store, &key("/warm")).await;
    current(&store, &key("/warm")).await;

    let (asked, ran) = (store.round_trips(), server.calls("evalsha"));
    let commands = |server: &Server| server.calls("eval") + server.calls("script|load");
    let other = commands(&server);
    write(&store, &key("/one")).await;
    assert_eq!(store.round_trips() - asked, 2);
    assert_eq!(server.calls("evalsha") - ran, 2);
    current(&store, &key("/one")).await;
    assert_eq!(store.round_trips() - asked, 3);
    assert_eq!(server.calls("evalsha") - ran, 3);
    assert_eq!(commands(&server), other);
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_once() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    current(&store, &key("/one")).await;
    server.ask::<()>("SCRIPT FLUSH");
    let asked = store.round_trips();
    current(&store, &key("/one")).await;
    assert_eq!(store.round_trips() - asked, 2);
    current(&store, &key("/one")).await;
    assert_eq!(store.round_trips() - asked, 3);
}

#[tokio::test]
async fn tokens_rise_when_the_row_was_lost() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store_with(RedisOptions::new().prefix("shop"));
    let mut tokens = Vec::new();
    for _ in 0..5 {
        let held = claim(&store, &key("/one"), at_once()).await;
        tokens.push(held.token());
        server.ask::<()>("FLUSHALL");
        let settled = store.settle(held, Outcome::Written).await.unwrap();
        assert!(matches!(settled, Settled::Fenced(_)), "{settled:?}");
    }
    assert!(tokens.is_sorted(), "{tokens:?}");
    assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), 5);
}

#[tokio::test]
async fn a_token_that_is_granted_twice_still_fences() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let late = claim(&store, &key("/one"), at_once()).await;
    // The server loses the claim, and its clock goes back to the very microsecond.
    server.ask::<()>("FLUSHALL");
    let _next = claim(&store, &key("/one"), at_once()).await;
    server.edit("conditional:row:/one", 4, &late.token().to_string());
    let settled = store.settle(late, Outcome::Written).await.unwrap();
    assert!(matches!(settled, Settled::Fenced(_)), "{settled:?}");
}
