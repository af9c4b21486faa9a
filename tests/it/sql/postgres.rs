//! PostgreSQL: the promises on a server of the tests' own, and what is its own.

use sqlx::postgres::{PgPool, PgPoolOptions};
use tower_conditional::store::sql::{PostgresStore, TableName};

use crate::support::postgres::{Server, shared};

pub struct Fixture {
    pub store: PostgresStore,
}

pub fn pool(server: &Server) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        .connect_lazy_with(server.options())
}

/// A table of one's own: tests share a server.
pub fn table() -> TableName {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    TableName::new(&format!("versions_{number}")).expect("a plain name")
}

async fn fixture() -> Option<Fixture> {
    let store = PostgresStore::open_table(pool(shared()?), &table()).await;
    Some(Fixture {
        store: store.expect("a new table can be made"),
    })
}

mod promises {
    crate::sql::promises::keeps_its_promises!(super::fixture);
}
