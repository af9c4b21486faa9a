//! A service that compares versions itself, in the step that writes, as SQL does with
//! `WHERE version = $n`; and one that gets one of the rules wrong.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use http::header::ETAG;
use http::{Method, Response, StatusCode};
use tower_conditional::report::{Expected, Report, Representation};
use tower_conditional::store::{Answer, Current, Snapshot, State, StoreError, Version};
use tower_conditional::{ResourceKey, VersionStore};

use super::faults::{Faults, Work, status};
use super::rules::Rule;

#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Mutex<HashMap<String, Row>>,
    /// The rule that it breaks.
    broken: Option<Rule>,
}

/// A row stays when its content goes, so that its versions go on.
#[derive(Debug, Default)]
struct Row {
    version: u64,
    content: Option<Bytes>,
}

impl Row {
    fn current(&self) -> Current {
        Current::new(Version::from(self.version))
    }

    fn state(&self) -> State {
        match self.content {
            None => State::Absent,
            Some(_) => State::Present(self.current()),
        }
    }
}

impl Rows {
    pub(crate) fn breaking(broken: Option<Rule>) -> Self {
        Self {
            broken,
            ..Self::default()
        }
    }

    pub(crate) async fn answer(
        &self,
        faults: &Faults,
        method: &Method,
        path: &str,
        expected: &Expected,
        content: Bytes,
    ) -> Response<Body> {
        if method == Method::GET {
            return self.read(faults, path).await;
        }
        let mut work = faults.work();
        match self
            .change(&mut work, method, path, expected, content)
            .await
        {
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
        let mut found = self.find(path);
        pace.pause().await;
        if self.broken == Some(Rule::R3) {
            // The version, but not the content, is read again.
            found = found
                .zip(self.find(path))
                .map(|((content, _), (_, version))| (content, version));
        }
        let Some((content, current)) = found else {
            return status(StatusCode::NOT_FOUND);
        };
        let mut response = Response::new(content.into());
        if pace.flip() {
            let version = current.version.expect("every row has a version");
            let tag = format!("\"{version}\"")
                .parse()
                .expect("a number makes a tag");
            response.headers_mut().insert(ETAG, tag);
        } else {
            response.extensions_mut().insert(Report::Read(current));
        }
        response
    }

    fn find(&self, path: &str) -> Option<(Bytes, Current)> {
        let rows = self.lock();
        let row = rows.get(path)?;
        Some((row.content.clone()?, row.current()))
    }

    async fn change(
        &self,
        work: &mut Work<'_>,
        method: &Method,
        path: &str,
        expected: &Expected,
        content: Bytes,
    ) -> Result<Response<Body>, Response<Body>> {
        work.before_effect().await?;
        let mut wrote = match self.compare_and_set(method, path, expected, &content) {
            Ok(current) => current,
            Err(current) => {
                let mut response = status(StatusCode::CONFLICT);
                let current = current.filter(|_| work.flip());
                response
                    .extensions_mut()
                    .insert(Report::Conflict { current });
                return Ok(response);
            }
        };
        work.after_effect().await?;
        if *method == Method::DELETE {
            let mut response = status(StatusCode::NO_CONTENT);
            response.extensions_mut().insert(Report::Deleted);
            return Ok(response);
        }
        if self.broken == Some(Rule::R2)
            && let Some((_, now)) = self.find(path)
        {
            wrote = now;
        }
        let mut response = Response::new(content.into());
        response.extensions_mut().insert(Report::Wrote(wrote));
        Ok(response)
    }

    /// One step, as a statement in a database is one.
    fn compare_and_set(
        &self,
        method: &Method,
        path: &str,
        expected: &Expected,
        content: &Bytes,
    ) -> Result<Current, Option<Representation>> {
        let mut rows = self.lock();
        let row = rows.entry(path.to_owned()).or_default();
        if !expected.holds(&row.state()) {
            let content = row.content.clone();
            return Err(content.map(|content| Representation::json(row.current(), content)));
        }
        row.version += 1;
        row.content = (*method != Method::DELETE).then(|| content.clone());
        let current = row.current();
        if row.content.is_none() && self.broken == Some(Rule::R5) {
            rows.remove(path);
        }
        Ok(current)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VersionStore for Rows {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let state = self
            .lock()
            .get(key.as_str())
            .map_or(State::Absent, Row::state);
        Answer::later(async move {
            // As far away as a database.
            tokio::task::yield_now().await;
            Ok(Snapshot::settled(state))
        })
    }
}
