//! A handler that knows nothing of versions, over a few notes in memory.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::sync::{Notify, Semaphore};
use tower::Service;

type Answer = Response<Full<Bytes>>;
type Mark = dyn Fn(&Method, &mut Answer) + Send + Sync;
type Answered = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

#[derive(Clone)]
pub(crate) struct Site(Arc<Shared>);

struct Shared {
    notes: Mutex<HashMap<String, String>>,
    calls: Mutex<Vec<String>>,
    mark: Box<Mark>,
    writes: Semaphore,
    began: Notify,
}

impl Site {
    pub(crate) fn new(notes: &[(&str, &str)]) -> Self {
        Self::marking(notes, |_, _| {})
    }

    /// The same, with its answers changed by `mark`.
    pub(crate) fn marking(
        notes: &[(&str, &str)],
        mark: impl Fn(&Method, &mut Answer) + Send + Sync + 'static,
    ) -> Self {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self(Arc::new(Shared {
            notes: Mutex::new(notes.iter().map(owned).collect()),
            calls: Mutex::default(),
            mark: Box::new(mark),
            writes: Semaphore::new(Semaphore::MAX_PERMITS),
            began: Notify::new(),
        }))
    }

    /// From now on, writes wait in the middle until they are [let through](Self::let_through).
    pub(crate) fn hold_writes(&self) {
        let free = self.0.writes.available_permits();
        self.0.writes.forget_permits(free);
    }

    pub(crate) fn let_through(&self, writes: usize) {
        self.0.writes.add_permits(writes);
    }

    /// Waits until a handler has been called for a write.
    pub(crate) async fn write_began(&self) {
        self.0.began.notified().await;
    }

    /// The calls that reached the handler, such as `PUT /notes/1`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.0.calls.lock().unwrap().clone()
    }

    /// What is stored.
    pub(crate) fn note(&self, path: &str) -> Option<String> {
        self.0.notes.lock().unwrap().get(path).cloned()
    }

    pub(crate) fn service(&self) -> SiteService {
        SiteService(self.clone())
    }

    fn read(&self, path: &str) -> Answer {
        match self.note(path) {
            Some(text) => Response::new(Full::from(text)),
            None => status(StatusCode::NOT_FOUND),
        }
    }

    fn write(&self, method: &Method, path: &str, text: String) -> Answer {
        let mut notes = self.0.notes.lock().unwrap();
        let exists = notes.contains_key(path);
        match method.as_str() {
            "DELETE" if exists => {
                notes.remove(path);
                status(StatusCode::NO_CONTENT)
            }
            "PATCH" | "DELETE" if !exists => status(StatusCode::NOT_FOUND),
            "PATCH" | "PUT" => {
                notes.insert(path.to_owned(), text.clone());
                let mut response = Response::new(Full::from(text));
                if !exists {
                    *response.status_mut() = StatusCode::CREATED;
                }
                response
            }
            "POST" => status(StatusCode::CREATED),
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

fn status(status: StatusCode) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// [`Site`] as a service, whatever the body of its requests.
#[derive(Clone)]
pub(crate) struct SiteService(Site);

impl<B> Service<Request<B>> for SiteService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Debug,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answered {
        let site = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let path = parts.uri.path();
            let call = format!("{} {path}", parts.method);
            site.0.calls.lock().unwrap().push(call);
            let mut response = if [Method::GET, Method::HEAD].contains(&parts.method) {
                site.read(path)
            } else {
                site.0.began.notify_one();
                let text = body.collect().await.unwrap().to_bytes();
                site.0.writes.acquire().await.unwrap().forget();
                let text = String::from_utf8(text.to_vec()).unwrap();
                site.write(&parts.method, path, text)
            };
            (site.0.mark)(&parts.method, &mut response);
            Ok(response)
        })
    }
}
