//! What a request costs at the server that keeps the versions, by that server's own statistics: the
//! table of the guide `stores`.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Executor as _, QueryBuilder, Row as _};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_conditional::report::{Expected, Report, Representation};
use tower_conditional::store::Current;
use tower_conditional::store::redis::RedisOptions;
use tower_conditional::store::sql::{Compared, Comparison as _, PostgresStore, compare_and_set};
use tower_conditional::{ClaimStore, ConditionalLayer, RequestBody, ResourceKey};

use crate::redis::server::Server as Redis;
use crate::sql::postgres::name;
use crate::support::postgres::{count_statements, shared};
use crate::support::{Seen, request, see};

type Asked = Request<Full<Bytes>>;
/// The same, as a handler gets it.
type Passed = Request<RequestBody<Full<Bytes>>>;

/// Counts what the server is asked.
trait Counts {
    async fn calls(&self) -> i64;
}

/// A database of one's own, so that nobody else's statements are counted.
struct Postgres {
    admin: PgPool,
    name: String,
    pool: PgPool,
}

impl Postgres {
    async fn start() -> Option<Self> {
        let server = shared()?;
        let admin = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(server.options());
        let name = name();
        count_statements(&admin).await;
        let create = format!("CREATE DATABASE {name}");
        admin.execute(&*create).await.expect("a superuser may");
        // One connection, so that each statement is prepared once and for all.
        let options = server.options().database(&name);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Some(Self { admin, name, pool })
    }
}

impl Counts for Postgres {
    async fn calls(&self) -> i64 {
        let sum = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
            JOIN pg_database ON pg_database.oid = dbid WHERE datname = $1";
        let calls = sqlx::query_scalar(sum)
            .bind(&self.name)
            .fetch_one(&self.admin)
            .await;
        calls.expect("the statistics are there")
    }
}

impl Counts for Redis {
    /// Without what the scripts do themselves, and what asking costs.
    async fn calls(&self) -> i64 {
        let counts = ["evalsha", "eval", "ping"].map(|command| self.calls(command));
        i64::try_from(counts.iter().sum::<u64>()).expect("a few")
    }
}

/// Sends the request through the layer, twice, since the first one finds nothing prepared; gives the
/// second answer, and what it cost. What `ask` asks is not counted.
async fn cost<H, F>(
    server: &impl Counts,
    layer: &ConditionalLayer,
    handler: H,
    ask: impl AsyncFn() -> Asked,
) -> (Seen, i64)
where
    H: Fn(Passed) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let mut last = None;
    for _ in 0..2 {
        let asked = ask().await;
        let handler = handler.clone();
        let service = service_fn(move |asked| {
            let answer = handler(asked);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let before = server.calls().await;
        let Ok(answer) = layer.layer(service).oneshot(asked).await;
        let seen = see(answer).await;
        last = Some((seen, server.calls().await - before));
    }
    last.expect("it was sent")
}

/// A handler that knows nothing of versions, and asks nobody anything.
async fn ignorant(_: Passed) -> Response<Full<Bytes>> {
    Response::new(Full::from("a note"))
}

/// Claim mode: the same on every server.
async fn claim_mode(server: &impl Counts, store: impl ClaimStore + Clone) {
    let layer = ConditionalLayer::new(store.clone());
    let tag = async || {
        let key = ResourceKey::new("/notes/1");
        let state = store.current(&key).await.expect("it answers").state;
        let version = state.current().and_then(|current| current.version.clone());
        format!("\"{}\"", version.expect("it has one"))
    };
    let ask = async |method: &str, name: &'static str, tag: String| {
        request(method, "/notes/1", &[(name, &*tag)], "new")
    };

    let put = async || ask("PUT", "if-match", tag().await).await;
    let (written, calls) = cost(server, &layer, ignorant, put).await;
    assert_eq!(
        (written.status, calls),
        (200, 2),
        "a write that is accepted"
    );
    assert!(written.etag().is_some());

    let stale = async || ask("PUT", "if-match", "\"7\"".to_owned()).await;
    let (refused, calls) = cost(server, &layer, ignorant, stale).await;
    assert_eq!((refused.status, calls), (412, 1), "a write that is stale");

    let bare = async || request("PUT", "/notes/1", &[], "new");
    let (refused, calls) = cost(server, &layer, ignorant, bare).await;
    assert_eq!(
        (refused.status, calls),
        (428, 0),
        "a write without If-Match"
    );

    let known = async || ask("GET", "if-none-match", tag().await).await;
    let (same, calls) = cost(server, &layer, ignorant, known).await;
    assert_eq!((same.status, calls), (304, 1), "a read of what is known");

    let read = async || request("GET", "/notes/1", &[], "");
    let (read, calls) = cost(server, &layer, ignorant, read).await;
    assert_eq!((read.status, calls), (200, 2), "a read, before and after");
    assert!(read.etag().is_some());
}

