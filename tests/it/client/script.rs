//! A server that answers what it is told, one request after the other, and remembers what it was
//! asked.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, Service};
use tower_conditional::client::{Client, ClientLayer};

/// What comes of one request.
#[derive(Clone)]
pub(crate) enum Turn {
    Answer(Response<Bytes>),
    /// The connection breaks.
    Break,
    /// Nothing, ever.
    Silence,
}

/// An answer with these header fields and this content.
pub(crate) fn answer(status: u16, fields: &[(&str, &str)], content: &str) -> Turn {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    let response = response.body(Bytes::from(content.to_owned()));
    Turn::Answer(response.expect("a test writes what it may"))
}

/// A problem document of this type, with this tag if it is not empty.
pub(crate) fn problem(status: u16, type_name: &str, tag: &str, more: &str) -> Turn {
    let kind = ("content-type", "application/problem+json");
    let tag = [("etag", tag)];
    let tag = if tag[0].1.is_empty() { &[][..] } else { &tag };
    let content = format!(r#"{{"type":"/problems/{type_name}","detail":"told"{more}}}"#);
    answer(status, &[&[kind], tag].concat(), &content)
}

/// Where the resource is that all of this is about.
pub(crate) fn note() -> Uri {
    Uri::from_static("/note")
}

/// A resource that was read.
pub(crate) fn resource(tag: &str, json: &str) -> Turn {
    answer(
        200,
        &[("etag", tag), ("content-type", "application/json")],
        json,
    )
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Bytes,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        Some(
            self.headers
                .get(name)?
                .to_str()
                .expect("a test writes text"),
        )
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.content).expect("JSON was sent")
    }
}

#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<State>>);

struct State {
    turns: VecDeque<Turn>,
    asked: Vec<Asked>,
}

impl Script {
    pub(crate) fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self(Arc::new(Mutex::new(State {
            turns: turns.into_iter().collect(),
            asked: Vec::new(),
        })))
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    /// The methods of all requests.
    pub(crate) fn methods(&self) -> String {
        let asked = self.asked();
        let methods: Vec<_> = asked.iter().map(|asked| &*asked.method).collect();
        methods.join(" ")
    }
}

/// A client of `script` that does not wait long, and gives up on silence soon.
pub(crate) fn client_of(script: &Script) -> Client<Script> {
    quick().layer(script.clone())
}

pub(crate) fn quick() -> ClientLayer {
    ClientLayer::new()
        .waits(Duration::from_millis(1), Duration::from_secs(5))
        .answer_within(Duration::from_millis(50))
}

impl Service<Request<Full<Bytes>>> for Script {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let script = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let content = body.collect().await.expect("it is in memory").to_bytes();
            let turn = {
                let mut state = script.0.lock().unwrap();
                state.asked.push(Asked {
                    method: parts.method.to_string(),
                    uri: parts.uri,
                    headers: parts.headers,
                    content,
                });
                state.turns.pop_front()
            };
            match turn.expect("the test has said what comes of this request") {
                Turn::Answer(response) => Ok(response.map(Full::new)),
                Turn::Break => Err(io::ErrorKind::ConnectionReset.into()),
                Turn::Silence => std::future::pending().await,
            }
        })
    }
}

/// A request with these header fields.
pub(crate) fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = method.parse().expect("a method");
    *request.uri_mut() = uri.parse().expect("a URI");
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a name");
        let value = HeaderValue::from_str(value).expect("a value");
        request.headers_mut().append(name, value);
    }
    request
}
