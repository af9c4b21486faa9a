//! SQLite: the promises on a file, and what is its own.

use std::path::Path;
use std::time::Duration;

use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use tower_conditional::store::sql::{OpenError, SqliteStore, TableName};
use tower_conditional::store::{
    ClaimStore, Claimed, Condition, Outcome, Settled, StoreError, VersionStore,
};

use super::shared::*;
use super::worker;
use crate::support::folder::Folder;

struct Fixture {
    store: SqliteStore,
    folder: Folder,
}

pub(super) fn pool(folder: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(8)
        .connect_lazy_with(options_of(folder))
}

pub(super) fn options_of(folder: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(folder.join("test.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(30))
}

async fn fixture() -> Option<Fixture> {
    let folder = Folder::new();
    let store = SqliteStore::open(pool(folder.path())).await;
    Some(Fixture {
        store: store.expect("a new file can be opened"),
        folder,
    })
}

mod promises {
    crate::sql::promises::keeps_its_promises!(super::fixture);
}

#[tokio::test]
async fn a_claim_of_a_killed_process_is_free_within_its_lease() {
    let folder = Folder::new();
    let target = target(&folder);
    worker::a_claim_of_a_killed_process_is_free_within_its_lease(target).await;
}

#[tokio::test]
async fn killed_writers_lose_no_update() {
    let folder = Folder::new();
    let data = folder.path().join("counter");
    worker::killed_writers_lose_no_update(target(&folder), &data).await;
}

pub(super) fn target(folder: &Folder) -> worker::Target {
    worker::Target::Sqlite {
        folder: folder.path().to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_make_the_table_at_once() {
    let folder = Folder::new();
    let tasks: Vec<_> = (0..8)
        .map(|_| tokio::spawn(SqliteStore::open(pool(folder.path()))))
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        let store = task.await.expect("no panic").expect("it opens");
        versions.push(current(&store, &key("/orders/1")).await);
    }
    versions.dedup();
    assert_eq!(versions.len(), 1, "they share one table");
}

#[tokio::test]
async fn the_migration_may_be_run_again_by_hand_in_an_attached_database() {
    let folder = Folder::new();
    let other = folder.path().join("other.db").display().to_string();
    let pool = SqlitePoolOptions::new()
        .max_connections(2)
        .after_connect(move |connection, _| {
            let attach = format!("ATTACH '{other}' AS \"App\"");
            Box::pin(async move { connection.execute(&*attach).await.map(drop) })
        })
        .connect_lazy_with(options_of(folder.path()));
    let table = TableName::new("Orders").unwrap().in_schema("App").unwrap();

    let missing = SqliteStore::attach(pool.clone(), &table).await;
    assert!(matches!(missing, Err(OpenError::Missing)), "{missing:?}");
    let migration = SqliteStore::migration(&table);
    pool.execute(&*migration).await.expect("it can be run");
    let store = SqliteStore::attach(pool.clone(), &table)
        .await
        .expect("it is there");
    let order = key("/orders/1");
    let written = write(&store, &order, Outcome::Written).await;

    pool.execute(&*migration)
        .await
        .expect("it can be run again");
    assert_eq!(current(&store, &order).await.state, written);
    store.prune(Duration::ZERO).await.expect("it prunes");
    assert_ne!(current(&store, &order).await.state, written);

    let newer = r#"UPDATE "App"."Orders_meta" SET schema_version = 2"#;
    pool.execute(newer).await.expect("it can be changed");
    let refused = SqliteStore::open_table(pool, &table).await;
    assert!(
        matches!(
            refused,
            Err(OpenError::SchemaVersion {
                found: 2,
                expected: 1
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn rows_that_are_deleted_by_hand_bring_no_version_back() {
    let fixture = fixture().await.expect("SQLite is built in");
    let order = key("/orders/1");
    let unseen = current(&fixture.store, &order).await.state;
    let written = write(&fixture.store, &order, Outcome::Written).await;
    let pool = pool(fixture.folder.path());
    pool.execute("DELETE FROM conditional_versions")
        .await
        .expect("it can be deleted");
    let after = current(&fixture.store, &order).await.state;
    assert!(![version(&unseen), version(&written)].contains(&version(&after)));
}

#[tokio::test]
async fn a_file_that_somebody_else_keeps_locked_applies_nothing() {
    let fixture = fixture().await.expect("SQLite is built in");
    let order = key("/orders/1");
    let held = claim(&fixture.store, &order, AT_ONCE).await;
    let options = options_of(fixture.folder.path()).busy_timeout(Duration::from_millis(20));
    let pool = SqlitePoolOptions::new().connect_lazy_with(options);
    let impatient = SqliteStore::open(pool.clone()).await.expect("it opens");

    let mut lock = pool.acquire().await.expect("there is a connection");
    lock.execute("BEGIN IMMEDIATE")
        .await
        .expect("nobody else writes");
    let claimed = try_claim(
        &impatient,
        &key("/orders/2"),
        &Condition::Unconditional,
        AT_ONCE,
    )
    .await;
    assert!(matches!(claimed, Claimed::Busy { .. }), "{claimed:?}");
    let settled = impatient.settle(held.clone(), Outcome::Written).await;
    assert!(
        matches!(settled, Err(StoreError::NotApplied(_))),
        "{settled:?}"
    );
    // Readers do not wait for a writer.
    assert!(!current(&impatient, &order).await.settled);
    lock.execute("ROLLBACK").await.expect("it is open");
    let settled = settle(&impatient, held, Outcome::Written).await;
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
}

#[tokio::test]
async fn a_pool_that_is_exhausted_or_closed_applies_nothing() {
    let folder = Folder::new();
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(20))
        .connect_lazy_with(options_of(folder.path()));
    let store = SqliteStore::open(pool.clone()).await.expect("it opens");
    let taken = pool.acquire().await.expect("there is one");
    let read = store.current(&key("/orders/1")).await;
    assert!(matches!(read, Err(StoreError::NotApplied(_))), "{read:?}");
    drop(taken);
    pool.close().await;
    let claimed = store
        .claim(&key("/orders/1"), &Condition::Unconditional, AT_ONCE)
        .await;
    assert!(
        matches!(claimed, Err(StoreError::NotApplied(_))),
        "{claimed:?}"
    );
}

#[cfg(feature = "testing")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_a_claim_store_is_kept() {
    let folder = Folder::new();
    let open = async || {
        let store = SqliteStore::open(pool(folder.path())).await;
        store.expect("it opens")
    };
    let closed = async || {
        let pool = pool(folder.path());
        let store = SqliteStore::open(pool.clone()).await.expect("it opens");
        pool.close().await;
        store
    };
    let suite = tower_conditional::testing::ClaimStoreSuite::new(open).failing(closed);
    suite.run().await.assert_passed();
}
