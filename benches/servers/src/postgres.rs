//! PostgreSQL: conditional writes, stale ones and reads, with one client and with sixteen, each on a
//! document of its own.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ETAG, HeaderValue, IF_MATCH};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use sqlx::{Executor, PgPool, QueryBuilder};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::policy::IfMatch;
use tower_conditional::report::{Expected, Report};
use tower_conditional::store::sql::{Compared, Comparison, PostgresStore, compare_and_set};
use tower_conditional::store::{
    ClaimOptions, Claimed, Condition, Current, Intent, Version, VersionStore,
};
use tower_conditional::{
    ClaimStore, ConditionalLayer, Policy, RequestBody, ResourceKey, ResponseBody,
};

use crate::rounds::{Bench, Calls, Case};
use crate::support::Postgres;

const BODY: &str = "{\"customer\":\"ACME\",\"lines\":[1,2,3]}";

pub(crate) async fn tables(bench: &mut Bench) {
    let Some(server) = Postgres::start().await else {
        return;
    };
    let database = server.database().await;
    let pool = &database.pool;
    make_documents(pool, &["hand", "library", "layer", "locked"]).await;
    let store = PostgresStore::open(pool.clone()).await;
    let store = &store.expect("a new table");
    let calls: Calls<'_> = &|| Box::pin(database.calls());

    for clients in [1, 16] {
        let of = |case| {
            let pool = pool.clone();
            move |number| Writer::new(&pool, case, number)
        };
        let requester = |layer: ConditionalLayer| {
            let pool = pool.clone();
            let layer = layer.policy(Policy::rfc9110().if_match(IfMatch::Optional));
            move |number| Requester::new(&layer, Writer::new(&pool, "layer", number))
        };
        let writes = vec![
            Case::new("UPDATE … WHERE version, by hand", of("hand"), by_hand),
            Case::new("compare_and_set", of("library"), by_library),
            Case::new(
                "the same in the handler of a whole request",
                requester(ConditionalLayer::handler()),
                put,
            ),
            Case::new(
                "a whole request in claim mode",
                requester(ConditionalLayer::new(store.clone())),
                put,
            ),
            Case::new(
                "BEGIN, SELECT FOR UPDATE, UPDATE, COMMIT",
                of("locked"),
                locked,
            ),
        ];
        let table = "PostgreSQL, a write that is accepted";
        bench.table(table, clients, writes, calls).await;

        let key = |store: &PostgresStore| {
            let store = store.clone();
            move |number| {
                (
                    store.clone(),
                    ResourceKey::new(format!("/documents/{number}")),
                )
            }
        };
        let stale = vec![
            Case::new("UPDATE … WHERE version, by hand", of("hand"), stale_by_hand),
            Case::new("a claim that is stale", key(store), stale_claim),
        ];
        let table = "PostgreSQL, a write that is stale";
        bench.table(table, clients, stale, calls).await;

        let reads = vec![
            Case::new("SELECT version, by hand", of("hand"), read_by_hand),
            Case::new("current of the store", key(store), read),
        ];
        let table = "PostgreSQL, the version of a document";
        bench.table(table, clients, reads, calls).await;
    }
}

/// Some documents for each of the cases.
pub(crate) async fn make_documents(pool: &PgPool, cases: &[&str]) {
    let make = "CREATE TABLE documents (id text PRIMARY KEY, version bigint NOT NULL, body text)";
    pool.execute(make).await.expect("a new table");
    for case in cases {
        let fill = format!(
            "INSERT INTO documents SELECT '{case}-' || n, 1, '{BODY}' FROM generate_series(0, 63) AS n"
        );
        pool.execute(&*fill).await.expect("a new table");
    }
}

/// Writes one document, over and over, and nobody else does.
pub(crate) struct Writer {
    pool: PgPool,
    id: String,
    /// The version that it has seen last; 0 before that.
    version: Mutex<i64>,
}

impl Writer {
    pub(crate) fn new(pool: &PgPool, case: &str, number: usize) -> Self {
        Self {
            pool: pool.clone(),
            id: format!("{case}-{number}"),
            version: Mutex::new(0),
        }
    }

    /// The version of the document.
    async fn version(&self) -> i64 {
        let seen = *self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if seen > 0 { seen } else { self.look().await }
    }

    pub(crate) async fn look(&self) -> i64 {
        let query = sqlx::query_scalar("SELECT version FROM documents WHERE id = $1");
        let version = query.bind(&self.id).fetch_one(&self.pool).await;
        version.expect("it is there")
    }

    /// How often it has succeeded: once, or not at all.
    pub(crate) fn saw(&self, written: Option<i64>) -> u32 {
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        *version = written.unwrap_or(0);
        u32::from(written.is_some())
    }

    pub(crate) async fn update(&self, expected: i64) -> Option<i64> {
        let update = "UPDATE documents SET body = $1, version = version + 1
            WHERE id = $2 AND version = $3 RETURNING version";
        let query = sqlx::query_scalar(update);
        let query = query.bind(BODY).bind(&self.id).bind(expected);
        query.fetch_optional(&self.pool).await.expect("it is SQL")
    }

