//! Extractors and responders for axum handlers that compare versions themselves (feature `axum`).
//!
//! What [`report`](crate::report) says in extensions, these say in types: a handler takes
//! [`Expected`], and answers with [`Versioned`], [`Wrote`], [`Created`], [`Unchanged`], [`Deleted`] or
//! [`Conflict`].
//!
//! ```
//! use axum::{Json, Router, extract::{Path, State}, http::StatusCode, routing::get};
//! use std::sync::{Arc, Mutex};
//! use tower_conditional::ConditionalLayer;
//! use tower_conditional::axum::{Conflict, Expected, Versioned, Wrote};
//!
//! /// One row: a version and a name. Stands for a table.
//! type Row = Arc<Mutex<(i64, String)>>;
//!
//! async fn read(State(row): State<Row>) -> Versioned<Json<String>> {
//!     let (version, name) = row.lock().expect("no handler panics").clone();
//!     Versioned(version.into(), Json(name))
//! }
//!
//! async fn rename(
//!     State(row): State<Row>,
//!     expected: Expected,
//!     Json(name): Json<String>,
//! ) -> Result<Wrote<StatusCode>, Conflict> {
//!     // UPDATE … SET version = version + 1 WHERE id = $1 AND ($2 IS NULL OR version = ANY($2))
//!     let mut row = row.lock().expect("no handler panics");
//!     if expected.numbers().is_some_and(|versions| !versions.contains(&row.0)) {
//!         return Err(Conflict::with_json(row.0, &row.1));
//!     }
//!     *row = (row.0 + 1, name);
//!     Ok(Wrote(row.0.into(), StatusCode::NO_CONTENT))
//! }
//!
//! let app: Router = Router::new()
//!     .route("/name", get(read).put(rename).layer(ConditionalLayer::handler()))
//!     .with_state(Row::default());
//! ```

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::key::ResourceKey;
use crate::problem::{Problem, Reason, trace_id};
pub use crate::report::Expected;
use crate::report::{Report, Representation};
use crate::store::Current;

impl<S> FromRequestParts<S> for Expected
where
    S: Sync,
{
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingLayer> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| MissingLayer {
                trace_id: trace_id(&parts.headers),
            })
    }
}

/// A handler asked for [`Expected`] on a route without a
/// [`ConditionalLayer`](crate::ConditionalLayer) in handler mode: 500, type
/// `precondition-not-enforced`, so that it shows in the first test.
///
/// See the [module docs](crate::axum) for a route that has one.
#[derive(Debug, Clone)]
pub struct MissingLayer {
    trace_id: String,
}

/// A problem of the application's own, with a fresh trace id if it has none.
///
/// ```
/// use axum::http::StatusCode;
/// use tower_conditional::Problem;
///
/// async fn handler() -> Result<&'static str, Problem> {
///     Err(Problem::new(StatusCode::NOT_FOUND, "not-found", "Not Found"))
/// }
/// ```
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let problem = match self.trace_id() {
            "" => self.with_trace_id(trace_id(&HeaderMap::new())),
            _ => self,
        };
        problem.to_response().map(axum::body::Body::from)
    }
}

impl IntoResponse for MissingLayer {
    fn into_response(self) -> Response {
        Problem::of(Reason::NotEnforced, StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail("The route has no ConditionalLayer in handler mode.")
            .with_trace_id(self.trace_id)
            .into_response()
    }
}

/// An answer with the version that was read together with it.
///
/// See the [module docs](crate::axum) for an example.
#[derive(Debug, Clone)]
pub struct Versioned<T>(pub Current, pub T);

impl<T> IntoResponse for Versioned<T>
where
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        reporting(self.1, Report::Read(self.0))
    }
}

/// An answer to a write that made this version.
///
/// See the [module docs](crate::axum) for an example.
#[derive(Debug, Clone)]
pub struct Wrote<T>(pub Current, pub T);

impl<T> IntoResponse for Wrote<T>
where
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        reporting(self.1, Report::Wrote(self.0))
    }
}

/// An answer to a `POST` that created a resource: 201, `Location`, and the tag of the new one.
///
/// ```
/// use axum::Json;
/// use tower_conditional::axum::Created;
///
/// async fn create() -> Created<Json<&'static str>> {
///     // INSERT INTO orders …
///     Created::at("/orders/7", 1, Json("the new order"))
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Created<T> {
    location: String,
    key: ResourceKey,
    current: Current,
    answer: T,
}

