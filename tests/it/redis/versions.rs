//! A tag names one state, stays while that state does, and never comes back.

use std::collections::HashSet;
use std::time::SystemTime;

use tower_conditional::store::StoreError;
use tower_conditional::store::redis::RedisOptions;

use super::server::Server;
use super::*;

#[tokio::test]
async fn an_unseen_resource_has_one_tag_for_all_readers() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let (store, other) = (server.store(), server.store());
    let first = current(&store, &key("/one")).await;
    assert!(
        first.settled && matches!(first.state, State::Unseen(_)),
        "{first:?}"
    );
    assert_eq!(current(&other, &key("/one")).await, first);
    assert_ne!(current(&other, &key("/two")).await.state, first.state);

    let tag = Condition::AnyOf(vec![version(&first.state)]);
    let claimed = other.claim(&key("/one"), &tag, at_once()).await.unwrap();
    assert!(matches!(claimed, Claimed::Granted(_)), "{claimed:?}");
}

#[tokio::test]
async fn no_version_comes_twice_through_deletes_leases_flushes_and_pruning() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let mut seen = HashSet::new();
    let mut fresh = |state: &State| {
        if let Some(current) = state.current() {
            assert!(seen.insert(current.version.clone()), "{state:?} came twice");
        }
    };
    for _ in 0..20 {
        fresh(&current(&store, &key("/one")).await.state);
        fresh(&write(&store, &key("/one")).await);
        let held = claim(&store, &key("/one"), at_once()).await;
        fresh(&settle(&store, held, Outcome::Unknown).await);
        let held = claim(&store, &key("/one"), at_once()).await;
        assert_eq!(settle(&store, held, Outcome::Deleted).await, State::Absent);
        fresh(&write(&store, &key("/one")).await);
        server.ask::<()>("FLUSHALL");
        fresh(&current(&store, &key("/one")).await.state);
        // What the server does with an idle row.
        server.ask::<()>("DEL conditional:row:/one");
    }
    assert_eq!(seen.len(), 20 * 5);
}

#[tokio::test]
async fn unchanged_keeps_the_version_and_every_other_outcome_changes_it() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let written = write(&store, &key("/one")).await;
    assert!(matches!(written, State::Present(_)), "{written:?}");
    let held = claim(&store, &key("/one"), at_once()).await;
    assert_eq!(settle(&store, held, Outcome::Unchanged).await, written);
    for outcome in [Outcome::Written, Outcome::Unknown] {
        let held = claim(&store, &key("/one"), at_once()).await;
        let before = version(held.state());
        assert_ne!(version(&settle(&store, held, outcome).await), before);
    }
    let held = claim(&store, &key("/one"), at_once()).await;
    settle(&store, held, Outcome::Deleted).await;
    let gone = Snapshot::settled(State::Absent);
    assert_eq!(current(&store, &key("/one")).await, gone);
}

#[tokio::test]
async fn a_version_is_dated_by_the_server() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    let before = SystemTime::now();
    let unseen = current(&store, &key("/one")).await.state;
    assert_eq!(unseen.current().unwrap().last_modified, None);
    let written = write(&store, &key("/one")).await;
    let modified = written.current().unwrap().last_modified.unwrap();
    // One machine, one clock; Redis reads it in microseconds.
    assert!(modified + Duration::from_micros(1) >= before && modified <= SystemTime::now());
    assert_eq!(current(&store, &key("/one")).await.state, written);
}

#[tokio::test]
async fn idle_rows_go_by_themselves_but_claimed_ones_stay() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let options = RedisOptions::new().idle(Some(Duration::from_millis(20)));
    let store = server.store_with(options);
    let before = write(&store, &key("/one")).await;
    let held = claim(&store, &key("/held"), at_once()).await;
    while server.ask("EXISTS conditional:row:/one") {
        tokio::task::yield_now().await;
    }
    let after = current(&store, &key("/one")).await.state;
    assert!(matches!(after, State::Unseen(_)), "{after:?}");
    assert_ne!(version(&after), version(&before));

    // Not even a reader cuts its time short.
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!current(&store, &key("/held")).await.settled);
    let left: u128 = server.ask::<u64>("PTTL conditional:row:/held").into();
    assert!(left > LONG.as_millis() / 2, "{left} ms");
    settle(&store, held, Outcome::Written).await;
}

#[tokio::test]
async fn reads_keep_a_row_alive_without_writing_each_time() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = server.store();
    write(&store, &key("/one")).await;
    let written = server.calls("set");
    for _ in 0..10 {
        current(&store, &key("/one")).await;
    }
    assert_eq!(server.calls("set"), written);
    // As if it had been left alone for most of its time.
    server.edit("conditional:row:/one", 7, "1");
    server.ask::<()>("PEXPIRE conditional:row:/one 60000");
    current(&store, &key("/one")).await;
    assert!(server.ask::<i64>("PTTL conditional:row:/one") > 60_000);

    let for_ever = server.store_with(RedisOptions::new().idle(None));
    write(&for_ever, &key("/one")).await;
    assert_eq!(server.ask::<i64>("PTTL conditional:row:/one"), -1);
}

#[tokio::test]
async fn another_layout_is_refused_at_the_start() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let connect = || RedisStore::connect(server.url(), RedisOptions::new());
    connect().await.unwrap();
    connect().await.unwrap();
    server.ask::<()>("SET conditional:schema 2");
    match connect().await {
        Err(StoreError::NotApplied(source)) => {
            assert!(source.to_string().contains("layout 2"), "{source}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_commands_that_the_documentation_lists_are_enough() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    server.ask::<()>(
        "ACL SETUSER shop on >secret ~shop:* -@all +eval +evalsha +get +set +time +info",
    );
    let url = server.url().replace("://", "://shop:secret@");
    for idle in [None, Some(LONG)] {
        let options = RedisOptions::new().prefix("shop").idle(idle);
        let store = RedisStore::connect(url.clone(), options).await.unwrap();
        let written = write(&store, &key("/one")).await;
        assert_eq!(current(&store, &key("/one")).await.state, written);
    }
    let others = RedisStore::connect(url, RedisOptions::new()).await;
    assert!(
        matches!(others, Err(StoreError::NotApplied(_))),
        "{others:?}"
    );
}
