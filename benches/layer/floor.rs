//! The least code that does the layer's job on one process, with the promises left out.
//!
//! It compares exact bytes, reads one field line, knows one method of each kind, and keeps its
//! versions in a table that nobody else may write. What it leaves out is the price of the promises:
//! dates, `If-Range`, `*`, several lines, malformed lists, weak tags, tags that restarts do not
//! repeat, claims that others wait for, leases, problem documents, an observer, tags of several
//! representations, stores that take their time.

use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use hashbrown::HashTable;
use http::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::hash::Hasher as _;
use tower::{Layer, Service};

const SHARDS: usize = 64;

pub type Digest = (u64, u64);

/// The version of each resource, and whether somebody writes it.
struct Entry {
    digest: Digest,
    version: u64,
    reserved: bool,
}

/// Versions that count from 1.
pub struct Table {
    hasher: SipHasher13,
    shards: Vec<Mutex<HashTable<Entry>>>,
}

impl Table {
    pub fn new() -> Self {
        let random = RandomState::new();
        Self {
            hasher: SipHasher13::new_with_keys(random.hash_one(1), random.hash_one(2)),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    pub fn add(&self, digest: Digest) {
        let entry = Entry {
            digest,
            version: 1,
            reserved: false,
        };
        self.shard(digest)
            .insert_unique(digest.0, entry, |entry| entry.digest.0);
    }

    pub fn digest(&self, path: &str) -> Digest {
        let mut hasher = self.hasher;
        hasher.write(path.as_bytes());
        let hash = hasher.finish128();
        (hash.h1, hash.h2)
    }

    fn shard(&self, digest: Digest) -> MutexGuard<'_, HashTable<Entry>> {
        let shard = &self.shards[digest.1 as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, digest: Digest) -> Option<u64> {
        let shard = self.shard(digest);
        let entry = shard.find(digest.0, |entry| entry.digest == digest)?;
        Some(entry.version)
    }

    /// Reserves the resource, if it has this version and nobody else does; the current version if
    /// not.
    pub fn reserve(
        &self,
        digest: Digest,
        is_current: impl FnOnce(u64) -> bool,
    ) -> Result<u64, Option<u64>> {
        let mut shard = self.shard(digest);
        let entry = shard.find_mut(digest.0, |entry| entry.digest == digest);
        match entry {
            Some(entry) if !entry.reserved && is_current(entry.version) => {
                entry.reserved = true;
                Ok(entry.version)
            }
            other => Err(other.map(|entry| entry.version)),
        }
    }

    /// Ends a reservation with a new version.
    pub fn bump(&self, digest: Digest) -> u64 {
        let mut shard = self.shard(digest);
        let entry = shard.find_mut(digest.0, |entry| entry.digest == digest);
        entry.map_or(0, |entry| {
            entry.reserved = false;
            entry.version += 1;
            entry.version
        })
    }
}

static TAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let tag = |number: usize| {
        let text: &'static str = format!("\"{number}\"").leak();
        HeaderValue::from_static(text)
    };
    (0..1000).map(tag).collect()
});

/// The tag of a version; those below 1,000 are not allocated.
pub fn tag(version: u64) -> HeaderValue {
    match TAGS.get(version as usize) {
        Some(tag) => tag.clone(),
        None => HeaderValue::try_from(format!("\"{version}\"")).expect("digits are visible"),
    }
}

fn is_tag(value: &[u8], version: u64) -> bool {
    match TAGS.get(version as usize) {
        Some(tag) => tag == value,
        None => tag(version) == value,
    }
}

/// Is the tag of `version` one of this list?
fn is_among(list: &[u8], version: u64) -> bool {
    let mut rest = list;
    while let [b'"', after @ ..] = rest {
        let Some(end) = memchr::memchr(b'"', after) else {
            return false;
        };
        let (member, tail) = rest.split_at(end + 2);
        if is_tag(member, version) {
            return true;
        }
        let start = tail.iter().position(|byte| !matches!(byte, b',' | b' '));
        rest = &tail[start.unwrap_or(tail.len())..];
    }
    false
}