    async fn compare_and_set(&self, expected: &Expected) -> Option<i64> {
        let mut update = QueryBuilder::new("UPDATE documents SET body = ");
        update
            .push_bind(BODY)
            .push(", version = version + 1 WHERE id = ");
        update.push_bind(&self.id);
        update.and_expected("version", expected);
        update.push(" RETURNING version");
        let current = sqlx::query_as("SELECT version FROM documents WHERE id = $1").bind(&self.id);
        let mut connection = self.pool.acquire().await.expect("there is one");
        let compared: Compared<(i64,), (i64,)> =
            compare_and_set(&mut *connection, update.build_query_as(), current)
                .await
                .expect("it is SQL");
        match compared {
            Compared::Wrote((version,)) => Some(version),
            Compared::Conflict(_) => None,
        }
    }
}

async fn by_hand(writer: Arc<Writer>) -> u32 {
    let expected = writer.version().await;
    let written = writer.update(expected).await;
    writer.saw(written)
}

async fn by_library(writer: Arc<Writer>) -> u32 {
    let mut expected = Expected::default();
    expected.if_match = Condition::AnyOf(vec![Version::from(writer.version().await)]);
    let written = writer.compare_and_set(&expected).await;
    writer.saw(written)
}

async fn locked(writer: Arc<Writer>) -> u32 {
    let expected = writer.version().await;
    let mut transaction = writer.pool.begin().await.expect("it serves");
    let select = "SELECT version FROM documents WHERE id = $1 FOR UPDATE";
    let query = sqlx::query_scalar(select).bind(&writer.id);
    let found: i64 = query
        .fetch_one(&mut *transaction)
        .await
        .expect("it is there");
    if found != expected {
        return writer.saw(None);
    }
    let update = "UPDATE documents SET body = $1, version = version + 1
        WHERE id = $2 RETURNING version";
    let query = sqlx::query_scalar(update).bind(BODY).bind(&writer.id);
    let written = query.fetch_one(&mut *transaction).await.expect("it is SQL");
    transaction.commit().await.expect("it serves");
    writer.saw(Some(written))
}

async fn stale_by_hand(writer: Arc<Writer>) -> u32 {
    u32::from(writer.update(-7).await.is_none())
}

async fn read_by_hand(writer: Arc<Writer>) -> u32 {
    u32::from(writer.look().await > 0)
}

type Keyed = Arc<(PostgresStore, ResourceKey)>;

async fn stale_claim(keyed: Keyed) -> u32 {
    let (store, key) = &*keyed;
    let options = ClaimOptions {
        wait: Duration::ZERO,
        lease: Duration::from_secs(30),
        intent: Intent::Write,
    };
    let stale = Condition::AnyOf(vec![Version::from(7_u64)]);
    let claimed = store.claim(key, &stale, options).await;
    u32::from(matches!(claimed, Ok(Claimed::Failed(_))))
}

async fn read(keyed: Keyed) -> u32 {
    let (store, key) = &*keyed;
    u32::from(store.current(key).await.is_ok())
}

type Passed = Request<RequestBody<Full<Bytes>>>;
type Answer = Response<ResponseBody<Full<Bytes>>>;

/// A client of the whole stack, but for the wire.
struct Requester {
    service: BoxCloneSyncService<Request<Full<Bytes>>, Answer, Infallible>,
    path: String,
    tag: Mutex<Option<HeaderValue>>,
}

impl Requester {
    /// In handler mode the handler compares; in claim mode it does nothing at all.
    fn new(layer: &ConditionalLayer, writer: Writer) -> Self {
        let path = format!("/{}", writer.id);
        let writer = Arc::new(writer);
        let handler = service_fn(move |request: Passed| handle(Arc::clone(&writer), request));
        Self {
            service: BoxCloneSyncService::new(layer.layer(handler)),
            path,
            tag: Mutex::new(None),
        }
    }

    fn tag(&self) -> Option<HeaderValue> {
        let tag = self.tag.lock().unwrap_or_else(PoisonError::into_inner);
        tag.clone()
    }

    /// One `PUT`, on the version that the last one made.
    async fn put(&self) -> u32 {
        let mut request = Request::new(Full::from(BODY));
        *request.method_mut() = http::Method::PUT;
        *request.uri_mut() = self.path.parse().expect("a path");
        // The first one knows of none.
        if let Some(tag) = self.tag() {
            request.headers_mut().insert(IF_MATCH, tag);
        }
        let Ok(response) = self.service.clone().oneshot(request).await;
        let made = response.headers().get(ETAG).cloned();
        let made = made.filter(|_| response.status() == StatusCode::OK);
        let done = u32::from(made.is_some());
        *self.tag.lock().unwrap_or_else(PoisonError::into_inner) = made;
        done
    }
}

async fn handle(writer: Arc<Writer>, request: Passed) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::from(BODY));
    if let Some(expected) = request.extensions().get::<Expected>() {
        let report = match writer.compare_and_set(expected).await {
            Some(version) => Report::Wrote(Current::from(version)),
            None => Report::Conflict { current: None },
        };
        response.extensions_mut().insert(report);
    }
    Ok(response)
}

async fn put(requester: Arc<Requester>) -> u32 {
    requester.put().await
}
