//! An old service: notes by path, lists of them, and no idea of versions.
//!
//! What else it does, a request says in its field `x-do`: `status 500` to answer so without a look
//! at the notes, `break` to write and close the connection without an answer, `wait` to write only
//! once the test lets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tower::service_fn;

use crate::support::Threaded;
use crate::support::client::{Reply, send};
use crate::support::example::Example;

/// A request as it came to the upstream.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
}

pub(super) struct Upstream {
    pub(super) url: String,
    state: Arc<State>,
    _server: Threaded,
}

#[derive(Default)]
struct State {
    notes: Mutex<BTreeMap<String, String>>,
    seen: Mutex<Vec<Seen>>,
    gate: Gate,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Upstream {
    pub(super) fn start() -> Self {
        let state = Arc::new(State::default());
        let served = Arc::clone(&state);
        let server = Threaded::start(service_fn(move |request: Request<Incoming>| {
            answer(Arc::clone(&served), request)
        }));
        Self {
            url: server.url.clone(),
            state,
            _server: server,
        }
    }

    /// The gateway in front of it.
    pub(super) fn gateway(&self, environment: &[(&str, &str)]) -> Example {
        let upstream = [("UPSTREAM", &*self.url)];
        Example::start("gateway", &[&upstream, environment].concat())
    }

    /// Puts a note there behind the back of the gateway.
    pub(super) fn put(&self, path: &str, text: &str) {
        lock(&self.state.notes).insert(path.to_owned(), text.to_owned());
    }

    pub(super) fn note(&self, path: &str) -> Option<String> {
        lock(&self.state.notes).get(path).cloned()
    }

    /// The requests since the last look.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.state.seen))
    }

    /// How many requests have come since the last look.
    pub(super) fn count(&self) -> usize {
        lock(&self.state.seen).len()
    }

    /// Lets one write that waits go on.
    pub(super) fn let_go(&self) {
        self.state.gate.0.add_permits(1);
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let order = head
        .headers
        .get("x-do")
        .map(|order| order.to_str().expect("text"));
    let order = order.unwrap_or_default().to_owned();
    let bytes = body.collect().await?.to_bytes();
    let text = String::from_utf8(bytes.into())?;
    lock(&state.seen).push(Seen {
        line: format!("{} {target}", head.method),
        headers: head.headers,
    });
    if let Some(status) = order.strip_prefix("status ") {
        return Ok(reply(status.parse()?, "as you wish"));
    }
    if order == "wait" {
        state.gate.0.acquire().await?.forget();
    }
    let response = act(&state, &head.method, &path, text);
    if order == "break" {
        return Err("the connection breaks".into());
    }
    Ok(response)
}

fn act(state: &State, method: &Method, path: &str, text: String) -> Response<Body> {
    let mut notes = lock(&state.notes);
    match *method {
        Method::GET | Method::HEAD => {
            let below = format!("{path}/");
            let items: Vec<_> = notes
                .iter()
                .filter(|(path, _)| path.starts_with(&below))
                .collect();
            match notes.get(path) {
                Some(note) => reply(200, note),
                None if items.is_empty() => reply(404, "none"),
                None => reply(200, &format!("{items:?}")),
            }
        }
        Method::PUT | Method::PATCH => match notes.insert(path.to_owned(), text) {
            Some(_) => reply(204, ""),
            None => reply(201, "new"),
        },
        Method::DELETE => match notes.remove(path) {
            Some(_) => reply(204, ""),
            None => reply(404, "none"),
        },
        // Creates an item under a name of the client's choice.
        _ => {
            let (name, text) = text.split_once('=').unwrap_or((&text, ""));
            notes.insert(format!("{path}/{name}"), text.to_owned());
            reply(201, "new")
        }
    }
}

/// With a tag of its own, as some old services have one: it says nothing of versions.
fn reply(status: u16, text: &str) -> Response<Body> {
    let response = Response::builder()
        .status(StatusCode::from_u16(status).expect("a status"))
        .header("etag", "\"its-own\"")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-kept", "1");
    response
        .body(Body::from(text.to_owned()))
        .expect("an answer")
}

/// The answer to a request with this body.
#[track_caller]
pub(super) fn ask(gateway: &Example, line: &str, fields: &[(&str, &str)], body: &str) -> Reply {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    send(&gateway.url, method, path, fields, body.as_bytes())
}

/// The tag that a read of `path` gets.
#[track_caller]
pub(super) fn tag(gateway: &Example, path: &str) -> String {
    ask(gateway, &format!("GET {path}"), &[], "")
        .expect(200)
        .etag()
}
