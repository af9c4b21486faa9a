//! All that belongs to one resource lies in one slot, whatever its key looks like.

use super::server::Server;
use super::*;

async fn until_formed(server: &Server) {
    while !server
        .ask::<String>("CLUSTER INFO")
        .contains("cluster_state:ok")
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn keys_with_braces_work_on_a_cluster_and_stay_apart() {
    let Some(server) = Server::start(&["--cluster-enabled", "yes"]) else {
        return;
    };
    server.ask::<()>("CLUSTER ADDSLOTSRANGE 0 16383");
    until_formed(&server).await;
    let store = server.store();
    let mut expected = vec!["conditional:schema".to_owned()];
    for name in [
        "/plain",
        "/a{b}c",
        "/{}",
        "/}{",
        "/{{a}}",
        "/{a",
        "/\u{e9}\0\n",
        "",
    ] {
        let key = key(name);
        let written = write(&store, &key).await;
        assert_eq!(current(&store, &key).await, Snapshot::settled(written));
        let stale = Condition::AnyOf(vec![Version::from(5)]);
        let claimed = store.claim(&key, &stale, at_once()).await.unwrap();
        assert!(matches!(claimed, Claimed::Failed(_)), "{claimed:?}");
        expected.push(format!("conditional:row:{name}"));
    }
    // One key for each resource: it cannot lie in two slots.
    let mut keys: Vec<String> = server.ask("KEYS *");
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
}

#[cfg(feature = "redis-cluster")]
#[tokio::test]
async fn a_cluster_is_followed_to_the_server_that_has_the_slot() {
    use tower_conditional::store::redis::RedisOptions;

    let start = || Server::start(&["--cluster-enabled", "yes"]);
    let (Some(one), Some(two)) = (start(), start()) else {
        return;
    };
    one.ask::<()>("CLUSTER ADDSLOTSRANGE 0 8191");
    two.ask::<()>("CLUSTER ADDSLOTSRANGE 8192 16383");
    one.ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {}", two.port));
    until_formed(&one).await;
    until_formed(&two).await;

    let store = RedisStore::cluster([one.url()], RedisOptions::new()).unwrap();
    store.health_check().await.unwrap();
    for n in 0..20 {
        let key = key(&format!("/{n}"));
        let written = write(&store, &key).await;
        let again = Snapshot::settled(written);
        assert_eq!(current(&store, &key).await, again);
    }
    for server in [&one, &two] {
        let replication: String = server.ask("INFO replication");
        let rows: Vec<String> = server.ask("KEYS conditional:row:*");
        assert!(!rows.is_empty(), "one server has them all");
        for row in rows {
            // That of its own server, or else a failover of that one would go unnoticed.
            let words: String = server.ask(&format!("GET {row}"));
            let era = words.split(' ').next().unwrap();
            assert!(
                replication.contains(&format!("master_replid:{era}")),
                "{row}"
            );
        }
    }

    // One script, one row, one round trip: also when the server is not the first one asked.
    let asked = store.round_trips();
    write(&store, &key("/19")).await;
    assert_eq!(store.round_trips() - asked, 2);
}
