//! What may have happened is told apart from what did not, nothing panics, and service comes back
//! by itself.

use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection, Executor};
use tower_conditional::store::sql::{OpenError, PostgresStore, TableName};
use tower_conditional::store::{
    ClaimStore, Claimed, Condition, Outcome, Settled, Snapshot, State, StoreError, VersionStore,
};

use super::{pool, shared, table};
use crate::sql::shared::*;
use crate::support::postgres::{Server, options as server_options, own};

/// Ends the connection that a statement on `table` is stuck on.
pub(in crate::sql) async fn terminate_stuck(admin: &PgPool, table: &TableName, event: &str) {
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND query LIKE $1 AND (wait_event_type = $2 OR wait_event = $2)";
    loop {
        let ended: i64 = sqlx::query_scalar(terminate)
            .bind(format!("%{table}%"))
            .bind(event)
            .fetch_one(admin)
            .await
            .expect("the server is there");
        if ended > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Until a statement on `table` waits for a lock.
async fn until_stuck(admin: &PgPool, table: &TableName) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND query LIKE $1 AND wait_event_type = 'Lock'";
    loop {
        let stuck: i64 = sqlx::query_scalar(waiting)
            .bind(format!("%{table}%"))
            .fetch_one(admin)
            .await
            .expect("the server is there");
        if stuck > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// From now on commits wait for a replica that never comes; those that are `local` do not.
pub(in crate::sql) async fn let_commits_wait(server: &Server, admin: &PgPool) {
    for statement in [
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
        "SELECT pg_reload_conf()",
    ] {
        admin.execute(statement).await.expect("a superuser may");
    }
    // The server hears of it some time later.
    loop {
        let probe = sqlx::PgConnection::connect_with(&server.options()).await;
        let mut probe = probe.expect("the server is there");
        let probe = tokio::spawn(async move {
            let write = "CREATE TABLE probe (); DROP TABLE probe";
            probe.execute(write).await.map(drop)
        });
        while !probe.is_finished() {
            let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE query LIKE 'CREATE TABLE probe%' AND wait_event = 'SyncRep'";
            let ended: i64 = sqlx::query_scalar(terminate)
                .fetch_one(admin)
                .await
                .expect("the server is there");
            if ended > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn lock_row(admin: &PgPool, table: &TableName) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut transaction = admin.begin().await.expect("the server is there");
    let lock = format!("SELECT key FROM {table} FOR UPDATE");
    let rows = transaction.fetch_all(&*lock).await.expect("it locks");
    assert_eq!(rows.len(), 1);
    transaction
}

async fn store_on(server: &Server) -> (PostgresStore, PgPool, TableName) {
    let (admin, table) = (pool(server.options()), table());
    let store = PostgresStore::open_table(pool(server.options()), &table).await;
    (store.expect("it opens"), admin, table)
}

#[tokio::test]
async fn a_connection_lost_in_a_claim_leaves_it_unknown() {
    let Some(server) = shared() else { return };
    let (store, admin, table) = store_on(server).await;
    let order = key("/orders/1");
    let written = write(&store, &order, Outcome::Written).await;

    let lock = lock_row(&admin, &table).await;
    let claim = store.claim(&order, &Condition::Unconditional, AT_ONCE);
    let claim = tokio::spawn(claim);
    terminate_stuck(&admin, &table, "Lock").await;
    let claimed = claim.await.expect("it does not panic");
    assert!(
        matches!(claimed, Err(StoreError::Unknown(_))),
        "{claimed:?}"
    );
    lock.rollback().await.expect("the server is there");

    // The pool connects again by itself.
    assert_eq!(current(&store, &order).await, Snapshot::settled(written));
    write(&store, &order, Outcome::Written).await;
}

#[tokio::test]
async fn a_settle_whose_connection_is_lost_is_tried_again() {
    let Some(server) = shared() else { return };
    let (store, admin, table) = store_on(server).await;
    let claim = claim(&store, &key("/orders/1"), AT_ONCE).await;

    let lock = lock_row(&admin, &table).await;
    let settle = tokio::spawn(store.settle(claim, Outcome::Written));
    terminate_stuck(&admin, &table, "Lock").await;
    lock.rollback().await.expect("the server is there");
    let settled = settle
        .await
        .expect("it does not panic")
        .expect("it is tried again");
    assert!(
        matches!(settled, Settled::Done(State::Present(_))),
        "{settled:?}"
    );
}

/// The server commits, waits for a replica that never comes, and is cut off before it answers.
#[tokio::test]
async fn a_settle_whose_answer_is_lost_is_known_to_have_happened() {
    let Some(server) = own() else { return };
    let local = server.options().options([("synchronous_commit", "local")]);
    let (admin, table) = (pool(local.clone()), table());
    let store = PostgresStore::open_table(pool(local), &table)
        .await
        .expect("it opens");
    let_commits_wait(&server, &admin).await;
    let remote = PostgresStore::attach(pool(server.options()), &table)
        .await
        .expect("it opens");

    for outcome in [Outcome::Written, Outcome::Deleted, Outcome::Unchanged] {
        let order = key("/orders/1");
        let claim = claim(&store, &order, PATIENT).await;
        let settle = tokio::spawn(remote.settle(claim, outcome));
        terminate_stuck(&admin, &table, "SyncRep").await;
        let settled = settle
            .await
            .expect("it does not panic")
            .expect("it asks again");
        let now = current(&store, &order).await;
        assert!(now.settled);
        if outcome == Outcome::Unchanged {
            assert_eq!(now.state, State::Absent);
        }
        assert_eq!(settled, Settled::Done(now.state), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_unknown() {
    let Some(server) = shared() else { return };
    let (store, admin, table) = store_on(server).await;
    let order = key("/orders/1");
    write(&store, &order, Outcome::Written).await;
    let hasty = store
        .clone()
        .with_statement_limit(Duration::from_millis(50));

    let lock = lock_row(&admin, &table).await;
    let claimed = hasty
        .claim(&order, &Condition::Unconditional, AT_ONCE)
        .await;
    assert!(
        matches!(claimed, Err(StoreError::Unknown(_))),
        "{claimed:?}"
    );
    lock.rollback().await.expect("the server is there");
    let claimed = try_claim(&hasty, &order, &Condition::Unconditional, AT_ONCE).await;
    // The statement that nobody waits for may have taken the claim.
    assert!(
        matches!(claimed, Claimed::Granted(_) | Claimed::Busy { .. }),
        "{claimed:?}"
    );
}

/// The pool is the application's: what it writes next must not end up in a transaction of ours.
#[tokio::test]
async fn a_statement_that_nobody_waits_for_leaves_no_transaction_to_the_application() {
    let Some(server) = shared() else { return };
    let (store, admin, table) = store_on(server).await;
    let order = key("/orders/1");
    write(&store, &order, Outcome::Written).await;
    let name = table.to_string().replace('"', "");
    let create = format!("CREATE TABLE {name}_of_the_application (id int)");
    admin.execute(&*create).await.expect("it is SQL");
    let only = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(server.options());
    let store = PostgresStore::attach(only.clone(), &table).await;
    let store = store.expect("it is there").behind_pooler();

    let lock = lock_row(&admin, &table).await;
    let claim = tokio::spawn(store.claim(&order, &Condition::Unconditional, AT_ONCE));
    until_stuck(&admin, &table).await;
    claim.abort();
    let aborted = claim.await.expect_err("nobody waits for it");
    assert!(aborted.is_cancelled());
    lock.rollback().await.expect("the server is there");

    let insert = format!("INSERT INTO {name}_of_the_application VALUES (1)");
    only.execute(&*insert).await.expect("it is written");
    let count = format!("SELECT count(*) FROM {name}_of_the_application");
    let rows: i64 = sqlx::query_scalar(&count)
        .fetch_one(&admin)
        .await
        .expect("the server is there");
    assert_eq!(rows, 1, "what was acknowledged is not committed");
}

#[tokio::test]
async fn a_row_that_stays_locked_is_busy_and_leaves_a_settle_undone() {
    let Some(server) = shared() else { return };
    let (store, admin, table) = store_on(server).await;
    let impatient = server.options().options([("lock_timeout", "20ms")]);
    let impatient = PostgresStore::attach(pool(impatient), &table)
        .await
        .expect("it opens");
    let order = key("/orders/1");
    write(&store, &order, Outcome::Written).await;

    let lock = lock_row(&admin, &table).await;
    let claimed = try_claim(&impatient, &order, &Condition::Unconditional, AT_ONCE).await;
    assert!(matches!(claimed, Claimed::Busy { .. }), "{claimed:?}");
    lock.rollback().await.expect("the server is there");

    let claim = claim(&store, &order, AT_ONCE).await;
    let lock = lock_row(&admin, &table).await;
    let settled = impatient.settle(claim, Outcome::Written).await;
    assert!(
        matches!(settled, Err(StoreError::NotApplied(_))),
        "{settled:?}"
    );
    drop(lock);
}

#[tokio::test]
async fn an_exhausted_pool_applies_nothing() {
    let Some(server) = shared() else { return };
    let (store, _, table) = store_on(server).await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(20))
        .connect_lazy_with(server.options());
    let poor = PostgresStore::attach(pool.clone(), &table)
        .await
        .expect("it opens");
    let order = key("/orders/1");
    let claim = claim(&store, &order, AT_ONCE).await;

    let taken = pool.acquire().await.expect("there is one");
    let claimed = poor.claim(&order, &Condition::Unconditional, AT_ONCE).await;
    assert!(
        matches!(claimed, Err(StoreError::NotApplied(_))),
        "{claimed:?}"
    );
    let read = poor.current(&order).await;
    assert!(matches!(read, Err(StoreError::NotApplied(_))), "{read:?}");
    let settled = poor.settle(claim.clone(), Outcome::Written).await;
    assert!(
        matches!(settled, Err(StoreError::NotApplied(_))),
        "{settled:?}"
    );
    let healthy = poor.health_check().await;
    assert!(matches!(healthy, Err(OpenError::Store(_))), "{healthy:?}");
    drop(taken);
    let settled = settle(&poor, claim, Outcome::Written).await;
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");

    pool.close().await;
    let read = poor.current(&order).await;
    assert!(matches!(read, Err(StoreError::NotApplied(_))), "{read:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_applies_nothing() {
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(50))
        .connect_lazy_with(server_options(std::path::Path::new("/nonexistent")));
    let opened = PostgresStore::open(pool).await;
    let error = opened.expect_err("nobody is there");
    assert!(
        matches!(&error, OpenError::Store(StoreError::NotApplied(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_crash_of_the_server_loses_nothing_and_service_comes_back() {
    let Some(mut server) = own() else { return };
    let (store, _, _) = store_on(&server).await;
    let (order, held) = (key("/orders/1"), key("/orders/2"));
    let written = write(&store, &order, Outcome::Written).await;
    let open = claim(&store, &held, AT_ONCE).await;

    server.crash_and_restart();
    let mut connection = sqlx::PgConnection::connect_with(&server.options()).await;
    connection
        .as_mut()
        .expect("it is back")
        .ping()
        .await
        .expect("it is back");

    assert_eq!(
        current(&store, &order).await,
        Snapshot::settled(written.clone())
    );
    assert!(!current(&store, &held).await.settled);
    let settled = settle(&store, open, Outcome::Written).await;
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    let next = write(&store, &order, Outcome::Written).await;
    assert!(version(&next).to_u64() > version(&written).to_u64());
}
