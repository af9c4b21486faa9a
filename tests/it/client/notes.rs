//! Servers in this process for the client to talk to: one document, with a list of the edits that
//! it has seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_conditional::axum::{Conflict, Expected, Versioned, Wrote};
use tower_conditional::client::Change;
use tower_conditional::idempotency::{IdempotencyLayer, MemoryIdempotencyStore};
use tower_conditional::{ConditionalLayer, MemoryStore, Policy};

/// The document, and each state that a write has given it.
#[derive(Clone)]
pub(crate) struct Notes(Arc<Mutex<Journal>>);

struct Journal {
    version: i64,
    value: Value,
    written: Vec<Value>,
}

impl Notes {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Journal {
            version: 1,
            value: json!({ "edits": [] }),
            written: Vec::new(),
        })))
    }

    /// The handlers compare versions; stale is 409 with the current resource.
    pub(crate) fn comparing(&self) -> Router {
        Router::new()
            .route("/note", get(read).put(compare_and_write))
            .layer(ConditionalLayer::handler().policy(Policy::aip154()))
            .with_state(self.clone())
    }

    /// The layer claims; stale is 412 without a word.
    pub(crate) fn claiming(&self) -> Router {
        Router::new()
            .route("/note", get(read_plain).put(write))
            .layer(ConditionalLayer::new(MemoryStore::new()))
            .with_state(self.clone())
    }

    /// How often each edit is in the document.
    pub(crate) fn edits(&self) -> HashMap<String, usize> {
        let journal = self.0.lock().unwrap();
        let mut edits = HashMap::new();
        for edit in journal.value["edits"].as_array().expect("a list") {
            *edits
                .entry(edit.as_str().expect("a name").to_owned())
                .or_default() += 1;
        }
        edits
    }

    /// Was each write one edit on top of the state before it?
    pub(crate) fn assert_that_nothing_was_overwritten(&self) {
        let journal = self.0.lock().unwrap();
        let mut before = Vec::new();
        for (at, state) in journal.written.iter().enumerate() {
            let edits = state["edits"].as_array().expect("a list");
            assert!(
                edits.len() == before.len() + 1 && edits.starts_with(&before),
                "write {at}: {before:?} became {edits:?}"
            );
            before.clone_from(edits);
        }
    }
}

/// Answers retries with the first answer.
pub(crate) fn keyed(router: Router) -> Router {
    let store = MemoryIdempotencyStore::new();
    router.layer(IdempotencyLayer::new(store, |_: &_| {
        Some("everybody".to_owned())
    }))
}

/// Adds `name` to the list, whether or not it is there: made twice, it shows.
pub(crate) fn add(name: &str) -> impl FnMut(&Value) -> Change + use<> {
    let name = name.to_owned();
    move |current| {
        let mut changed = current.clone();
        let edits = changed["edits"].as_array_mut().expect("a list");
        edits.push(name.clone().into());
        Change::Replace(changed)
    }
}

/// Adds `name` to the list if it is not there.
pub(crate) fn add_once(name: &str) -> impl FnMut(&Value) -> Change + use<> {
    let (name, mut add) = (name.to_owned(), add(name));
    move |current| {
        let edits = current["edits"].as_array().expect("a list");
        match edits.iter().any(|edit| *edit == *name) {
            true => Change::Leave,
            false => add(current),
        }
    }
}

async fn read(State(notes): State<Notes>) -> Versioned<Json<Value>> {
    let journal = notes.0.lock().unwrap();
    Versioned(journal.version.into(), Json(journal.value.clone()))
}

async fn compare_and_write(
    State(notes): State<Notes>,
    expected: Expected,
    Json(value): Json<Value>,
) -> Result<Wrote<StatusCode>, Response> {
    tokio::task::yield_now().await;
    let mut journal = notes.0.lock().unwrap();
    let current = journal.version;
    if expected
        .numbers()
        .is_some_and(|versions| !versions.contains(&current))
    {
        return Err(Conflict::with_json(current, &journal.value).into_response());
    }
    journal.version += 1;
    journal.value = value.clone();
    journal.written.push(value);
    Ok(Wrote(journal.version.into(), StatusCode::NO_CONTENT))
}

async fn read_plain(State(notes): State<Notes>) -> Json<Value> {
    Json(notes.0.lock().unwrap().value.clone())
}

async fn write(State(notes): State<Notes>, Json(value): Json<Value>) -> StatusCode {
    tokio::task::yield_now().await;
    let mut journal = notes.0.lock().unwrap();
    journal.value = value.clone();
    journal.written.push(value);
    StatusCode::NO_CONTENT
}
