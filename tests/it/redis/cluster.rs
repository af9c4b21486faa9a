//! All that belongs to one resource lies in one slot, whatever its key looks like.

use super::server::Server;
use super::*;

#[tokio::test]
async fn keys_with_braces_work_on_a_cluster_and_stay_apart() {
    let Some(server) = Server::start(&["--cluster-enabled", "yes"]) else {
        return;
    };
    server.ask::<()>("CLUSTER ADDSLOTSRANGE 0 16383");
    while !server
        .ask::<String>("CLUSTER INFO")
        .contains("cluster_state:ok")
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
