//! What becomes of requests under load: eight clients and a stranger at three notes, and a table of
//! how each request ended.
//!
//! Run with: cargo run --example outcomes
//!
//! ```text
//! route        method  outcome       requests  longest wait
//! /notes/{id}  GET     handled           1294             -
//! /notes/{id}  GET     not_modified       992             -
//! /notes/{id}  PUT     busy                38       10.1 ms
//! /notes/{id}  PUT     handled            400        2.0 ms
//! /notes/{id}  PUT     missing             50             -
//! /notes/{id}  PUT     stale              596       25.6 ms
//! 400 writes were accepted, and the notes have 400 lines
//! ```
//!
//! The clients read a note, add a line to it, and read it again when they are refused. The stranger
//! writes without `If-Match`. No update is lost: the notes have as many lines as were accepted.
//!
//! In a service, `Metered` and `Traced` of `tower_conditional::observe` do what this observer does,
//! for whatever collects metrics and logs there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{Request, Response, StatusCode, header};
use axum::{Router, routing::get};
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use tower_conditional::observe::{Event, Observer};
use tower_conditional::policy::Busy;
use tower_conditional::{ConditionalLayer, MemoryStore, Policy};

type Error = Box<dyn std::error::Error + Send + Sync>;

const CLIENTS: usize = 8;
/// Lines that each client adds.
const LINES: usize = 50;
const NOTES: usize = 3;

/// Counts requests by route, method and outcome: three things of which there are few each, or the
/// table would grow with every path that somebody makes up.
#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<Table>>);

type Table = BTreeMap<(String, String, &'static str), Row>;

#[derive(Clone, Copy, Default)]
struct Row {
    requests: usize,
    longest_wait: Duration,
}

impl Observer for Outcomes {
    fn event(&self, event: &Event<'_>) {
        let route = event.route.unwrap_or("-").to_owned();
        let name = (route, event.method.to_string(), event.outcome());
        let mut table = lock(&self.0);
        let row = table.entry(name).or_default();
        row.requests += 1;
        row.longest_wait = row.longest_wait.max(event.waited);
    }
}

impl Outcomes {
    fn print(&self) {
        let table = lock(&self.0);
        println!("route        method  outcome       requests  longest wait");
        for ((route, method, outcome), row) in &*table {
            let wait = match row.longest_wait {
                Duration::ZERO => "-".to_owned(),
                wait => format!("{:.1} ms", wait.as_secs_f64() * 1_000.0),
            };
            let requests = row.requests;
            println!("{route:<11}  {method:<6}  {outcome:<12}  {requests:>8}  {wait:>12}");
        }
    }
}

type Notes = Arc<[Mutex<String>; NOTES]>;

async fn read(State(notes): State<Notes>, Path(id): Path<usize>) -> Result<String, StatusCode> {
    let note = notes.get(id).ok_or(StatusCode::NOT_FOUND)?;
    Ok(lock(note).clone())
}

async fn write(State(notes): State<Notes>, Path(id): Path<usize>, text: String) -> StatusCode {
    let Some(note) = notes.get(id) else {
        return StatusCode::NOT_FOUND;
    };
    // As a database would take its time.
    tokio::time::sleep(Duration::from_millis(1)).await;
    *lock(note) = text;
    StatusCode::NO_CONTENT
}

fn app(notes: Notes, outcomes: Outcomes) -> Router {
    let policy = Policy::rfc9110().busy(Busy::Wait(Duration::from_millis(3)));
    let conditional = ConditionalLayer::new(MemoryStore::new())
        .policy(policy)
        .observer(outcomes);
    Router::new()
        .route("/notes/{id}", get(read).put(write).route_layer(conditional))
        .with_state(notes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send(
    app: &Router,
    method: &str,
    note: usize,
    condition: Option<(header::HeaderName, header::HeaderValue)>,
    text: String,
) -> Result<Response<Body>, Error> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/notes/{note}"));
    if let Some((name, tag)) = condition {
        request = request.header(name, tag);
    }
    Ok(app.clone().oneshot(request.body(Body::from(text))?).await?)
}

/// Adds lines, each to what it has read; gives how many writes were accepted.
async fn client(app: Router, number: usize) -> Result<usize, Error> {
    let mut accepted = 0;
    while accepted < LINES {
        let note = (number + accepted) % NOTES;
        let read = send(&app, "GET", note, None, String::new()).await?;
        let Some(tag) = read.headers().get(header::ETAG).cloned() else {
            // Somebody is writing it; there is nothing yet to build on.
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let text = to_bytes(read.into_body(), usize::MAX).await?;
        // As people do, it takes its time.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let text = format!("{}line of {number}\n", String::from_utf8_lossy(&text));
        let condition = Some((header::IF_MATCH, tag));
        let wrote = send(&app, "PUT", note, condition, text).await?;
        accepted += usize::from(wrote.status().is_success());
        if let Some(tag) = wrote.headers().get(header::ETAG) {
            // Has anybody else written since?
            let condition = Some((header::IF_NONE_MATCH, tag.clone()));
            send(&app, "GET", note, condition, String::new()).await?;
        }
    }
    Ok(accepted)
}

/// Knows nothing of versions, and is told so each time.
async fn stranger(app: Router) -> Result<usize, Error> {
    let mut accepted = 0;
    for write in 0..LINES {
        let wrote = send(&app, "PUT", write % NOTES, None, "mine\n".to_owned()).await?;
        accepted += usize::from(wrote.status().is_success());
    }
    Ok(accepted)
}

/// Runs the load; gives the writes that were accepted, and the lines that there are.
async fn load(outcomes: &Outcomes) -> Result<(usize, usize), Error> {
    let notes = Notes::default();
    let app = app(Arc::clone(&notes), outcomes.clone());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(app.clone(), number));
    }
    clients.spawn(stranger(app));
    let mut accepted = 0;
    while let Some(client) = clients.join_next().await {
        accepted += client??;
    }
    let lines = notes.iter().map(|note| lock(note).lines().count());
    Ok((accepted, lines.sum()))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let outcomes = Outcomes::default();
    let (accepted, lines) = load(&outcomes).await?;
    outcomes.print();
    println!("{accepted} writes were accepted, and the notes have {lines} lines");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn every_request_is_in_the_table_and_no_line_is_lost() -> Result<(), Error> {
        let outcomes = Outcomes::default();
        let (accepted, lines) = load(&outcomes).await?;
        assert_eq!((accepted, lines), (CLIENTS * LINES, CLIENTS * LINES));
        let table = lock(&outcomes.0).clone();
        let count = |method: &str, outcome| {
            let name = ("/notes/{id}".to_owned(), method.to_owned(), outcome);
            table.get(&name).map_or(0, |row| row.requests)
        };
        assert_eq!(count("PUT", "handled"), CLIENTS * LINES);
        assert_eq!(count("PUT", "missing"), LINES);
        assert!(count("PUT", "stale") > 0, "nobody was in anybody's way");
        Ok(())
    }
}
