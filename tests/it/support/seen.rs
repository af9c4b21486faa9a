//! Requests in one line, and answers that have been read to the end.

use std::error::Error;
use std::fmt::Debug;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_conditional::ConditionalLayer;
use tower_conditional::problem::Reason;

use super::Site;

pub(crate) fn request(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
        .body(Full::from(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap()
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    /// Why the layer answered in the handler's place, as the body says.
    of_body: Option<Reason>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn etag(&self) -> Option<&str> {
        self.header("etag")
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        self.of_body.or(self.extensions.get().copied())
    }

    /// The `type` of the problem document; empty if it is none.
    pub(crate) fn problem(&self) -> String {
        if self.header("content-type") != Some("application/problem+json") {
            return String::new();
        }
        let document = json(&self.body);
        assert_eq!(document["status"], self.status, "{document}");
        assert!(document["title"].is_string(), "{document}");
        assert!(document["traceId"].is_string(), "{document}");
        document["type"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn json(body: &Bytes) -> serde_json::Value {
    serde_json::from_slice(body).unwrap()
}

pub(crate) async fn see<B>(response: Response<B>) -> Seen
where
    B: Body<Data = Bytes>,
    B::Error: Debug + Into<Box<dyn Error + Send + Sync>>,
{
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Seen {
        status: parts.status.as_u16(),
        headers: parts.headers,
        extensions: parts.extensions,
        body: body.to_bytes(),
        trailers,
        of_body: None,
    }
}

/// One request through the layer to the site.
pub(crate) async fn ask(
    layer: &ConditionalLayer,
    site: &Site,
    request: Request<Full<Bytes>>,
) -> Seen {
    let response = layer.layer(site.service()).oneshot(request).await;
    let response = response.unwrap();
    let of_body = response.body().reason();
    if !response.body().is_end_stream() && of_body != Some(Reason::NotModified) {
        // Whatever has a document says so in both places.
        assert_eq!(response.extensions().get().copied(), of_body);
    }
    let mut seen = see(response).await;
    seen.of_body = of_body;
    seen
}
