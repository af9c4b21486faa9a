//! PostgreSQL: the promises at each isolation level and behind something like a pooler, and what is
//! its own.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Executor, Postgres};
use tower_conditional::idempotency::sql::PostgresIdempotencyStore;
use tower_conditional::idempotency::{Ending, IdempotencyStore};
use tower_conditional::store::StoreError;
use tower_conditional::store::sql::{OpenError, TableName};

use super::shop::{self, Shop};
use super::*;
use crate::sql::postgres::failures::{let_commits_wait, terminate_stuck};
use crate::sql::postgres::{name, pool, table};
use crate::sql::worker::Target;
use crate::support::folder::Folder;
use crate::support::pgbouncer::Pooler;
use crate::support::postgres::{options, own, shared};

struct Fixture {
    store: PostgresIdempotencyStore,
    _pooler: Option<Pooler>,
}

async fn open(pool: PgPool, table: &TableName) -> PostgresIdempotencyStore {
    let store = PostgresIdempotencyStore::open_table(pool, table).await;
    store.expect("it opens")
}

async fn isolated(level: &'static str) -> Option<Fixture> {
    let options = shared()?.options();
    let pool = pool(options.options([("default_transaction_isolation", level)]));
    Some(Fixture {
        store: open(pool, &table()).await,
        _pooler: None,
    })
}

mod read_committed {
    async fn fixture() -> Option<super::Fixture> {
        super::isolated(r"read\ committed").await
    }

    crate::sql::keys::promises::keeps_its_promises!(fixture);
}

mod repeatable_read {
    async fn fixture() -> Option<super::Fixture> {
        super::isolated(r"repeatable\ read").await
    }

    crate::sql::keys::promises::keeps_its_promises!(fixture);
}

mod serializable {
    async fn fixture() -> Option<super::Fixture> {
        super::isolated("serializable").await
    }

    crate::sql::keys::promises::keeps_its_promises!(fixture);
}

/// Between any two statements the session loses all that it knew.
mod without_session_state {
    async fn fixture() -> Option<super::Fixture> {
        use sqlx::Executor;
        let options = super::shared()?.options().statement_cache_capacity(0);
        let pool = super::PgPoolOptions::new()
            .max_connections(8)
            .before_acquire(|connection, _| {
                Box::pin(async move { connection.execute("DISCARD ALL").await.map(|_| true) })
            })
            .connect_lazy_with(options);
        Some(super::Fixture {
            store: super::open(pool, &super::table()).await,
            _pooler: None,
        })
    }

    crate::sql::keys::promises::keeps_its_promises!(fixture);
}

/// Not even the two halves of one statement need reach the same connection of the server, unless they
/// are in one transaction.
mod behind_a_pooler_in_transaction_mode {
    use super::*;

    async fn fixture() -> Option<Fixture> {
        let pooler = Pooler::start(shared()?)?;
        let store = open(pool(pooler.options()), &table()).await;
        Some(Fixture {
            store: store.behind_pooler(),
            _pooler: Some(pooler),
        })
    }

    crate::sql::keys::promises::keeps_its_promises!(fixture);
}

pub(super) async fn shop(server: &Path, table: &str) -> Shop<Postgres> {
    let pool = pool(options(server));
    let name = TableName::new(table).expect("a plain name");
    let store = open(pool.clone(), &name).await;
    Shop::open(pool, store, format!("{table}_sales")).await
}

async fn with_target() -> Option<(Target, Shop<Postgres>)> {
    let (server, table) = (shared()?.folder().to_owned(), name());
    let shop = shop(&server, &table).await;
    Some((Target::Postgres { server, table }, shop))
}

#[tokio::test]
async fn a_sale_and_its_record_are_there_together() {
    let Some((_, shop)) = with_target().await else {
        return;
    };
    shop::a_sale_and_its_record_are_there_together(shop).await;
}

#[tokio::test]
async fn a_sale_that_is_rolled_back_leaves_no_record() {
    let Some((_, shop)) = with_target().await else {
        return;
    };
    shop::a_sale_that_is_rolled_back_leaves_no_record(shop).await;
}

#[tokio::test]
async fn a_sale_whose_key_was_taken_over_is_not_made() {
    let Some((_, shop)) = with_target().await else {
        return;
    };
    shop::a_sale_whose_key_was_taken_over_is_not_made(shop).await;
}

#[tokio::test]
async fn who_saw_the_doubt_does_not_repeat_what_was_committed() {
    let Some((_, shop)) = with_target().await else {
        return;
    };
    shop::who_saw_the_doubt_does_not_repeat_what_was_committed(shop).await;
}

#[tokio::test]
async fn a_sale_that_was_committed_before_a_kill_is_not_made_again() {
    let Some((target, shop)) = with_target().await else {
        return;
    };
    worker::a_sale_that_was_committed_before_a_kill_is_not_made_again(target, shop).await;
}

#[tokio::test]
async fn a_sale_that_a_kill_prevented_is_made_by_the_retry() {
    let Some((target, shop)) = with_target().await else {
        return;
    };
    worker::a_sale_that_a_kill_prevented_is_made_by_the_retry(target, shop).await;
}

