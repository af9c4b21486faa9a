//! Forwarding, and what is said of an upstream that does not answer.

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    self, ACCEPT_ENCODING, CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, VIA,
};
use axum::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use axum::http::{Method, StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower_conditional::report::Report;

use crate::common::problems::Failure;

/// Fields that are about one connection, and not for the next (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const OURS: HeaderValue = HeaderValue::from_static("1.1 tower-conditional");

/// The old service. Clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    authority: Authority,
    client: Client<HttpConnector, Body>,
    limit: Duration,
}

impl Upstream {
    /// The service at `url`, which has `limit` to answer.
    pub(crate) fn new(url: &str, limit: Duration) -> Result<Self, String> {
        let wrong = || format!("UPSTREAM is not of the form http://host:port: {url:?}");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        if uri.scheme() != Some(&Scheme::HTTP) || uri.path() != "/" || uri.query().is_some() {
            return Err(wrong());
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limit));
        connector.set_nodelay(true);
        Ok(Self {
            authority: uri.authority().cloned().ok_or_else(wrong)?,
            client: Client::builder(TokioExecutor::new()).build(connector),
            limit,
        })
    }

    /// Sends a request on, and brings the answer back; bodies pass as they come.
    pub(crate) async fn send(&self, mut request: Request) -> Response {
        if request.method() == Method::CONNECT {
            let status = StatusCode::NOT_IMPLEMENTED;
            return Failure::new(status, "not-implemented", "Not Implemented")
                .detail("There are no tunnels here.")
                .into_response();
        }
        let is_safe = request.method().is_safe();
        if let Err(failure) = self.prepare(&mut request) {
            return failure.into_response();
        }
        match tokio::time::timeout(self.limit, self.client.request(request)).await {
            Ok(Ok(response)) => {
                let mut response = response.map(Body::new);
                remove_hop_by_hop(response.headers_mut());
                response.headers_mut().append(VIA, OURS);
                *response.version_mut() = Version::HTTP_11;
                response
            }
            Ok(Err(error)) => {
                eprintln!("upstream: {}", causes(&error));
                broken(is_safe, error.is_connect())
            }
            Err(_) => {
                let status = StatusCode::GATEWAY_TIMEOUT;
                Failure::new(status, "gateway-timeout", "Gateway Timeout")
                    .detail(unanswered(is_safe))
                    .into_response()
            }
        }
    }

    /// Makes of a request to us one to the upstream.
    fn prepare(&self, request: &mut Request) -> Result<(), Failure> {
        let from = request.uri();
        // The name that the client knows us by: links in the answer then lead back to us.
        let host = from
            .authority()
            .map(|authority| authority.as_str().to_owned());
        let path = from.path_and_query().cloned();
        let uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
            .build();
        *request.uri_mut() = uri.map_err(|_| unsendable())?;
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        remove_hop_by_hop(headers);
        // Whoever waits for a 100 gets it from here, as soon as somebody wants to read.
        headers.remove(EXPECT);
        headers.append(VIA, OURS);
        if let Some(host) = host {
            let host = HeaderValue::try_from(host).map_err(|_| unsendable())?;
            headers.insert(HOST, host);
        }
        Ok(())
    }
}

fn unsendable() -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "bad-request", "Bad Request")
        .detail("The target of the request is none that could be sent on.")
}

/// No answer, or half of one.
fn broken(is_safe: bool, never_sent: bool) -> Response {
    let failure = Failure::new(StatusCode::BAD_GATEWAY, "bad-gateway", "Bad Gateway");
    if !never_sent {
        // An unsafe request may have been carried out: the layer gives the resource a new version.
        return failure.detail(unanswered(is_safe)).into_response();
    }
    let failure = failure.detail("The upstream cannot be reached. Nothing was changed.");
    let mut response = failure.into_response();
    response.extensions_mut().insert(Report::Unchanged);
    response
}

const fn unanswered(is_safe: bool) -> &'static str {
    if is_safe {
        "The upstream did not answer."
    } else {
        "The upstream did not answer. The write may have happened: read the resource before trying \
         again."
    }
}

fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let listed = headers.get_all(CONNECTION).into_iter();
    let listed: Vec<HeaderName> = listed
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The conditions of a guarded request were about our tags, of which the upstream knows nothing. A
/// date it is left to judge, unless a tag stands beside it and counts in its place.
pub(crate) fn without_conditions(headers: &mut HeaderMap) {
    if headers.remove(IF_NONE_MATCH).is_some() {
        headers.remove(IF_MODIFIED_SINCE);
    }
    if headers.remove(IF_MATCH).is_some() {
        headers.remove(IF_UNMODIFIED_SINCE);
    }
    // Where it is false, the layer has taken the Range away.
    headers.remove(IF_RANGE);
    // One version, one tag, one sequence of bytes.
    headers.remove(ACCEPT_ENCODING);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_host_that_speaks_http() {
        for (url, is_one) in [
            ("http://127.0.0.1:8080", true),
            ("http://old.internal/", true),
            ("https://old.internal", false),
            ("http://old.internal/base", false),
            ("http://old.internal/?a=b", false),
            ("old.internal:8080", false),
            ("/", false),
            ("", false),
        ] {
            let upstream = Upstream::new(url, Duration::from_secs(1));
            assert_eq!(upstream.is_ok(), is_one, "{url}");
        }
    }
}
