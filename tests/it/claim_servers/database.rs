//! The database that the processes share: how it is started, found by them, and restarted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tower_conditional::ClaimStore;
use tower_conditional::store::redis::{RedisOptions, RedisStore};
use tower_conditional::store::sql::{PostgresStore, SqliteStore};

use crate::redis::server::Server as Redis;
use crate::support::folder::Folder;
use crate::support::postgres::{self, Server as Postgres};

/// A database of one's own, and the folder of the documents beside it.
pub(super) struct Database {
    engine: Engine,
    folder: Folder,
}

enum Engine {
    Postgres(Postgres),
    Redis(Redis),
    Sqlite,
}

impl Database {
    pub(super) fn sqlite() -> Option<Self> {
        Some(Self::over(Engine::Sqlite))
    }

    pub(super) fn postgres() -> Option<Self> {
        postgres::own().map(|server| Self::over(Engine::Postgres(server)))
    }

    pub(super) fn redis() -> Option<Self> {
        // With less it acknowledges what it may lose when it is killed, as its docs say.
        let durable = ["--appendonly", "yes", "--appendfsync", "always"];
        Redis::start(&durable).map(|server| Self::over(Engine::Redis(server)))
    }

    fn over(engine: Engine) -> Self {
        let folder = Folder::new();
        std::fs::create_dir(folder.path().join("documents")).expect("a new folder");
        Self { engine, folder }
    }

    /// How a process finds it.
    pub(super) fn place(&self) -> Place {
        Place {
            engine: match &self.engine {
                Engine::Postgres(server) => format!("postgres {}", server.folder().display()),
                Engine::Redis(server) => format!("redis {}", server.url()),
                Engine::Sqlite => format!("sqlite {}", self.folder.path().display()),
            },
            documents: self.folder.path().join("documents"),
        }
    }

    /// As a crash does it: no goodbye, and back with what is on its disk.
    pub(super) fn restart(&mut self) {
        match &mut self.engine {
            Engine::Postgres(server) => server.crash_and_restart(),
            Engine::Redis(server) => {
                server.kill();
                assert!(server.start_again(), "it does not come back");
            }
            Engine::Sqlite => unreachable!("it has no server"),
        }
    }
}

/// Where a process finds the database and the documents.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) engine: String,
    pub(super) documents: PathBuf,
}

impl Place {
    pub(super) async fn store(&self) -> Arc<dyn ClaimStore> {
        let (engine, place) = self.engine.split_once(' ').expect("two words");
        match engine {
            "postgres" => {
                let pool = PgPoolOptions::new()
                    .max_connections(8)
                    .test_before_acquire(false)
                    .connect_lazy_with(postgres::options(Path::new(place)));
                Arc::new(PostgresStore::open(pool).await.expect("it opens"))
            }
            "redis" => {
                let options = RedisOptions::new()
                    .connect_timeout(Duration::from_millis(300))
                    .response_timeout(Duration::from_millis(300));
                Arc::new(RedisStore::new(place, options).expect("an address"))
            }
            "sqlite" => {
                let options = SqliteConnectOptions::new()
                    .filename(Path::new(place).join("versions.db"))
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .busy_timeout(Duration::from_secs(5));
                let pool = SqlitePoolOptions::new().connect_lazy_with(options);
                Arc::new(SqliteStore::open(pool).await.expect("it opens"))
            }
            other => panic!("no such engine: {other}"),
        }
    }
}
