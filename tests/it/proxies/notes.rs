//! The service behind the proxies: a note for each policy, long enough to be compressed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use tower_conditional::idempotency::MemoryIdempotencyStore;
use tower_conditional::{ConditionalLayer, IdempotencyLayer, MemoryStore, Policy};

/// Clones are one service.
#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    texts: HashMap<String, String>,
    writes: usize,
    log: Vec<(String, u16)>,
}

/// More than any proxy takes for too short to be compressed.
pub(super) fn long(word: &str) -> String {
    format!("{word} ").repeat(400)
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `/strict`, `/tolerant` and, for caches, `/cached`.
    pub(super) fn app(&self) -> Router {
        let store = MemoryStore::new();
        let keys = MemoryIdempotencyStore::new();
        let mut app = Router::new();
        for (path, tolerant, caching) in [
            ("/strict", false, "private, no-cache"),
            ("/tolerant", true, "private, no-cache"),
            ("/cached", true, "max-age=1"),
        ] {
            self.lock().texts.insert(path.to_owned(), long("first"));
            let policy = Policy::rfc9110().tolerant(tolerant);
            let policy = policy.cache_control(caching).expect("a field value");
            let layer = ConditionalLayer::new(store.clone()).policy(policy);
            let note = get(read).put(write).delete(remove);
            app = app.route(path, note.route_layer(layer));
        }
        let keyed = IdempotencyLayer::new(keys, |_| Some("everybody".to_owned()));
        app.route_layer(keyed)
            .layer(from_fn_with_state(self.clone(), noted))
            .with_state(self.clone())
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.lock().texts.get(path).cloned()
    }

    /// How often a handler has written.
    pub(super) fn writes(&self) -> usize {
        self.lock().writes
    }

    /// What was asked since the last look, and how it was answered.
    pub(super) fn log(&self) -> Vec<(String, u16)> {
        std::mem::take(&mut self.lock().log)
    }
}

async fn read(State(notes): State<Notes>, uri: Uri) -> Result<String, StatusCode> {
    notes.text(uri.path()).ok_or(StatusCode::NOT_FOUND)
}

async fn write(State(notes): State<Notes>, uri: Uri, text: String) -> StatusCode {
    let mut notes = notes.lock();
    notes.texts.insert(uri.path().to_owned(), text);
    notes.writes += 1;
    StatusCode::NO_CONTENT
}

async fn remove(State(notes): State<Notes>, uri: Uri) -> StatusCode {
    let mut notes = notes.lock();
    notes.texts.remove(uri.path());
    notes.writes += 1;
    StatusCode::NO_CONTENT
}

async fn noted(State(notes): State<Notes>, request: Request, next: Next) -> Response {
    let conditions = ["if-match", "if-none-match"];
    let mut line = format!("{} {}", request.method(), request.uri().path());
    for name in conditions {
        if let Some(value) = request.headers().get(name) {
            line += &format!(" {name}: {}", value.to_str().unwrap_or_default());
        }
    }
    let response = next.run(request).await;
    notes.lock().log.push((line, response.status().as_u16()));
    response
}