impl<T> Created<T> {
    /// The answer of a resource that is there from now on, at `path`. Its key is that path, as the
    /// layer finds it in later requests.
    pub fn at(path: impl Into<String>, current: impl Into<Current>, answer: T) -> Self {
        let location = path.into();
        Self {
            key: ResourceKey::new(&*location),
            location,
            current: current.into(),
            answer,
        }
    }

    /// The same, where the layer of its route has another [key](crate::ConditionalLayer::key).
    pub fn with_key(mut self, key: ResourceKey) -> Self {
        self.key = key;
        self
    }
}

impl<T> IntoResponse for Created<T>
where
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        let (key, current) = (self.key, self.current);
        let location = [(LOCATION, self.location)];
        let answer = (StatusCode::CREATED, location, self.answer);
        reporting(answer, Report::Created { key, current })
    }
}

/// An answer to a write that found nothing to change.
///
/// ```
/// use axum::Json;
/// use tower_conditional::axum::Unchanged;
///
/// async fn touch() -> Unchanged<Json<&'static str>> {
///     Unchanged(Json("as it was"))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Unchanged<T>(pub T);

impl<T> IntoResponse for Unchanged<T>
where
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        reporting(self.0, Report::Unchanged)
    }
}

/// The answer to a `DELETE` that deleted: 204.
///
/// ```
/// use tower_conditional::axum::{Conflict, Deleted, Expected};
///
/// async fn delete(expected: Expected) -> Result<Deleted, Conflict> {
///     // DELETE … WHERE id = $1 AND ($2 IS NULL OR version = ANY($2))
///     Ok(Deleted)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Deleted;

impl IntoResponse for Deleted {
    fn into_response(self) -> Response {
        reporting(StatusCode::NO_CONTENT, Report::Deleted)
    }
}

/// The version that the client expects is not current, and nothing was written. The layer answers
/// exactly as if it had seen the conflict itself.
///
/// See the [module docs](crate::axum) for an example.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Conflict {
    current: Option<Representation>,
}

impl Conflict {
    /// A conflict with a representation that was read in one go with its version.
    pub const fn with(current: Representation) -> Self {
        Self {
            current: Some(current),
        }
    }

    /// A conflict with the resource as it is now, which is written as JSON. Of a resource that
    /// cannot be, only the version is told.
    pub fn with_json(version: impl Into<Current>, resource: &impl Serialize) -> Self {
        let body = serde_json::to_vec(resource).unwrap_or_default();
        Self::with(Representation::json(version.into(), body))
    }
}

impl IntoResponse for Conflict {
    fn into_response(self) -> Response {
        let report = Report::Conflict {
            current: self.current,
        };
        reporting(StatusCode::CONFLICT, report)
    }
}

/// Does the client want the version inside of the representation? It asks for it with
/// `?include=version`, alone or among others.
///
/// The representation with the version has other bytes than the one without, and so it needs a tag
/// of its own: tell the [policy](crate::Policy::variant).
///
/// ```
/// use axum::Json;
/// use serde_json::{Map, Value};
/// use tower_conditional::Policy;
/// use tower_conditional::axum::{IncludeVersion, Versioned};
///
/// let policy = Policy::rfc9110().variant("version", IncludeVersion::is_asked);
/// # let _ = policy;
///
/// async fn read(include: IncludeVersion) -> Versioned<Json<Map<String, Value>>> {
///     let (version, mut order) = (5, Map::new());
///     include.add_to(&mut order, version);
///     Versioned(version.into(), Json(order))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncludeVersion(pub bool);

impl IncludeVersion {
    /// Does this request ask for the version?
    #[must_use]
    pub fn is_asked(parts: &Parts) -> bool {
        let pairs = parts.uri.query().unwrap_or_default().split('&');
        let mut included = pairs.filter_map(|pair| pair.strip_prefix("include="));
        // Many clients write the comma as `%2C`.
        included.any(|names| {
            let names = percent_decoded(names.as_bytes());
            names
                .split(|byte| *byte == b',')
                .any(|name| name == b"version")
        })
    }

    /// Puts the member `version` into `object`, if it was asked for.
    pub fn add_to(self, object: &mut Map<String, Value>, version: impl Into<Value>) {
        if self.0 {
            object.insert("version".to_owned(), version.into());
        }
    }
}

impl<S> FromRequestParts<S> for IncludeVersion
where
    S: Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Self::is_asked(parts)))
    }
}

/// `%2C` is a comma; what is no such code stays as it is.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.first_chunk().filter(|_| *byte == b'%');
        let code = digits.and_then(|[high, low]: &[u8; 2]| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        });
        decoded.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn reporting(answer: impl IntoResponse, report: Report) -> Response {
    let mut response = answer.into_response();
    response.extensions_mut().insert(report);
    response
}
