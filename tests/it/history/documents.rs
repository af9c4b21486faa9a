//! A service that knows nothing of versions: it stores what it is sent, in this process or where
//! others see it too.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::faults::{Faults, Work, status};

/// Where the documents lie.
trait Shelf: Send + Sync {
    fn get(&self, path: &str) -> Option<Bytes>;

    /// Was there one before?
    fn put(&self, path: &str, content: &Bytes) -> bool;

    /// Was there one?
    fn remove(&self, path: &str) -> bool;
}

pub(crate) struct Documents(Box<dyn Shelf>);

impl Documents {
    /// Gone with this process.
    pub(crate) fn in_memory() -> Self {
        Self(Box::new(Memory::default()))
    }

    /// One file for each, in a folder that all processes share and that outlives them.
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self(Box::new(Folder {
            folder,
            written: AtomicU64::new(0),
        }))
    }

    pub(crate) async fn answer(
        &self,
        faults: &Faults,
        method: &Method,
        path: &str,
        content: Bytes,
    ) -> Response<Body> {
        if method == Method::GET {
            return self.read(faults, path).await;
        }
        let mut work = faults.work();
        match self.change(&mut work, method, path, content).await {
            Ok(response) => {
                work.done();
                response
            }
            Err(response) => response,
        }
    }

    async fn read(&self, faults: &Faults, path: &str) -> Response<Body> {
        let mut pace = faults.pace();
        pace.pause().await;
        let document = self.0.get(path);
        pace.pause().await;
        match document {
            None => status(StatusCode::NOT_FOUND),
            Some(document) => Response::new(document.into()),
        }
    }

    async fn change(
        &self,
        work: &mut Work<'_>,
        method: &Method,
        path: &str,
        content: Bytes,
    ) -> Result<Response<Body>, Response<Body>> {
        work.before_effect().await?;
        let was_there = match *method {
            Method::DELETE => self.0.remove(path),
            _ => self.0.put(path, &content),
        };
        work.after_effect().await?;
        Ok(match (method, was_there) {
            (&Method::DELETE, true) => status(StatusCode::NO_CONTENT),
            (&Method::DELETE, false) => status(StatusCode::NOT_FOUND),
            (_, was_there) => {
                let mut response = Response::new(content.into());
                if !was_there {
                    *response.status_mut() = StatusCode::CREATED;
                }
                response
            }
        })
    }
}

#[derive(Default)]
struct Memory(Mutex<HashMap<String, Bytes>>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf for Memory {
    fn get(&self, path: &str) -> Option<Bytes> {
        self.lock().get(path).cloned()
    }

    fn put(&self, path: &str, content: &Bytes) -> bool {
        let old = self.lock().insert(path.to_owned(), content.clone());
        old.is_some()
    }

    fn remove(&self, path: &str) -> bool {
        self.lock().remove(path).is_some()
    }
}

struct Folder {
    folder: PathBuf,
    written: AtomicU64,
}

impl Folder {
    fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_matches('/').replace('/', "-"))
    }
}

impl Shelf for Folder {
    fn get(&self, path: &str) -> Option<Bytes> {
        std::fs::read(self.file(path)).ok().map(Bytes::from)
    }

    /// In one step: whoever is killed in the middle has written all of it or nothing.
    fn put(&self, path: &str, content: &Bytes) -> bool {
        let (file, count) = (
            self.file(path),
            self.written.fetch_add(1, Ordering::Relaxed),
        );
        let fresh = format!("fresh-{}-{count}", std::process::id());
        let fresh = self.folder.join(fresh);
        std::fs::write(&fresh, content).expect("the folder can be written");
        let was_there = file.exists();
        std::fs::rename(&fresh, file).expect("the folder can be written");
        was_there
    }

    fn remove(&self, path: &str) -> bool {
        std::fs::remove_file(self.file(path)).is_ok()
    }
}
