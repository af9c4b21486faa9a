//! The real layer, between a handler that knows nothing of versions and, where a vector has one, a
//! layer that answers before it.

use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LOCATION, EXPIRES, RANGE, VARY};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Either, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::policy::{ConflictStatus, IfMatch, MissingStatus};
use tower_conditional::{ConditionalLayer, Policy, RequestBody};

use crate::store::OneResource;
use crate::vector::{Handler, Route, Vector, header_name, header_value};
use crate::verdict::Got;

type BoxError = Box<dyn Error + Send + Sync>;

/// Everything that stands behind the wire for one vector.
pub(crate) struct Harness {
    layer: ConditionalLayer,
    handler: Handler,
    outer_status: Option<StatusCode>,
    calls: Mutex<Vec<HeaderMap>>,
}

impl Harness {
    pub(crate) fn of(vector: &Vector) -> Arc<Self> {
        let store = OneResource::of(vector);
        Arc::new(Self {
            layer: ConditionalLayer::new(store).policy(policy(vector)),
            handler: vector.handler.clone(),
            outer_status: vector.outer_status,
            calls: Mutex::default(),
        })
    }

    /// Answers a request, whatever its body is.
    pub(crate) async fn answer<B>(
        self: Arc<Self>,
        request: Request<B>,
    ) -> Result<Response<impl Body<Data = Bytes, Error = BoxError> + use<B>>, BoxError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Error + Send + Sync + 'static,
    {
        if let Some(status) = self.outer_status {
            let mut response = Response::new(Either::Left(Full::from("the outer layer")));
            *response.status_mut() = status;
            return Ok(response);
        }
        let handler = Arc::clone(&self);
        let service = self
            .layer
            .layer(service_fn(move |request: Request<RequestBody<B>>| {
                let response = handler.handle(request.method(), request.headers());
                async move { Ok::<_, Infallible>(response) }
            }));
        Ok(service.oneshot(request).await?.map(Either::Right))
    }

    /// The handler: it never looks at conditions.
    fn handle(&self, method: &Method, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(headers.clone());
        let partial = self.handler.honours_range && headers.contains_key(RANGE);
        let status = if partial {
            StatusCode::PARTIAL_CONTENT
        } else {
            self.handler.status
        };
        let no_content = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
            || method == Method::HEAD;
        let mut response = Response::new(Full::from(if no_content { "" } else { "content" }));
        *response.status_mut() = status;
        for (name, value) in &self.handler.headers {
            response.headers_mut().append(name, value.clone());
        }
        response
    }

    /// The fields that the handler has seen, for each time that it ran.
    pub(crate) fn calls(&self) -> Vec<HeaderMap> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.clone()
    }
}

/// Runs a vector in process.
pub(crate) async fn run(vector: &Vector) -> Got {
    let mut request = Request::new(Full::from(vector.body));
    *request.method_mut() = vector.method.clone();
    *request.uri_mut() = "/orders/5".parse().expect("a path is a URI");
    for (name, value) in &vector.lines {
        let headers = request.headers_mut();
        headers.append(header_name(name), header_value(value));
    }
    let harness = Harness::of(vector);
    let response = Arc::clone(&harness).answer(request).await;
    let (parts, body) = response.expect("nothing here fails").into_parts();
    let body = body.collect().await.expect("no body here fails");
    Got {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes().to_vec(),
        calls: harness.calls(),
    }
}

fn policy(vector: &Vector) -> Policy {
    let Route {
        required,
        conflict_status,
        missing_status,
    } = vector.route;
    let if_match = if required {
        IfMatch::Required
    } else {
        IfMatch::Optional
    };
    let policy = Policy::rfc9110()
        .if_match(if_match)
        .if_match_for(Method::POST, if_match)
        .conflict_status(match conflict_status {
            StatusCode::CONFLICT => ConflictStatus::Conflict,
            StatusCode::PRECONDITION_FAILED => ConflictStatus::PreconditionFailed,
            other => panic!("no route answers a conflict with {other}"),
        })
        .missing_status(match missing_status {
            StatusCode::BAD_REQUEST => MissingStatus::BadRequest,
            StatusCode::PRECONDITION_REQUIRED => MissingStatus::PreconditionRequired,
            other => panic!("no route answers a missing If-Match with {other}"),
        });
    // What the 200 of a read carries, and a 304 must: the format lets the route be told.
    let told = [CACHE_CONTROL, CONTENT_LOCATION, EXPIRES, VARY];
    let reads = [Method::GET, Method::HEAD].contains(&vector.method);
    let headers = vector.handler.headers.iter();
    headers
        .filter(|(name, _)| reads && told.contains(name))
        .fold(policy, |policy, (name, value)| {
            policy.read_header(name.clone(), value.clone())
        })
}
