//! The stores of idempotency keys in SQL databases: one list of promises, kept by each of them.

#[cfg(feature = "sqlx-postgres")]
mod postgres;
mod promises;
mod shop;
#[cfg(feature = "sqlx-sqlite")]
mod sqlite;
pub(super) mod worker;

use std::time::Duration;

use http::StatusCode;
use tower_conditional::idempotency::{
    Attempt, BeginOptions, Begun, Ending, Fingerprint, IdempotencyStore, RecordKey, Settlement,
    StoredResponse,
};

/// Long enough that no test meets its end by accident.
pub(crate) const LONG: BeginOptions = BeginOptions {
    lease: Duration::from_secs(60),
    ttl: Duration::from_secs(600),
    instead_of: None,
};

pub(crate) fn key(name: impl AsRef<str>) -> RecordKey {
    RecordKey::new("acme", name.as_ref())
}

pub(crate) const fn instead_of(token: u64) -> BeginOptions {
    BeginOptions {
        instead_of: Some(token),
        ..LONG
    }
}

pub(crate) fn request() -> Fingerprint {
    Fingerprint::from_bytes([7; 32])
}

pub(crate) fn answer(content: &str) -> StoredResponse {
    StoredResponse::new(StatusCode::CREATED).with_content(content.to_owned())
}

pub(crate) async fn begin(
    store: &impl IdempotencyStore,
    key: &RecordKey,
    options: BeginOptions,
) -> Begun {
    let begun = store.begin(key, &request(), options).await;
    begun.expect("the database answers")
}

pub(crate) async fn started(
    store: &impl IdempotencyStore,
    key: &RecordKey,
    options: BeginOptions,
) -> Attempt {
    match begin(store, key, options).await {
        Begun::Started(attempt) => attempt,
        begun => panic!("not started: {begun:?}"),
    }
}

pub(crate) async fn settle(
    store: &impl IdempotencyStore,
    attempt: &Attempt,
    ending: Ending,
) -> Settlement {
    let settled = store.settle(attempt, ending).await;
    settled.expect("the database answers")
}

/// Whose turn it is, and the answer.
pub(crate) async fn done(store: &impl IdempotencyStore, key: &RecordKey) -> (u64, StoredResponse) {
    match begin(store, key, LONG).await {
        Begun::Done { token, response } => (token, (*response).clone()),
        begun => panic!("not done: {begun:?}"),
    }
}

/// An attempt whose lease is over.
pub(crate) async fn run_out(store: &impl IdempotencyStore, key: &RecordKey) -> Attempt {
    let options = BeginOptions {
        lease: Duration::from_millis(1),
        ..LONG
    };
    let attempt = started(store, key, options).await;
    until(store, key, |begun| matches!(begun, Begun::InDoubt { .. })).await;
    attempt
}

/// Asks until the answer is good enough.
pub(crate) async fn until(
    store: &impl IdempotencyStore,
    key: &RecordKey,
    is_it: impl Fn(&Begun) -> bool,
) -> Begun {
    loop {
        let begun = begin(store, key, LONG).await;
        if is_it(&begun) {
            return begun;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
