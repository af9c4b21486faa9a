//! SQLite: the promises on a file, and what is its own.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use sqlx::{Executor, Sqlite};
use tower_conditional::idempotency::sql::SqliteIdempotencyStore;
use tower_conditional::idempotency::{Ending, IdempotencyStore};
use tower_conditional::store::StoreError;
use tower_conditional::store::sql::{OpenError, SqliteStore, TableName};

use super::shop::{self, Shop};
use super::*;
use crate::sql::sqlite::{options_of, pool, target};
use crate::support::folder::Folder;

struct Fixture {
    store: SqliteIdempotencyStore,
    _folder: Folder,
}

async fn fixture() -> Option<Fixture> {
    let folder = Folder::new();
    Some(Fixture {
        store: open(pool(folder.path())).await,
        _folder: folder,
    })
}

async fn open(pool: SqlitePool) -> SqliteIdempotencyStore {
    let store = SqliteIdempotencyStore::open(pool).await;
    store.expect("it opens")
}

pub(super) async fn shop(folder: &Path) -> Shop<Sqlite> {
    let pool = pool(folder);
    Shop::open(pool.clone(), open(pool).await, "sales".to_owned()).await
}

mod promises {
    crate::sql::keys::promises::keeps_its_promises!(super::fixture);
}

#[tokio::test]
async fn a_sale_and_its_record_are_there_together() {
    let folder = Folder::new();
    shop::a_sale_and_its_record_are_there_together(shop(folder.path()).await).await;
}

#[tokio::test]
async fn a_sale_that_is_rolled_back_leaves_no_record() {
    let folder = Folder::new();
    shop::a_sale_that_is_rolled_back_leaves_no_record(shop(folder.path()).await).await;
}

#[tokio::test]
async fn a_sale_whose_key_was_taken_over_is_not_made() {
    let folder = Folder::new();
    shop::a_sale_whose_key_was_taken_over_is_not_made(shop(folder.path()).await).await;
}

#[tokio::test]
async fn who_saw_the_doubt_does_not_repeat_what_was_committed() {
    let folder = Folder::new();
    shop::who_saw_the_doubt_does_not_repeat_what_was_committed(shop(folder.path()).await).await;
}

#[tokio::test]
async fn a_sale_that_was_committed_before_a_kill_is_not_made_again() {
    let folder = Folder::new();
    let shop = shop(folder.path()).await;
    worker::a_sale_that_was_committed_before_a_kill_is_not_made_again(target(&folder), shop).await;
}

#[tokio::test]
async fn a_sale_that_a_kill_prevented_is_made_by_the_retry() {
    let folder = Folder::new();
    let shop = shop(folder.path()).await;
    worker::a_sale_that_a_kill_prevented_is_made_by_the_retry(target(&folder), shop).await;
}

#[tokio::test]
async fn of_many_processes_one_starts() {
    let folder = Folder::new();
    worker::of_many_processes_one_starts(target(&folder), &folder.path().join("go")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_make_the_table_at_once_beside_that_of_versions() {
    let folder = Folder::new();
    let versions = SqliteStore::open(pool(folder.path())).await;
    versions.expect("it opens");
    let tasks: Vec<_> = (0..8)
        .map(|_| tokio::spawn(open(pool(folder.path()))))
        .collect();
    let mut starts = 0;
    for task in tasks {
        let store = task.await.expect("no panic");
        let begun = begin(&store, &key("k"), LONG).await;
        starts += usize::from(matches!(begun, Begun::Started(_)));
    }
    assert_eq!(starts, 1, "they share one table");
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
    let table = TableName::new("Keys").unwrap().in_schema("App").unwrap();

    let missing = SqliteIdempotencyStore::attach(pool.clone(), &table).await;
    assert!(matches!(missing, Err(OpenError::Missing)), "{missing:?}");
    let migration = SqliteIdempotencyStore::migration(&table);
    pool.execute(&*migration).await.expect("it can be run");
    let store = SqliteIdempotencyStore::attach(pool.clone(), &table)
        .await
        .expect("it is there");
    let attempt = started(&store, &key("k"), LONG).await;
    settle(&store, &attempt, Ending::Done(answer("x"))).await;

    pool.execute(&*migration)
        .await
        .expect("it can be run again");
    assert_eq!(done(&store, &key("k")).await.1, answer("x"));
    assert_eq!(store.prune().await.expect("it prunes"), 0);

    let newer = r#"UPDATE "App"."Keys_meta" SET schema_version = 2"#;
    pool.execute(newer).await.expect("it can be changed");
    let refused = SqliteIdempotencyStore::open_table(pool, &table).await;
    assert!(
        matches!(refused, Err(OpenError::SchemaVersion { found: 2, .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_file_that_somebody_else_keeps_locked_applies_nothing() {
    let folder = Folder::new();
    let store = open(pool(folder.path())).await;
    let attempt = started(&store, &key("k"), LONG).await;
    let options = options_of(folder.path()).busy_timeout(Duration::from_millis(20));
    let pool = SqlitePoolOptions::new().connect_lazy_with(options);
    let impatient = open(pool.clone()).await;

    let mut lock = pool.acquire().await.expect("there is a connection");
    let begin = lock.execute("BEGIN IMMEDIATE").await;
    begin.expect("nobody else writes");
    let begun = impatient.begin(&key("other"), &request(), LONG).await;
    assert!(matches!(begun, Err(StoreError::NotApplied(_))), "{begun:?}");
    let ending = Ending::Done(answer("x"));
    let settled = impatient.settle(&attempt, ending.clone()).await;
    assert!(
        matches!(settled, Err(StoreError::NotApplied(_))),
        "{settled:?}"
    );
    lock.execute("ROLLBACK").await.expect("it is open");
    assert_eq!(settle(&impatient, &attempt, ending).await, Settlement::Done);
}

#[cfg(feature = "testing")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_an_idempotency_store_is_kept() {
    let folder = Folder::new();
    let suite = async || open(pool(folder.path())).await;
    tower_conditional::testing::assert_idempotency_store(suite).await;
}

#[tokio::test]
async fn a_pool_that_is_closed_applies_nothing() {
    let folder = Folder::new();
    let pool = pool(folder.path());
    let store = open(pool.clone()).await;
    let attempt = started(&store, &key("k"), LONG).await;
    pool.close().await;
    let begun = store.begin(&key("k"), &request(), LONG).await;
    assert!(matches!(begun, Err(StoreError::NotApplied(_))), "{begun:?}");
    let settled = store.settle(&attempt, Ending::NotRun).await;
    assert!(
        matches!(settled, Err(StoreError::NotApplied(_))),
        "{settled:?}"
    );
}
