//! A handler that writes a sale and its ticket in one transaction.

use std::future::pending;

use futures_core::future::BoxFuture;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use sqlx::{Executor, Pool};
use tower_conditional::idempotency::sql::SqlIdempotencyStore;
use tower_conditional::idempotency::{
    Begun, Ending, IdempotencyPolicy, IdempotencyStore, InDoubt, StoredResponse, Ticket,
};
use tower_conditional::store::StoreError;
use tower_conditional::store::sql::Engine;

use super::{LONG, begin, instead_of, settle};
use crate::idempotency::{App, Incoming, created, post, status};

/// A database that sells.
pub(super) trait Sells: Engine {
    /// Runs a statement, and counts its rows.
    fn run<'a>(connection: &'a mut Self::Connection, text: &'a str) -> BoxFuture<'a, usize>;
}

macro_rules! sells {
    ($($database:ty, $connection:ty;)*) => {$(
        impl Sells for $database {
            fn run<'a>(connection: &'a mut $connection, text: &'a str) -> BoxFuture<'a, usize> {
                Box::pin(async move {
                    connection.fetch_all(text).await.expect("the database answers").len()
                })
            }
        }
    )*};
}

#[cfg(feature = "sqlx-postgres")]
sells! { sqlx::Postgres, sqlx::PgConnection; }
#[cfg(feature = "sqlx-sqlite")]
sells! { sqlx::Sqlite, sqlx::SqliteConnection; }

/// Where a handler stops for good, having said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    AfterCommit,
    BeforeCommit,
    Never,
}

pub(super) struct Shop<DB: Sells> {
    pub(super) pool: Pool<DB>,
    pub(super) store: SqlIdempotencyStore<DB>,
    sales: String,
}

impl<DB: Sells> Clone for Shop<DB> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            store: self.store.clone(),
            sales: self.sales.clone(),
        }
    }
}

impl<DB: Sells> Shop<DB> {
    pub(super) async fn open(
        pool: Pool<DB>,
        store: SqlIdempotencyStore<DB>,
        sales: String,
    ) -> Self {
        let shop = Self { pool, store, sales };
        let table = format!("CREATE TABLE IF NOT EXISTS {} (id INTEGER)", shop.sales);
        shop.run(&table).await;
        shop
    }

    async fn run(&self, text: &str) -> usize {
        let mut connection = self.pool.acquire().await.expect("the database is there");
        DB::run(&mut connection, text).await
    }

    pub(super) async fn sales(&self) -> usize {
        self.run(&format!("SELECT id FROM {}", self.sales)).await
    }

    /// `stop` is told when the handler gets there.
    pub(super) fn app(&self, policy: IdempotencyPolicy, stop: Stop, said: fn()) -> App {
        let shop = self.clone();
        App::new(self.store.clone(), policy, move |run, request: Incoming| {
            let shop = shop.clone();
            async move {
                let at = async |place| {
                    if stop == place {
                        said();
                        pending::<()>().await;
                    }
                };
                let ticket = ticket(&request);
                let mut sale = shop.pool.begin().await.expect("the database is there");
                let insert = format!("INSERT INTO {} VALUES ({run})", shop.sales);
                DB::run(&mut sale, &insert).await;
                let record = record();
                let completed = shop.store.complete_in(&mut sale, &ticket, &record);
                if completed.await.is_err() {
                    // And what was written is rolled back.
                    return status(503);
                }
                at(Stop::BeforeCommit).await;
                sale.commit().await.expect("the database is there");
                at(Stop::AfterCommit).await;
                ticket.completed();
                created(run)
            }
        })
    }
}

pub(super) fn ticket(request: &Incoming) -> Ticket {
    let ticket = request.extensions().get::<Ticket>();
    ticket.expect("the request has a key").clone()
}

pub(super) fn record() -> StoredResponse {
    StoredResponse::new(StatusCode::CREATED)
        .with_header(LOCATION, HeaderValue::from_static("/sales/1"))
        .with_content("committed")
}

pub(super) fn rerun() -> IdempotencyPolicy {
    IdempotencyPolicy::new().in_doubt(|_| InDoubt::Rerun)
}

/// A test of both databases.
pub(super) async fn a_sale_and_its_record_are_there_together<DB: Sells>(shop: Shop<DB>) {
    let app = shop.app(rerun(), Stop::Never, || {});
    let first = app.send(post("k", "{}")).await;
    assert_eq!(first.status, 201, "{first:?}");
    // The layer has put the whole answer in the place of the record.
    app.send(post("k", "{}")).await.assert_replays(&first);
    assert_eq!((app.runs(), shop.sales().await), (1, 1));
}

