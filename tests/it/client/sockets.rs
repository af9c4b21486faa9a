//! The same over real sockets, with hyper-util's client and with reqwest.

use axum::Router;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};
use tower_conditional::client::{ClientLayer, ErrorKind, Revalidated};

use super::notes::{Notes, add};
use crate::support::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_on_one_document_all_get_through() {
    for serve in [Notes::comparing, Notes::claiming] {
        let hyper = Hyper::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        all_get_through(serve, hyper).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_all_get_through_with_reqwest_too() {
    let reqwest = reqwest::Client::new();
    // Its own tower service speaks of its own requests and answers; both convert.
    let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
        let reqwest = reqwest.clone();
        async move {
            let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))?;
            let answer = reqwest.oneshot(request).await?;
            Ok::<_, reqwest::Error>(Response::from(answer))
        }
    });
    all_get_through(Notes::comparing, service).await;
}

async fn all_get_through<S, R>(serve: fn(&Notes) -> Router, service: S)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let notes = Notes::new();
    let server = Server::start(serve(&notes)).await;
    let uri: Uri = format!("http://{}/note", server.address).parse().unwrap();
    let client = ClientLayer::new().requests(60).layer(service);
    let mut editors = JoinSet::new();
    for editor in 0..6 {
        let (client, uri) = (client.clone(), uri.clone());
        editors.spawn(async move {
            let mut conflicts = 0;
            for edit in 0..5 {
                let name = format!("{editor}-{edit}");
                let updated = client.update(uri.clone(), add(&name)).await.unwrap();
                conflicts += updated.conflicts();
            }
            conflicts
        });
    }
    let conflicts: u32 = editors.join_all().await.into_iter().sum();
    assert!(conflicts > 0, "they never met");
    let edits = notes.edits();
    assert_eq!(edits.len(), 30);
    assert!(edits.values().all(|times| *times == 1), "{edits:?}");
}

#[tokio::test]
async fn an_unchanged_document_costs_no_content() {
    let notes = Notes::new();
    let server = Server::start(notes.comparing()).await;
    let uri = format!("http://{}/note", server.address);
    let hyper = Hyper::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut client = ClientLayer::new().layer(hyper);
    for revalidated in [false, true, true] {
        let request = Request::get(&uri).body(Full::default()).unwrap();
        let answer = client.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.extensions().get::<Revalidated>().is_some(),
            revalidated
        );
        let content = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(content, r#"{"edits":[]}"#);
    }
}

#[tokio::test]
async fn nobody_listening_is_told_with_its_cause() {
    let hyper = Hyper::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = ClientLayer::new().requests(2).layer(hyper);
    // Port 1 is nobody's.
    let error = client
        .read(Uri::from_static("http://127.0.0.1:1/note"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let source = std::error::Error::source(&error).expect("the cause is kept");
    assert!(
        source.is::<hyper_util::client::legacy::Error>(),
        "{source:?}"
    );
}
