//! One document that sixteen writers of one process want at once: who asks the database and loses asks
//! again, who waits for the others here asks once.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::policy::{Busy, IfMatch};
use tower_conditional::store::QueuedStore;
use tower_conditional::store::sql::PostgresStore;
use tower_conditional::{
    ConditionalLayer, MemoryStore, Policy, RequestBody, ResourceKey, ResponseBody, SequenceLayer,
};

use crate::postgres::{Writer, make_documents};
use crate::rounds::{Bench, Calls, Case};
use crate::support::Postgres;

const WRITERS: usize = 16;

pub(crate) async fn table(bench: &mut Bench) {
    let Some(server) = Postgres::start().await else {
        return;
    };
    let database = server.database().await;
    let pool = &database.pool;
    make_documents(pool, &["bare", "sequence"]).await;
    let store = PostgresStore::open(pool.clone())
        .await
        .expect("a new table");
    let of = |case| {
        let pool = pool.clone();
        move |_| Writer::new(&pool, case, 0)
    };
    // In sequence, one after the other in this process; the statement still compares.
    let writer = Arc::new(Writer::new(pool, "sequence", 0));
    let handler = service_fn(move |_: Passed| read_and_update(Arc::clone(&writer)));
    let layer = SequenceLayer::new(MemoryStore::new(), |parts, _| {
        Some(ResourceKey::new(parts.uri.path()))
    });
    let sequence = Service::new(layer.wait(WAIT).layer(handler));

    let handler = service_fn(|_: Passed| async { Ok(Response::new(Full::default())) });
    let layer = ConditionalLayer::new(QueuedStore::new(store));
    let policy = Policy::rfc9110()
        .if_match(IfMatch::Optional)
        .busy(Busy::Wait(WAIT));
    let queued = Service::new(layer.policy(policy).layer(handler));

    let cases = vec![
        Case::new(
            "SELECT, UPDATE … WHERE version, and again",
            of("bare"),
            retry,
        ),
        Case::new(
            "the same behind SequenceLayer",
            move |_| sequence.clone(),
            put,
        ),
        Case::new("claim mode with QueuedStore", move |_| queued.clone(), put),
    ];
    let calls: Calls<'_> = &|| Box::pin(database.calls());
    let table = "PostgreSQL, one hot document";
    bench.table(table, WRITERS, cases, calls).await;
}

const WAIT: Duration = Duration::from_secs(5);

type Passed = Request<RequestBody<Full<Bytes>>>;
type Answer = Response<ResponseBody<Full<Bytes>>>;
type Service = BoxCloneSyncService<Request<Full<Bytes>>, Answer, Infallible>;

async fn retry(writer: Arc<Writer>) -> u32 {
    let seen = writer.look().await;
    u32::from(writer.update(seen).await.is_some())
}

async fn read_and_update(writer: Arc<Writer>) -> Result<Response<Full<Bytes>>, Infallible> {
    let seen = writer.look().await;
    let written = writer.update(seen).await;
    assert!(written.is_some(), "somebody else wrote in between");
    Ok(Response::new(Full::default()))
}

async fn put(service: Arc<Service>) -> u32 {
    let mut request = Request::new(Full::from("{}"));
    *request.method_mut() = Method::PUT;
    *request.uri_mut() = http::Uri::from_static("/documents/hot");
    let Ok(response) = Service::clone(&service).oneshot(request).await;
    u32::from(response.status().is_success())
}