#[tokio::test]
async fn of_many_processes_one_starts() {
    let Some((target, _)) = with_target().await else {
        return;
    };
    let folder = Folder::new();
    worker::of_many_processes_one_starts(target, &folder.path().join("go")).await;
}

#[cfg(feature = "testing")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_an_idempotency_store_is_kept_at_every_isolation_level() {
    let Some(server) = shared() else { return };
    for level in ["read committed", "repeatable read", "serializable"] {
        let level = level.replace(' ', r"\ ");
        let options = server.options();
        let options = options.options([("default_transaction_isolation", level)]);
        let table = table();
        let suite = async || open(pool(options.clone()), &table).await;
        tower_conditional::testing::assert_idempotency_store(suite).await;
    }
}

/// A loser that saw no row, waited for the winner's, and asked again: seen by its second statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_outrun_while_it_looks_asks_again() {
    let Some(server) = shared() else { return };
    let (admin, table) = (pool(server.options()), table());
    let store = open(pool(server.options()), &table).await;
    let mut first = admin.begin().await.expect("the server is there");
    let insert = format!(
        "INSERT INTO {table} (scope, key, fingerprint, token, turn, lease_ends, forget_at)
        SELECT 'acme', 'k', decode(repeat('07', 32), 'hex'), 1, 1, 'infinity', 'infinity'"
    );
    first.execute(&*insert).await.expect("it can be written");
    let trips = store.round_trips();
    let second = tokio::spawn(store.begin(&key("k"), &request(), LONG));
    wait_for_lock(&admin, &table).await;
    first.execute(&*format!("UPDATE {table} SET lease_ends = now() + interval '1 minute', forget_at = now() + interval '1 hour'"))
        .await
        .expect("it can be written");
    first.commit().await.expect("the server is there");
    let begun = second.await.expect("it does not panic");
    assert!(matches!(begun, Ok(Begun::InFlight { .. })), "{begun:?}");
    assert_eq!(store.round_trips() - trips, 2);
}

/// The take-over waits for the row that the sale has locked, and then finds it done: by a ticket, or
/// by a layer that was in time when it wrote, and late when it committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_over_that_waits_for_a_sale_learns_that_it_was_made() {
    let Some(server) = shared() else { return };
    let (admin, table) = (pool(server.options()), table());
    let store = open(pool(server.options()), &table).await;
    for (isolation, turn) in [
        ("read committed", "token"),
        ("read committed", "token + 1"),
        ("serializable", "token"),
        ("serializable", "token + 1"),
    ] {
        let name = format!("{isolation} {turn}");
        let key = key(&name);
        let attempt = run_out(&store, &key).await;
        let mut sale = admin.begin().await.expect("the server is there");
        let complete = format!(
            "UPDATE {table} SET status = 201, headers = '', content = 'x', turn = {turn} WHERE key = $1"
        );
        let updated = sqlx::query(&complete).bind(&name).execute(&mut *sale).await;
        updated.expect("it can be written");

        let level = isolation.replace(' ', r"\ ");
        let options = server.options();
        let options = options.options([("default_transaction_isolation", level)]);
        let other = open(pool(options), &table).await;
        let begin = other.begin(&key, &request(), instead_of(attempt.token()));
        let take_over = tokio::spawn(begin);
        wait_for_lock(&admin, &table).await;
        sale.commit().await.expect("the server is there");
        let begun = take_over.await.expect("it does not panic");
        let Ok(Begun::Done { response, .. }) = begun else {
            panic!("{name}: {begun:?}");
        };
        assert_eq!(*response, answer("x"));
    }
}

/// The server compares the times, commits much later, and until then everybody sees the doubt.
#[tokio::test]
async fn an_answer_in_time_that_is_seen_late_is_not_taken_over_for_the_doubt_it_seemed() {
    let Some(server) = own() else { return };
    let local = server.options().options([("synchronous_commit", "local")]);
    let (admin, table) = (pool(local.clone()), table());
    let store = open(pool(local), &table).await;
    let_commits_wait(&server, &admin).await;
    let remote = open(pool(server.options()), &table).await;

    let key = key("late");
    let options = BeginOptions {
        lease: Duration::from_secs(1),
        ..LONG
    };
    let attempt = started(&store, &key, options).await;
    let settle = tokio::spawn(remote.settle(&attempt, Ending::Done(answer("x"))));
    let begun = until(&store, &key, |begun| {
        !matches!(begun, Begun::InFlight { .. })
    })
    .await;
    let Begun::InDoubt { token } = begun else {
        panic!("it was seen before it was committed: {begun:?}");
    };
    for statement in [
        "ALTER SYSTEM SET synchronous_standby_names = ''",
        "SELECT pg_reload_conf()",
    ] {
        admin.execute(statement).await.expect("a superuser may");
    }
    let settled = settle.await.expect("it does not panic");
    assert!(matches!(settled, Ok(Settlement::Done)), "{settled:?}");

    let begun = begin(&store, &key, instead_of(token)).await;
    let Begun::Done { response, .. } = begun else {
        panic!("what was done is done again: {begun:?}");
    };
    assert_eq!(*response, answer("x"));
}