#[tokio::test]
async fn claim_mode_on_postgres_asks_twice_for_a_write() {
    let Some(server) = Postgres::start().await else {
        return;
    };
    let store = PostgresStore::open(server.pool.clone()).await;
    claim_mode(&server, store.expect("it opens")).await;
}

#[tokio::test]
async fn claim_mode_on_redis_asks_twice_for_a_write() {
    let Some(server) = Redis::start(&[]) else {
        return;
    };
    let store = server.store_with(RedisOptions::new());
    claim_mode(&server, store).await;
}

#[tokio::test]
async fn handler_mode_asks_nothing_beside_the_statement_of_the_handler() {
    let Some(server) = Postgres::start().await else {
        return;
    };
    let make = "CREATE TABLE notes (id text PRIMARY KEY, version bigint NOT NULL, body text);
        INSERT INTO notes VALUES ('/notes/1', 1, 'old')";
    server.pool.execute(make).await.expect("a new table");
    let layer = ConditionalLayer::handler();
    let pool = server.pool.clone();
    let handler = move |asked: Passed| {
        let pool = pool.clone();
        async move {
            if asked.method() == http::Method::PUT {
                write(&pool, &asked).await
            } else {
                read(&pool).await
            }
        }
    };
    // Asked before the counting begins.
    let version = async || -> i64 {
        let row = server.pool.fetch_one("SELECT version FROM notes").await;
        row.expect("it is there").get(0)
    };
    let put = async || {
        let tag = format!("\"{}\"", version().await);
        request("PUT", "/notes/1", &[("if-match", &*tag)], "new")
    };
    let (written, calls) = cost(&server, &layer, handler.clone(), put).await;
    assert_eq!((written.status, calls), (200, 1), "a write: its UPDATE");
    assert!(written.etag().is_some());

    let stale = async || request("PUT", "/notes/1", &[("if-match", "\"7000\"")], "new");
    let (refused, calls) = cost(&server, &layer, handler.clone(), stale).await;
    assert_eq!(
        (refused.status, calls),
        (412, 2),
        "and what there is instead"
    );

    let known = async || {
        let tag = format!("\"{}\"", version().await);
        request("GET", "/notes/1", &[("if-none-match", &*tag)], "")
    };
    let (same, calls) = cost(&server, &layer, handler, known).await;
    assert_eq!((same.status, calls), (304, 1), "a read: its SELECT");
}

async fn write(pool: &PgPool, asked: &Passed) -> Response<Full<Bytes>> {
    let expected = asked.extensions().get::<Expected>().cloned();
    let mut update =
        QueryBuilder::<sqlx::Postgres>::new("UPDATE notes SET version = version + 1, body = ");
    update
        .push_bind("new")
        .push(" WHERE id = ")
        .push_bind("/notes/1");
    update.and_expected("version", &expected.unwrap_or_default());
    update.push(" RETURNING version");
    let current = sqlx::query_as("SELECT version, body FROM notes WHERE id = '/notes/1'");
    let mut connection = pool.acquire().await.expect("there is one");
    let saved = compare_and_set(&mut *connection, update.build_query_as(), current).await;
    let mut response = Response::new(Full::from("new"));
    let report = match saved.expect("it is SQL") {
        Compared::Wrote((version,)) => {
            let version: i64 = version;
            Report::Wrote(Current::from(version))
        }
        Compared::Conflict(row) => {
            *response.status_mut() = StatusCode::CONFLICT;
            let representation =
                |(version, body): (i64, String)| Representation::json(Current::from(version), body);
            Report::Conflict {
                current: row.map(representation),
            }
        }
    };
    response.extensions_mut().insert(report);
    response
}

async fn read(pool: &PgPool) -> Response<Full<Bytes>> {
    let select = sqlx::query_as("SELECT version, body FROM notes WHERE id = '/notes/1'");
    let (version, body): (i64, String) = select.fetch_one(pool).await.expect("it is there");
    let mut response = Response::new(Full::from(body));
    let current = Current::from(version);
    response.extensions_mut().insert(Report::Read(current));
    response
}
