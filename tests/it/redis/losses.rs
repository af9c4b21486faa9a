//! Servers that hang, hang up, restart, fail over, fill up: errors that say what may have happened,
//! in bounded time, and service comes back by itself.

use tower_conditional::store::StoreError;
use tower_conditional::store::redis::RedisOptions;

use super::server::Server;
use super::*;

fn impatient() -> RedisOptions {
    RedisOptions::new()
        .connect_timeout(Duration::from_millis(300))
        .response_timeout(Duration::from_millis(300))
}

/// Far beyond every limit that is set here.
async fn bounded<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, future).await.expect("it hangs")
}

/// Until it works again; only what says that nothing was changed, or that nobody knows, may come
/// between.
async fn until_it_works(store: &RedisStore, key: &ResourceKey) -> Snapshot {
    bounded(async {
        loop {
            if let Ok(snapshot) = store.current(key).await {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_is_not_there_has_changed_nothing_and_is_found_when_it_comes() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    server.kill();
    let store = server.store_with(impatient());
    let claimed = bounded(store.claim(&key("/one"), &Condition::Unconditional, waiting())).await;
    assert!(
        matches!(claimed, Err(StoreError::NotApplied(_))),
        "{claimed:?}"
    );
    assert!(store.health_check().await.is_err());

    assert!(server.start_again());
    until_it_works(&store, &key("/one")).await;
    store.health_check().await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_the_outcome_unknown() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store_with(impatient());
    current(&store, &key("/one")).await;
    server.ask::<()>("CLIENT PAUSE 2000 ALL");
    let claimed = bounded(store.claim(&key("/one"), &Condition::Unconditional, at_once())).await;
    assert!(
        matches!(claimed, Err(StoreError::Unknown(_))),
        "{claimed:?}"
    );
    // The connection was given up, and a new one is not answered either.
    let claimed = bounded(store.claim(&key("/one"), &Condition::Unconditional, at_once())).await;
    assert!(
        matches!(claimed, Err(StoreError::NotApplied(_))),
        "{claimed:?}"
    );
    until_it_works(&store, &key("/two")).await;
}

#[tokio::test]
async fn a_server_that_dies_under_a_request_leaves_the_outcome_unknown() {
    let Some(mut server) = Server::start(&[]) else {
        return;
    };
    let store = server.store_with(RedisOptions::new().response_timeout(LONG));
    let held = claim(&store, &key("/one"), at_once()).await;
    server.ask::<()>("CLIENT PAUSE 600000 ALL");
    let asked = store.round_trips();
    let settling = tokio::spawn({
        let store = store.clone();
        async move { store.settle(held, Outcome::Written).await }
    });
    while store.round_trips() == asked {
        tokio::task::yield_now().await;
    }
    server.kill();
    let settled = bounded(settling).await.unwrap();
    assert!(
        matches!(settled, Err(StoreError::Unknown(_))),
        "{settled:?}"
    );
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced_before_it_is_used() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    current(&store, &key("/one")).await;
    for _ in 0..5 {
        server.ask::<u32>("CLIENT KILL TYPE normal SKIPME yes");
        // The driver hears of it when it is next polled, which this does.
        tokio::time::sleep(Duration::from_millis(50)).await;
        current(&store, &key("/one")).await;
    }
}

#[tokio::test]
async fn a_full_server_refuses_and_has_changed_nothing() {
    let Some(server) = Server::start(&["--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let store = server.store();
    let before = write(&store, &key("/one")).await;
    server.ask::<()>("CONFIG SET maxmemory 1");
    let claimed = store.claim(&key("/one"), &Condition::Unconditional, at_once());
    let claimed = claimed.await;
    assert!(
        matches!(claimed, Err(StoreError::NotApplied(_))),
        "{claimed:?}"
    );
    server.ask::<()>("CONFIG SET maxmemory 0");
    assert_eq!(
        current(&store, &key("/one")).await,
        Snapshot::settled(before)
    );
}

#[tokio::test]
async fn a_restart_keeps_claims_and_changes_every_version() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = Server::start(&durable) else {
        return;
    };
    let store = server.store();
    let before = write(&store, &key("/one")).await;
    let held = claim(&store, &key("/held"), at_once()).await;
    server.kill();
    assert!(server.start_again());

    let after = until_it_works(&store, &key("/one")).await;
    assert!(after.settled);
    // It might have lost later writes: nobody can rely on the old one.
    assert_ne!(version(&after.state), version(&before));
    assert_eq!(current(&store, &key("/one")).await, after);
    let stale = Condition::AnyOf(vec![version(&before)]);
    let claimed = store.claim(&key("/one"), &stale, at_once()).await.unwrap();
    assert!(matches!(claimed, Claimed::Failed(_)), "{claimed:?}");

    assert!(!current(&store, &key("/held")).await.settled);
    let base = version(held.state());
    let settled = settle(&store, held, Outcome::Unchanged).await;
    assert_ne!(
        version(&settled),
        base,
        "what was there before the restart is in doubt"
    );
}

#[tokio::test]
async fn a_replica_refuses_and_after_its_promotion_no_old_version_is_current() {
    let Some(mut primary) = Server::start(&[]) else {
        return;
    };
    let following = format!("127.0.0.1 {}", primary.port);
    let replica = Server::start(&["--replicaof", &following, "--repl-diskless-sync-delay", "0"]);
    let (Some(replica), store) = (replica, primary.store()) else {
        return;
    };
    let before = write(&store, &key("/one")).await;
    let arrived = || -> Option<String> { replica.ask("GET conditional:row:/one") };
    let here = version(&before).to_string();
    while arrived().is_none_or(|arrived| !arrived.contains(&here)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let promoted = replica.store();
    // Not even a read: what a replica has may be old.
    let read = promoted.current(&key("/one")).await;
    assert!(matches!(read, Err(StoreError::NotApplied(_))), "{read:?}");

    replica.ask::<()>("REPLICAOF NO ONE");
    // Acknowledged, and lost: the new primary has never heard of it.
    let lost = write(&store, &key("/one")).await;
    primary.kill();
    let after = until_it_works(&promoted, &key("/one")).await;
    assert_ne!(version(&after.state), version(&before));
    assert_ne!(version(&after.state), version(&lost));
    assert_eq!(current(&promoted, &key("/one")).await, after);
}

#[tokio::test]
async fn a_promotion_is_noticed_on_a_connection_that_survives_it() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let before = write(&store, &key("/one")).await;
    // Down and up again between two requests: the id changes, the connection does not.
    server.ask::<()>("REPLICAOF 127.0.0.1 1");
    server.ask::<()>("REPLICAOF NO ONE");
    let asked = store.round_trips();
    let after = bounded(async {
        loop {
            let now = current(&store, &key("/one")).await;
            if now.state != before {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(after.settled);
    assert!(store.round_trips() > asked);
}

#[tokio::test]
async fn a_server_that_was_demoted_is_not_even_read_from() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    write(&store, &key("/one")).await;
    current(&store, &key("/one")).await;
    // It would answer a plain read, with what it had.
    server.ask::<()>("REPLICAOF 127.0.0.1 1");
    let read = store.current(&key("/one")).await;
    assert!(matches!(read, Err(StoreError::NotApplied(_))), "{read:?}");
}