async fn wait_for_lock(admin: &PgPool, table: &TableName) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND query LIKE $1 AND wait_event_type = 'Lock'";
    loop {
        let count: i64 = sqlx::query_scalar(waiting)
            .bind(format!("%{table}%"))
            .fetch_one(admin)
            .await
            .expect("the server is there");
        if count > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn lock_row(admin: &PgPool, table: &TableName) -> sqlx::Transaction<'static, Postgres> {
    let mut transaction = admin.begin().await.expect("the server is there");
    let lock = format!("SELECT key FROM {table} FOR UPDATE");
    let rows = transaction.fetch_all(&*lock).await.expect("it locks");
    assert_eq!(rows.len(), 1);
    transaction
}

#[tokio::test]
async fn a_connection_lost_in_a_begin_leaves_it_unknown() {
    let Some(server) = shared() else { return };
    let (admin, table) = (pool(server.options()), table());
    let store = open(pool(server.options()), &table).await;
    let attempt = run_out(&store, &key("k")).await;

    let lock = lock_row(&admin, &table).await;
    let options = instead_of(attempt.token());
    let begin = tokio::spawn(store.begin(&key("k"), &request(), options));
    terminate_stuck(&admin, &table, "Lock").await;
    let begun = begin.await.expect("it does not panic");
    assert!(matches!(begun, Err(StoreError::Unknown(_))), "{begun:?}");
    lock.rollback().await.expect("the server is there");
    // The pool connects again by itself.
    let _ = started(&store, &key("k"), options).await;
}

#[tokio::test]
async fn a_settle_whose_connection_is_lost_is_tried_again() {
    let Some(server) = shared() else { return };
    let (admin, table) = (pool(server.options()), table());
    let store = open(pool(server.options()), &table).await;
    let attempt = started(&store, &key("k"), LONG).await;

    let lock = lock_row(&admin, &table).await;
    let settle = tokio::spawn(store.settle(&attempt, Ending::Done(answer("x"))));
    terminate_stuck(&admin, &table, "Lock").await;
    lock.rollback().await.expect("the server is there");
    let settled = settle.await.expect("it does not panic");
    assert!(matches!(settled, Ok(Settlement::Done)), "{settled:?}");
    assert_eq!(done(&store, &key("k")).await.1, answer("x"));
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_unknown_and_a_closed_pool_applies_nothing() {
    let Some(server) = shared() else { return };
    let (admin, table) = (pool(server.options()), table());
    let own = pool(server.options());
    let store = open(own.clone(), &table).await;
    let attempt = started(&store, &key("k"), LONG).await;
    let hasty = store
        .clone()
        .with_statement_limit(Duration::from_millis(50));

    let lock = lock_row(&admin, &table).await;
    let settled = hasty.settle(&attempt, Ending::NotRun).await;
    assert!(
        matches!(settled, Err(StoreError::Unknown(_))),
        "{settled:?}"
    );
    lock.rollback().await.expect("the server is there");

    own.close().await;
    let begun = store.begin(&key("k"), &request(), LONG).await;
    assert!(matches!(begun, Err(StoreError::NotApplied(_))), "{begun:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_make_the_table_at_once() {
    let Some(server) = shared() else { return };
    let table = table();
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (pool, table) = (pool(server.options()), table.clone());
            tokio::spawn(async move { open(pool, &table).await })
        })
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
async fn the_migration_may_be_run_again_by_hand_in_a_schema_of_ones_own() {
    let Some(server) = shared() else { return };
    let pool = pool(server.options());
    let schema = pool.execute("CREATE SCHEMA \"Keys\"").await;
    schema.expect("a new schema");
    let table = TableName::new("Orders").unwrap().in_schema("Keys").unwrap();

    let missing = PostgresIdempotencyStore::attach(pool.clone(), &table).await;
    assert!(matches!(missing, Err(OpenError::Missing)), "{missing:?}");
    let migration = PostgresIdempotencyStore::migration(&table);
    pool.execute(&*migration).await.expect("it can be run");
    let store = PostgresIdempotencyStore::attach(pool.clone(), &table)
        .await
        .expect("it is there");
    let attempt = started(&store, &key("k"), LONG).await;
    settle(&store, &attempt, Ending::Done(answer("x"))).await;

    pool.execute(&*migration)
        .await
        .expect("it can be run again");
    assert_eq!(done(&store, &key("k")).await.1, answer("x"));
    // It does not start over.
    let next = started(&store, &key("l"), LONG).await;
    assert!(next.token() > attempt.token());

    let newer = r#"UPDATE "Keys"."Orders_meta" SET schema_version = 2"#;
    pool.execute(newer).await.expect("it can be changed");
    let refused = PostgresIdempotencyStore::open_table(pool, &table).await;
    assert!(
        matches!(refused, Err(OpenError::SchemaVersion { found: 2, .. })),
        "{refused:?}"
    );
}
