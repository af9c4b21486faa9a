//! SQLite: the promises on a file, and what is its own.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use tower_conditional::store::sql::SqliteStore;

use crate::support::folder::Folder;

pub struct Fixture {
    pub store: SqliteStore,
    pub folder: Folder,
}

pub fn pool(folder: &std::path::Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("test.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(30));
    SqlitePoolOptions::new()
        .max_connections(8)
        .connect_lazy_with(options)
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
