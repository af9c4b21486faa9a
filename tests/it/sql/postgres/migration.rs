//! The table: made once by whoever comes first, found by all others, and not by other versions of
//! the library.

use sqlx::Executor;
use tower_conditional::store::Outcome;
use tower_conditional::store::sql::{OpenError, PostgresStore, TableName};

use super::{pool, shared, table};
use crate::sql::shared::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_make_the_table_at_once() {
    let Some(server) = shared() else { return };
    for level in [r"read\ committed", "serializable"] {
        let table = table();
        let tasks: Vec<_> = (0..12)
            .map(|_| {
                let options = server
                    .options()
                    .options([("default_transaction_isolation", level)]);
                let (pool, table) = (pool(options), table.clone());
                tokio::spawn(async move { PostgresStore::open_table(pool, &table).await })
            })
            .collect();
        let mut versions = Vec::new();
        for task in tasks {
            let store = task.await.expect("no panic").expect("it opens");
            versions.push(current(&store, &key("/orders/1")).await);
        }
        versions.dedup();
        assert_eq!(versions.len(), 1, "they share one table");
    }
}

#[tokio::test]
async fn the_migration_may_be_run_again_by_hand_in_a_schema_of_ones_own() {
    let Some(server) = shared() else { return };
    let pool = pool(server.options());
    pool.execute("CREATE SCHEMA \"App\"")
        .await
        .expect("a new schema");
    let table = TableName::new("Orders").unwrap().in_schema("App").unwrap();

    let missing = PostgresStore::attach(pool.clone(), &table).await;
    assert!(matches!(missing, Err(OpenError::Missing)), "{missing:?}");
    let migration = PostgresStore::migration(&table);
    pool.execute(&*migration).await.expect("it can be run");
    let store = PostgresStore::attach(pool.clone(), &table)
        .await
        .expect("it is there");
    let written = write(&store, &key("/orders/1"), Outcome::Written).await;

    pool.execute(&*migration)
        .await
        .expect("it can be run again");
    assert_eq!(current(&store, &key("/orders/1")).await.state, written);
    let rows: i64 = sqlx::query_scalar(r#"SELECT count(*) FROM "App"."Orders""#)
        .fetch_one(&pool)
        .await
        .expect("the table is where it was asked for");
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_table_of_another_version_is_refused_and_left_alone() {
    let Some(server) = shared() else { return };
    let (pool, table) = (pool(server.options()), table());
    let store = PostgresStore::open_table(pool.clone(), &table)
        .await
        .expect("it opens");
    let meta = table.to_string().replace("\"", "") + "_meta";
    let newer = format!("UPDATE {meta} SET schema_version = 2");
    pool.execute(&*newer).await.expect("it can be changed");

    for refused in [
        PostgresStore::open_table(pool.clone(), &table)
            .await
            .map(drop),
        PostgresStore::attach(pool.clone(), &table).await.map(drop),
        store.health_check().await,
    ] {
        let error = refused.expect_err("a newer table");
        assert!(
            matches!(
                error,
                OpenError::SchemaVersion {
                    found: 2,
                    expected: 1
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_table_that_is_made_anew_does_not_start_over() {
    let Some(server) = shared() else { return };
    let (pool, table) = (pool(server.options()), table());
    let store = PostgresStore::open_table(pool.clone(), &table)
        .await
        .expect("it opens");
    let before = version(&write(&store, &key("/orders/1"), Outcome::Written).await);
    let name = table.to_string().replace("\"", "");
    let drops = format!("DROP TABLE {name}, {name}_meta; DROP SEQUENCE {name}_numbers");
    pool.execute(&*drops).await.expect("they can be dropped");
    let store = PostgresStore::open_table(pool, &table)
        .await
        .expect("it opens");
    let after = version(&current(&store, &key("/orders/1")).await.state);
    assert!(after.to_u64() > before.to_u64());
}
