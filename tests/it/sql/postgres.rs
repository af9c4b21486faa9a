//! PostgreSQL: the promises on a server of the tests' own, at each isolation level and behind
//! something like a pooler, and what is its own.

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tower_conditional::store::sql::{PostgresStore, TableName};

use super::worker;
use crate::support::folder::Folder;
use crate::support::pgbouncer::Pooler;
use crate::support::postgres::{count_statements, shared};

pub(super) mod failures;
mod migration;
mod pruned;

struct Fixture {
    store: PostgresStore,
    _pooler: Option<Pooler>,
}

pub(super) fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        .connect_lazy_with(options)
}

/// A table of one's own: tests share a server.
pub(super) fn table() -> TableName {
    TableName::new(&name()).expect("a plain name")
}

pub(crate) fn name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("versions_{number}")
}

async fn opened(pool: PgPool) -> Option<Fixture> {
    let store = PostgresStore::open_table(pool, &table()).await;
    Some(Fixture {
        store: store.expect("a new table can be made"),
        _pooler: None,
    })
}

async fn isolated(level: &'static str) -> Option<Fixture> {
    let options = shared()?.options();
    opened(pool(
        options.options([("default_transaction_isolation", level)]),
    ))
    .await
}

mod read_committed {
    async fn fixture() -> Option<super::Fixture> {
        super::isolated(r"read\ committed").await
    }

    crate::sql::promises::keeps_its_promises!(fixture);
}

mod repeatable_read {
    async fn fixture() -> Option<super::Fixture> {
        super::isolated(r"repeatable\ read").await
    }

    crate::sql::promises::keeps_its_promises!(fixture);
}

mod serializable {
    async fn fixture() -> Option<super::Fixture> {
        super::isolated("serializable").await
    }

    crate::sql::promises::keeps_its_promises!(fixture);
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
        super::opened(pool).await
    }

    crate::sql::promises::keeps_its_promises!(fixture);
}

/// Not even the two halves of one statement need reach the same connection of the server, unless they
/// are in one transaction.
mod behind_a_pooler_in_transaction_mode {
    use super::*;

    async fn fixture() -> Option<Fixture> {
        let pooler = Pooler::start(shared()?)?;
        let store = PostgresStore::open_table(pool(pooler.options()), &table()).await;
        Some(Fixture {
            store: store.expect("a new table can be made").behind_pooler(),
            _pooler: Some(pooler),
        })
    }

    crate::sql::promises::keeps_its_promises!(fixture);
}

/// By the server's own statistics, over a connection that has met each statement before.
#[tokio::test]
async fn the_server_counts_two_statements_for_a_write_and_one_for_a_read() {
    use crate::sql::shared::*;
    use tower_conditional::store::{Condition, Outcome};

    let Some(server) = shared() else { return };
    let table = table();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .connect_lazy_with(server.options());
    let store = PostgresStore::open_table(pool, &table)
        .await
        .expect("it opens");
    let admin = self::pool(server.options());
    count_statements(&admin).await;
    let calls = async || -> i64 {
        let sum =
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query LIKE $1";
        let like = format!("%{table}%");
        let calls = sqlx::query_scalar(sum).bind(like).fetch_one(&admin).await;
        calls.expect("the statistics are there")
    };

    let order = key("/orders/1");
    for _ in 0..2 {
        let (counted, trips) = (calls().await, store.round_trips());
        let seen = version(&current(&store, &order).await.state);
        assert_eq!(calls().await - counted, 1);
        let condition = Condition::AnyOf(vec![seen]);
        let claim = granted(try_claim(&store, &order, &condition, AT_ONCE).await);
        settle(&store, claim, Outcome::Written).await;
        assert_eq!(calls().await - counted, 3);
        assert_eq!(store.round_trips() - trips, 3);
        // Refused: the state comes with the refusal.
        let _ = try_claim(&store, &order, &condition, AT_ONCE).await;
        assert_eq!(calls().await - counted, 4);
    }
}

/// To plan a claim takes longer than to carry it out.
#[tokio::test]
async fn statements_are_planned_once_for_each_connection() {
    use crate::sql::shared::*;
    use tower_conditional::store::{Condition, Outcome};

    let Some(server) = shared() else { return };
    let table = table();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(server.options());
    let store = PostgresStore::open_table(pool.clone(), &table).await;
    let store = store.expect("it opens");
    let order = key("/orders/1");
    // The server tries five plans of its own for each before it settles on one.
    for _ in 0..20 {
        let condition = Condition::AnyOf(vec![version(&current(&store, &order).await.state)]);
        let claim = granted(try_claim(&store, &order, &condition, AT_ONCE).await);
        settle(&store, claim, Outcome::Written).await;
    }
    let plans = "SELECT statement, generic_plans FROM pg_prepared_statements
        WHERE statement LIKE $1 AND NOT from_sql";
    let plans: Vec<(String, i64)> = sqlx::query_as(plans)
        .bind(format!("%{table}%"))
        .fetch_all(&pool)
        .await
        .expect("the server is there");
    assert_eq!(plans.len(), 3, "{plans:?}");
    for (statement, kept) in plans {
        assert!(
            kept >= 10,
            "planned anew, all but {kept} times: {statement}"
        );
    }
}

#[tokio::test]
async fn a_claim_of_a_killed_process_is_free_within_its_lease() {
    if let Some(target) = target() {
        worker::a_claim_of_a_killed_process_is_free_within_its_lease(target).await;
    }
}

#[tokio::test]
async fn killed_writers_lose_no_update() {
    if let Some(target) = target() {
        let folder = Folder::new();
        let data = folder.path().join("counter");
        worker::killed_writers_lose_no_update(target, &data).await;
    }
}

fn target() -> Option<worker::Target> {
    Some(worker::Target::Postgres {
        server: shared()?.folder().to_owned(),
        table: name(),
    })
}

#[cfg(feature = "testing")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_a_claim_store_is_kept_at_every_isolation_level() {
    use tower_conditional::testing::ClaimStoreSuite;

    let Some(server) = shared() else { return };
    for level in ["read committed", "repeatable read", "serializable"] {
        let level = level.replace(' ', r"\ ");
        let options = server
            .options()
            .options([("default_transaction_isolation", level)]);
        let table = table();
        let open = async || {
            let store = PostgresStore::open_table(pool(options.clone()), &table).await;
            store.expect("it opens")
        };
        let closed = async || {
            let pool = pool(options.clone());
            let store = PostgresStore::open_table(pool.clone(), &table)
                .await
                .expect("it opens");
            pool.close().await;
            store
        };
        ClaimStoreSuite::new(open)
            .failing(closed)
            .run()
            .await
            .assert_passed();
    }
}
