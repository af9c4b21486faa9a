//! Servers, started as the tests start them.

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../../tests/it/support/folder.rs"]
pub(crate) mod folder;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../../tests/it/support/postgres.rs"]
pub(crate) mod postgres;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../../tests/it/redis/server.rs"]
pub(crate) mod redis;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// A PostgreSQL that writes to its disk and is reached over TCP, as one in production is, and that
/// counts its statements.
pub(crate) struct Postgres {
    // Ends with this.
    _server: postgres::Server,
    admin: PgPool,
    options: PgConnectOptions,
}

impl Postgres {
    /// None if there is none to start, said aloud.
    pub(crate) async fn start() -> Option<Self> {
        let mut server = postgres::own()?;
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        let port = port.expect("there is a free port").port();
        let admin = pool(server.options(), 1);
        for statement in [
            "ALTER SYSTEM SET fsync = on",
            "ALTER SYSTEM SET listen_addresses = '127.0.0.1'",
            &*format!("ALTER SYSTEM SET port = {port}"),
            "CREATE EXTENSION pg_stat_statements",
        ] {
            admin.execute(statement).await.expect("a superuser may");
        }
        admin.close().await;
        server.crash_and_restart();
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username("test")
            .database("postgres");
        Some(Self {
            _server: server,
            admin: pool(options.clone(), 1),
            options,
        })
    }

    /// A database of its own, so that nothing else is counted.
    pub(crate) async fn database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bench_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE DATABASE {name}");
        self.admin.execute(&*create).await.expect("a new name");
        let pool = pool(self.options.clone().database(&name), 20);
        Database {
            pool,
            name,
            admin: self.admin.clone(),
        }
    }
}

pub(crate) struct Database {
    pub(crate) pool: PgPool,
    name: String,
    admin: PgPool,
}

impl Database {
    /// How many statements it has run so far.
    pub(crate) async fn calls(&self) -> u64 {
        let sum = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
            JOIN pg_database ON pg_database.oid = dbid WHERE datname = $1";
        let query = sqlx::query_scalar(sum).bind(&self.name);
        let calls: i64 = query.fetch_one(&self.admin).await.expect("it counts");
        calls.unsigned_abs()
    }
}

fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}
