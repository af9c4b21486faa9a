//! A document, and handlers that know nothing of versions.
//!
//! The document is the list of the writes that made it. A client sends the list that it has read
//! and its own write behind it: so each write tells what it believes to replace.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use shuttle::future::yield_now;
use shuttle::rand::{Rng as _, thread_rng};
use tower::Service;
use tower_conditional::RequestBody;

use super::findings::{Finding, Findings, Tags};

/// A document and the book that is kept of it.
pub(super) struct Document {
    writes: Mutex<String>,
    pub(super) tags: Tags,
    handled: Mutex<HashSet<String>>,
    acknowledged: Mutex<Vec<String>>,
    findings: Arc<Findings>,
}

impl Document {
    pub(super) fn new(findings: Arc<Findings>) -> Self {
        Self {
            writes: Mutex::default(),
            tags: Tags::default(),
            handled: Mutex::default(),
            acknowledged: Mutex::default(),
            findings,
        }
    }

    pub(super) fn acknowledge(&self, write: String) {
        self.acknowledged.lock().unwrap().push(write);
    }

    /// Has a handler been called with it?
    pub(super) fn was_handled(&self, write: &str) -> bool {
        self.handled.lock().unwrap().contains(write)
    }

    /// Is every acknowledged write in it?
    pub(super) fn look_over(&self) {
        let writes = self.writes.lock().unwrap();
        let kept: HashSet<_> = writes.split(' ').collect();
        let acknowledged = self.acknowledged.lock().unwrap();
        if !acknowledged.iter().all(|write| kept.contains(&**write)) {
            self.findings.report(Finding::LostUpdate);
        }
    }

    fn read(&self) -> String {
        self.writes.lock().unwrap().clone()
    }

    fn replace(&self, new: String) {
        let (base, _) = split(&new);
        let mut writes = self.writes.lock().unwrap();
        if *writes != base {
            self.findings.report(Finding::LostUpdate);
        }
        *writes = new;
    }
}

/// The list before its last write, and that write.
pub(super) fn split(writes: &str) -> (&str, &str) {
    writes.rsplit_once(' ').unwrap_or(("", writes))
}

/// A handler that breaks instead of answering.
#[derive(Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the handler broke")
    }
}

impl std::error::Error for Broken {}

/// How a write ends, and whether it has changed the document by then.
#[derive(Clone, Copy)]
enum Fate {
    BreaksAfter,
    BreaksBefore,
    FailsAfter,
    FailsBefore,
    Refuses,
    Succeeds,
}

impl Fate {
    fn random() -> Self {
        match thread_rng().gen_range(0..12) {
            0 => Self::BreaksAfter,
            1 => Self::BreaksBefore,
            2 => Self::FailsAfter,
            3 => Self::FailsBefore,
            4 => Self::Refuses,
            _ => Self::Succeeds,
        }
    }
}

/// The handlers of the document, with other turns between any two of their steps.
pub(super) fn service(
    document: Arc<Document>,
) -> impl Service<
    Request<RequestBody<String>>,
    Response = Response<String>,
    Error = Broken,
    Future: Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(move |request: Request<RequestBody<String>>| {
        let document = Arc::clone(&document);
        async move {
            yield_now().await;
            if request.method() == Method::GET {
                let writes = document.read();
                yield_now().await;
                return Ok(Response::new(writes));
            }
            let stopped = Stopped(Some(&document.findings));
            let body = request.into_body().collect().await;
            let body = body.expect("bodies in memory do not break off").to_bytes();
            let writes = String::from_utf8_lossy(&body).into_owned();
            let write = split(&writes).1.to_owned();
            document.handled.lock().unwrap().insert(write);
            let fate = Fate::random();
            yield_now().await;
            if matches!(fate, Fate::BreaksAfter | Fate::FailsAfter | Fate::Succeeds) {
                document.replace(writes);
                yield_now().await;
            }
            stopped.not_at_all();
            let status = match fate {
                Fate::BreaksAfter | Fate::BreaksBefore => {
                    document.findings.seen.handler_failed.add();
                    return Err(Broken);
                }
                Fate::FailsAfter | Fate::FailsBefore => {
                    document.findings.seen.handler_failed.add();
                    StatusCode::INTERNAL_SERVER_ERROR
                }
                Fate::Refuses => StatusCode::UNPROCESSABLE_ENTITY,
                Fate::Succeeds => StatusCode::NO_CONTENT,
            };
            let mut response = Response::default();
            *response.status_mut() = status;
            Ok(response)
        }
    })
}

/// Counts handlers that are dropped half way.
struct Stopped<'a>(Option<&'a Findings>);

impl Stopped<'_> {
    fn not_at_all(mut self) {
        self.0 = None;
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if let Some(findings) = self.0 {
            findings.seen.handler_stopped.add();
        }
    }
}