/// A test of both databases: neither is there.
pub(super) async fn a_sale_that_is_rolled_back_leaves_no_record<DB: Sells>(shop: Shop<DB>) {
    let rolling = shop.clone();
    let app = App::new(
        shop.store.clone(),
        IdempotencyPolicy::new(),
        move |_, request: Incoming| {
            let shop = rolling.clone();
            async move {
                let mut sale = shop.pool.begin().await.expect("the database is there");
                let insert = format!("INSERT INTO {} VALUES (1)", shop.sales);
                DB::run(&mut sale, &insert).await;
                let ticket = ticket(&request);
                let record = record();
                let completed = shop.store.complete_in(&mut sale, &ticket, &record);
                completed.await.expect("it is ours");
                sale.rollback().await.expect("the database is there");
                let begun = begin(&shop.store, ticket.attempt().key(), LONG).await;
                // Whoever asks is asked by another fingerprint, and there is no answer to compare.
                assert!(matches!(begun, Begun::Mismatch), "{begun:?}");
                status(422)
            }
        },
    );
    assert_eq!(app.send(post("k", "{}")).await.status, 422);
    assert_eq!(app.send(post("k", "{}")).await.status, 422);
    assert_eq!((app.runs(), shop.sales().await), (2, 0));
}

/// A test of both databases: a handler that is slower than its lease, and a retry.
pub(super) async fn a_sale_whose_key_was_taken_over_is_not_made<DB: Sells>(shop: Shop<DB>) {
    let taken = shop.clone();
    let app = App::new(shop.store.clone(), rerun(), move |_, request: Incoming| {
        let shop = taken.clone();
        async move {
            let attempt = ticket(&request).attempt().clone();
            settle(&shop.store, &attempt, Ending::InDoubt).await;
            let options = instead_of(attempt.token());
            let (key, request_of) = (attempt.key(), attempt.fingerprint());
            let begun = shop.store.begin(key, request_of, options).await;
            assert!(matches!(begun, Ok(Begun::Started(_))), "{begun:?}");

            let mut sale = shop.pool.begin().await.expect("the database is there");
            let insert = format!("INSERT INTO {} VALUES (1)", shop.sales);
            DB::run(&mut sale, &insert).await;
            let ticket = ticket(&request);
            let completed = shop.store.complete_in(&mut sale, &ticket, &record()).await;
            assert!(
                matches!(completed, Err(StoreError::NotApplied(_))),
                "{completed:?}"
            );
            status(503)
        }
    });
    assert_eq!(app.send(post("k", "{}")).await.status, 503);
    assert_eq!(shop.sales().await, 0);
    // The other one still has the key.
    let again = app.send(post("k", "{}")).await;
    again.assert_problem(409, "request-in-progress");
}

/// A test of both databases: who has seen the doubt takes over, but the handler was only slow.
pub(super) async fn who_saw_the_doubt_does_not_repeat_what_was_committed<DB: Sells>(
    shop: Shop<DB>,
) {
    let slow = shop.clone();
    let app = App::new(
        shop.store.clone(),
        rerun(),
        move |run, request: Incoming| {
            let shop = slow.clone();
            async move {
                let ticket = ticket(&request);
                let attempt = ticket.attempt();
                let (key, fingerprint) = (attempt.key(), attempt.fingerprint());

                let mut sale = shop.pool.begin().await.expect("the database is there");
                let insert = format!("INSERT INTO {} VALUES (1)", shop.sales);
                DB::run(&mut sale, &insert).await;
                let record = record();
                let completed = shop.store.complete_in(&mut sale, &ticket, &record);
                completed.await.expect("it is ours");
                // In the meantime its lease ends, and a retry sees the doubt.
                let token = attempt.token();
                sale.commit().await.expect("the database is there");
                let begun = shop.store.begin(key, fingerprint, instead_of(token)).await;
                let Ok(Begun::Done { response, .. }) = begun else {
                    panic!("the sale is made twice: {begun:?}");
                };
                assert_eq!(*response, record);
                ticket.completed();
                created(run)
            }
        },
    );
    assert_eq!(app.send(post("k", "{}")).await.status, 201);
    assert_eq!(shop.sales().await, 1);
}