#[derive(Clone)]
pub struct FloorLayer(pub Arc<Table>);

impl<S> Layer<S> for FloorLayer {
    type Service = Floor<S>;

    fn layer(&self, inner: S) -> Floor<S> {
        Floor {
            inner,
            table: Arc::clone(&self.0),
        }
    }
}

#[derive(Clone)]
pub struct Floor<S> {
    inner: S,
    table: Arc<Table>,
}

/// A reservation, ended with a new version whatever happens.
pub struct Reserved {
    table: Arc<Table>,
    digest: Digest,
    ended: bool,
}

impl Reserved {
    fn end(mut self) -> u64 {
        self.ended = true;
        self.table.bump(self.digest)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.ended {
            self.table.bump(self.digest);
        }
    }
}

pin_project! {
    #[project = FutureProjection]
    pub enum FloorFuture<F, B> {
        Answered { answer: Option<Response<B>> },
        Passed { #[pin] inner: F },
        Read { #[pin] inner: F, version: u64 },
        Written { #[pin] inner: F, reserved: Option<Reserved> },
    }
}

fn answered<F, B: Default>(
    status: StatusCode,
    mut headers: HeaderMap,
    tag: Option<HeaderValue>,
) -> FloorFuture<F, B> {
    headers.clear();
    if let Some(tag) = tag {
        headers.insert(ETAG, tag);
    }
    let mut answer = Response::new(B::default());
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    FloorFuture::Answered {
        answer: Some(answer),
    }
}

impl<S, B, R> Service<Request<B>> for Floor<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = FloorFuture<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match *request.method() {
            Method::GET => {
                let digest = self.table.digest(request.uri().path());
                let Some(version) = self.table.get(digest) else {
                    return FloorFuture::Passed {
                        inner: self.inner.call(request),
                    };
                };
                if let Some(sent) = request.headers().get(IF_NONE_MATCH) {
                    let exact = is_tag(sent.as_bytes(), version);
                    if exact || is_among(sent.as_bytes(), version) {
                        let tag = match exact {
                            true => sent.clone(),
                            false => tag(version),
                        };
                        let headers = std::mem::take(request.headers_mut());
                        return answered(StatusCode::NOT_MODIFIED, headers, Some(tag));
                    }
                }
                FloorFuture::Read {
                    inner: self.inner.call(request),
                    version,
                }
            }
            Method::PUT => {
                let Some(sent) = request.headers().get(IF_MATCH) else {
                    let headers = std::mem::take(request.headers_mut());
                    return answered(StatusCode::PRECONDITION_REQUIRED, headers, None);
                };
                let digest = self.table.digest(request.uri().path());
                let sent = sent.as_bytes();
                let is_current = |version| is_tag(sent, version) || is_among(sent, version);
                match self.table.reserve(digest, is_current) {
                    Ok(_) => {
                        let reserved = Reserved {
                            table: Arc::clone(&self.table),
                            digest,
                            ended: false,
                        };
                        FloorFuture::Written {
                            inner: self.inner.call(request),
                            reserved: Some(reserved),
                        }
                    }
                    Err(current) => {
                        let headers = std::mem::take(request.headers_mut());
                        answered(StatusCode::PRECONDITION_FAILED, headers, current.map(tag))
                    }
                }
            }
            _ => FloorFuture::Passed {
                inner: self.inner.call(request),
            },
        }
    }
}

impl<F, R, E> Future for FloorFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut response, version) = match self.project() {
            FutureProjection::Answered { answer } => {
                let answer = answer.take().expect("polled to its end only once");
                return Poll::Ready(Ok(answer));
            }
            FutureProjection::Passed { inner } => return inner.poll(context),
            FutureProjection::Read { inner, version } => {
                let response = ready!(inner.poll(context))?;
                (response, *version)
            }
            FutureProjection::Written { inner, reserved } => {
                let response = ready!(inner.poll(context))?;
                let reserved = reserved.take().expect("polled to its end only once");
                (response, reserved.end())
            }
        };
        if response.status().is_success() {
            response.headers_mut().insert(ETAG, tag(version));
        }
        Poll::Ready(Ok(response))
    }
}
