//! Notes in memory, with handlers that know nothing of versions. One layer guards them.
//!
//! Run with: cargo run --example quickstart
//!
//! Then follow the dialogue in the README.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::{Router, http::StatusCode, routing::get};
use tokio::signal::unix::{SignalKind, signal};
use tower_conditional::{ConditionalLayer, MemoryStore, Problem, Reader};

type Notes = Arc<Mutex<HashMap<String, String>>>;

async fn read(State(notes): State<Notes>, Path(id): Path<String>) -> Result<String, Problem> {
    let notes = notes.lock().expect("no handler panics");
    notes.get(&id).cloned().ok_or_else(not_found)
}

async fn write(State(notes): State<Notes>, Path(id): Path<String>, text: String) -> StatusCode {
    tokio::time::sleep(Duration::from_millis(number("HANDLER_DELAY_MS", 0))).await;
    let before = notes.lock().expect("no handler panics").insert(id, text);
    before.map_or(StatusCode::CREATED, |_| StatusCode::NO_CONTENT)
}

fn problem(status: StatusCode, name: &'static str, detail: &'static str) -> Problem {
    Problem::new(status, name, status.canonical_reason().unwrap_or_default()).with_detail(detail)
}

fn not_found() -> Problem {
    problem(StatusCode::NOT_FOUND, "not-found", "There is no such note.")
}

async fn not_allowed() -> Problem {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    problem(
        status,
        "method-not-allowed",
        "Notes know GET, HEAD and PUT.",
    )
}

fn app() -> Router {
    let notes = HashMap::from([("1".to_owned(), "first draft".to_owned())]);
    let notes = Notes::new(notes.into());
    // Where the layer finds out whether a note exists that nobody has written through it yet.
    let reads = Router::new().route("/notes/{id}", get(read));
    let reader = Reader::new(reads.with_state(Arc::clone(&notes)));
    let conditional = ConditionalLayer::new(MemoryStore::new()).reader(reader);
    Router::new()
        .route("/notes/{id}", get(read).put(write).route_layer(conditional))
        .layer(DefaultBodyLimit::max(1024 * 1024))
        .fallback(async || not_found())
        .method_not_allowed_fallback(not_allowed)
        .with_state(notes)
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = format!("{}:{}", Ipv4Addr::LOCALHOST, number("PORT", 3000));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    axum::serve(listener, app())
        .with_graceful_shutdown(async move { _ = terminate.recv().await })
        .await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, Response, header::ETAG};
    use tower::ServiceExt;

    use super::*;

    async fn send(
        app: &Router,
        method: &str,
        path: &str,
        condition: Option<(&str, &str)>,
        text: &str,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        let request = request
            .body(Body::from(text.to_owned()))
            .expect("a request");
        app.clone().oneshot(request).await.expect("an answer")
    }

    fn tag(response: &Response<Body>) -> String {
        let tag = response.headers()[ETAG].to_str();
        tag.expect("a tag is text").to_owned()
    }

    #[tokio::test]
    async fn an_unchanged_read_is_304() {
        let app = app();
        let first = send(&app, "GET", "/notes/1", None, "").await;
        assert_eq!(first.status(), StatusCode::OK);
        let condition = ("if-none-match", &*tag(&first));
        let second = send(&app, "GET", "/notes/1", Some(condition), "").await;
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(tag(&second), tag(&first));
    }

    #[tokio::test]
    async fn of_two_writes_based_on_one_read_the_second_is_refused() {
        let app = app();
        let read = tag(&send(&app, "GET", "/notes/1", None, "").await);
        let alice = send(&app, "PUT", "/notes/1", Some(("if-match", &read)), "alice").await;
        let bob = send(&app, "PUT", "/notes/1", Some(("if-match", &read)), "bob").await;
        assert_eq!(alice.status(), StatusCode::NO_CONTENT);
        assert_eq!(bob.status(), StatusCode::PRECONDITION_FAILED);
        assert_eq!(tag(&bob), tag(&alice), "the refusal names what is current");
    }

    #[tokio::test]
    async fn a_note_is_created_only_where_there_is_none() {
        let app = app();
        let create = ("if-none-match", "*");
        let there = send(&app, "PUT", "/notes/1", Some(create), "dave").await;
        assert_eq!(there.status(), StatusCode::PRECONDITION_FAILED);
        let new = send(&app, "PUT", "/notes/2", Some(create), "dave").await;
        assert_eq!(new.status(), StatusCode::CREATED);
        let again = send(&app, "PUT", "/notes/2", Some(create), "erin").await;
        assert_eq!(again.status(), StatusCode::PRECONDITION_FAILED);
    }

    #[tokio::test]
    async fn a_write_based_on_nothing_is_refused() {
        let answer = send(&app(), "PUT", "/notes/1", None, "carol").await;
        assert_eq!(answer.status(), StatusCode::PRECONDITION_REQUIRED);
    }
}
