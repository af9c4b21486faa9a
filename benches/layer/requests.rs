//! The requests, the resources and the service that every case has.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use tower::service_fn;
use tower::util::ServiceFn;

/// As many resources as a table has in which look-ups are not all from the first cache.
pub const RESOURCES: usize = 10_000;

pub type Body = Full<Bytes>;
pub type Bare<B = Body> = ServiceFn<fn(Request<B>) -> Answered>;
pub type Answered = Ready<Result<Response<Body>, Infallible>>;

static URIS: LazyLock<Vec<Uri>> = LazyLock::new(|| {
    let uri = |nth: usize| {
        let path = format!(
            "/v1/partners/0b0e7a1e-93a5-4c3f-8a5e-0d6f6b6f2a11/orders/6b1f7a52-6c3e-4a9a-9a51-{nth:012}"
        );
        path.parse().expect("a path is a URI")
    };
    (0..RESOURCES).map(uri).collect()
});

pub static CONTENT: [u8; 1024] = [b'x'; 1024];

/// The resource whose turn it is, of all of them.
pub fn uri(nth: usize) -> &'static Uri {
    &URIS[nth % RESOURCES]
}

/// A request for the resource whose turn it is, with the fields of a usual client and one more.
pub fn request(
    method: Method,
    nth: usize,
    field: Option<(HeaderName, HeaderValue)>,
) -> Request<Body> {
    let mut request = Request::new(match method {
        Method::GET => Body::default(),
        _ => Body::new(Bytes::from_static(&CONTENT)),
    });
    *request.method_mut() = method;
    *request.uri_mut() = uri(nth).clone();
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("api.example.com"));
    headers.insert(USER_AGENT, HeaderValue::from_static("client/1.0"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
    match field {
        Some((name, value)) => headers.insert(name, value),
        None => headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json")),
    };
    request
}

/// The handler: 200, a `Content-Type`, 1 KiB.
pub fn handler<B>(_: Request<B>) -> Answered {
    let mut response = Response::new(Body::new(Bytes::from_static(&CONTENT)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    ready(Ok(response))
}

pub fn bare<B>() -> Bare<B> {
    service_fn(handler)
}
