//! Clients that read, change and write; lose patience; and believe what they are told.

use std::sync::Arc;

use http::header::{ETAG, IF_MATCH};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;
use shuttle::future::yield_now;
use tower::{Service, ServiceExt as _};

use super::PATH;
use super::findings::{Finding, Findings};
use super::handler::{Broken, Document};
use super::runtime::{random_patience, until_out_of};

const WRITES_OF_EACH: u32 = 3;
/// How often a client looks for a read that can be written on, before it leaves for good.
const LOOKS: u32 = 8;

/// What a client knows: a state of the document, and its tag.
struct Known {
    tag: String,
    writes: String,
}

pub(super) async fn run<S, R>(
    client: u32,
    service: S,
    document: Arc<Document>,
    findings: Arc<Findings>,
) where
    S: Service<Request<String>, Response = Response<R>, Error = Broken> + Clone + Send,
    R: Body + Send,
{
    let mut known = None;
    for number in 0..WRITES_OF_EACH {
        let base = match known.take() {
            Some(known) => known,
            None => match look(&service, &document, &findings).await {
                Some(known) => known,
                None => return,
            },
        };
        let write = format!("{client}.{number}");
        // Time to think: others may read the same version, or write on it.
        yield_now().await;
        known = put(&service, base, write, &document, &findings).await;
    }
}

async fn look<S, R>(service: &S, document: &Document, findings: &Findings) -> Option<Known>
where
    S: Service<Request<String>, Response = Response<R>, Error = Broken> + Clone + Send,
    R: Body + Send,
{
    for _ in 0..LOOKS {
        let request = Request::get(PATH).body(String::new()).unwrap();
        let response = service.clone().oneshot(request).await;
        let response = response.expect("reads do not break");
        assert_eq!(response.status(), StatusCode::OK);
        if let Some(tag) = tag_of(&response) {
            let body = response.into_body().collect().await;
            let body = body.ok().expect("bodies in memory do not break off");
            let writes = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            return Some(told(tag, writes, document, findings));
        }
        findings.seen.untagged.add();
        yield_now().await;
    }
    None
}

/// Writes, and says what it knows afterwards: something only if it was acknowledged with a tag.
async fn put<S, R>(
    service: &S,
    base: Known,
    write: String,
    document: &Document,
    findings: &Findings,
) -> Option<Known>
where
    S: Service<Request<String>, Response = Response<R>, Error = Broken> + Clone + Send,
    R: Body + Send,
{
    let writes = format!("{} {write}", base.writes);
    let request = Request::builder().method(Method::PUT).uri(PATH);
    let request = request.header(IF_MATCH, base.tag).body(writes.clone());
    let answer = service.clone().oneshot(request.unwrap());
    let seen = &findings.seen;
    let Some(answer) = until_out_of(random_patience(), answer).await else {
        seen.client_left.add();
        return None;
    };
    let response = answer.ok()?;
    match response.status() {
        StatusCode::NO_CONTENT => {
            seen.acknowledged.add();
            document.acknowledge(write);
            return tag_of(&response).map(|tag| told(tag, writes, document, findings));
        }
        StatusCode::PRECONDITION_FAILED => seen.refused.add(),
        StatusCode::SERVICE_UNAVAILABLE => seen.busy.add(),
        // The handler's own refusal, its failure, or an outcome that nobody knows.
        _ => return None,
    }
    if document.was_handled(&write) {
        findings.report(Finding::RanThoughRefused);
    }
    None
}

fn tag_of<R>(response: &Response<R>) -> Option<String> {
    let tag = response.headers().get(ETAG)?;
    Some(tag.to_str().expect("tags are ASCII").to_owned())
}

fn told(tag: String, writes: String, document: &Document, findings: &Findings) -> Known {
    if !document.tags.names_only(&tag, &writes) {
        findings.report(Finding::TagOfTwoStates);
    }
    Known { tag, writes }
}
