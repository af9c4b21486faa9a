//! A service that knows nothing of versions: it stores what it is sent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::faults::{Faults, Work, status};

#[derive(Debug, Default)]
pub(crate) struct Documents(Mutex<HashMap<String, Bytes>>);

impl Documents {
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
        let document = self.lock().get(path).cloned();
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
        let old = match *method {
            Method::DELETE => self.lock().remove(path),
            _ => self.lock().insert(path.to_owned(), content.clone()),
        };
        work.after_effect().await?;
        Ok(match (method, old) {
            (&Method::DELETE, Some(_)) => status(StatusCode::NO_CONTENT),
            (&Method::DELETE, None) => status(StatusCode::NOT_FOUND),
            (_, old) => {
                let mut response = Response::new(content.into());
                if old.is_none() {
                    *response.status_mut() = StatusCode::CREATED;
                }
                response
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
