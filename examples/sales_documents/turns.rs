//! Whose turn it is to write a document.
//!
//! Writes of one document queue in the order of arrival within a process. The first of them claims
//! the document in the database, so that processes exclude each other.

use std::error::Error;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Response;
use axum::http::request::Parts;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tower_conditional::problem::{Problem, Reason};
use tower_conditional::store::QueuedStore;
use tower_conditional::store::sql::{PostgresStore, SqliteStore};
use tower_conditional::{ClaimStore, MemoryStore, ResourceKey, SequenceLayer};

use crate::common::json;
use crate::documents::id_in;
use crate::envelope::Refused;

/// How long the claim of a process that was killed stands: at most the 10 seconds after which
/// clients may count on the document again. A handler gets nine tenths of it, 8.1 seconds; then its
/// write is given up, because somebody else may come forward soon.
const LEASE: Duration = Duration::from_secs(9);

/// Where the claims are: beside the documents.
pub(crate) async fn store(url: Option<&str>) -> Result<Arc<dyn ClaimStore>, Box<dyn Error>> {
    let url = url.unwrap_or("sqlite::memory:");
    if url.contains(":memory:") {
        // There is only this process.
        return Ok(Arc::new(MemoryStore::new()));
    }
    // Connections are not tried out before they are used: one that is lost is a 503, and whoever
    // gets that tries again.
    if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(10));
        // SQLite has one writer at a time, and lets others wait longer than a pool does.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false);
        let store = SqliteStore::open(pool.connect_with(options).await?).await?;
        return Ok(Arc::new(QueuedStore::new(store)));
    }
    let pool = PgPoolOptions::new()
        .max_connections(8)
        .test_before_acquire(false);
    let store = PostgresStore::open(pool.connect(url).await?).await?;
    Ok(Arc::new(QueuedStore::new(store)))
}

/// Lets the writes of a document wait for each other.
pub(crate) fn layer(store: Arc<dyn ClaimStore>, wait: Duration) -> SequenceLayer {
    SequenceLayer::new(store, document)
        .wait(wait)
        .lease(LEASE)
        .request_limit(json::LIMIT)
        .deletes(|parts| parts.uri.path().starts_with("/api/delete"))
        .render(refused)
}

/// The document that a request writes. What creates one has none to wait for, and what cannot be
/// read is refused without a wait.
fn document(parts: &Parts, body: &Bytes) -> Option<ResourceKey> {
    if !json::is_json(&parts.headers) {
        return None;
    }
    let object = json::parse(body).ok()?;
    // Ids are unique among all kinds.
    Some(ResourceKey::new(id_in(&object).ok()??.to_string()))
}

/// The error codes for what the layer refuses; `envelope.rs` does the rest.
fn refused(problem: &Problem) -> Response<Bytes> {
    let code = match problem.reason() {
        Some(Reason::DeleteInProgress) => 1204,
        Some(Reason::Busy) => 1205,
        _ => 1000,
    };
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = problem.status();
    response
        .extensions_mut()
        .insert(Refused::new(problem.status(), code));
    response
}
