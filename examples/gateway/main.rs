//! A reverse proxy that gives an old service optimistic concurrency, without touching it.
//!
//! Run with: UPSTREAM=http://127.0.0.1:8080 cargo run --example gateway
//!
//! ```text
//! $ curl -i localhost:3000/notes/1                                  # as the upstream has it, and
//! etag: "m56aljev9iirb.22"
//! $ curl -i localhost:3000/notes/1 -H 'If-None-Match: "<that>"'     # 304, the upstream not asked
//! $ curl -i -X PUT localhost:3000/notes/1 -H 'If-Match: "<that>"' -d alice   # a new ETag
//! $ curl -i -X PUT localhost:3000/notes/1 -H 'If-Match: "<that>"' -d bob     # 412, nothing written
//! $ curl -i -X PUT localhost:3000/notes/1 -d carol                  # 428, nothing written
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `UPSTREAM` | where the old service is: `http://host:port` |
//! | `PORT` | 3000 if not set |
//! | `RESOURCES` | the paths that are guarded, such as `/notes/{id},/orders/{id}`; all others pass through as they are. Not set: every path, and a write moves the path above it too |
//! | `IF_MATCH` | `required` of writes (not set), or `optional` |
//! | `DATABASE_URL` | where the versions are, for several gateways as one: `sqlite://PATH` or `postgres://…`. Not set: in memory, for one gateway |
//! | `UPSTREAM_LIMIT_MS` | how long the upstream may take to answer: 30000 if not set |
//!
//! What it rests on:
//!
//! - **All writes come through here.** Whoever writes to the upstream directly is not seen.
//! - **Reads change nothing, and a path has one representation.** The query is no part of a
//!   resource's name. What the upstream negotiates by `Accept` or by who asks has one tag all the
//!   same: name each such representation with `Policy::variant`, or leave the path out of
//!   `RESOURCES`. Codings are kept apart: a guarded request reaches the upstream without
//!   `Accept-Encoding`; compress outside of the gateway.
//! - **A resource has one path**, apart from how it is percent-encoded and a slash at its end. Paths
//!   with `//`, segments of dots, `%2F` or `\` are refused, because many services take them for
//!   another. One that ignores case, or cuts `;…` off, needs a key of its own in `resources.rs`.
//! - **A path changes only through writes to it.** If nothing is known of the paths
//!   (`RESOURCES` not set), a write also moves the path above it, so that `/notes` changes with
//!   `/notes/5`, and `/orders/5` with `/orders/5/close`; for that, writes below one path happen one
//!   after the other. Say what the resources are, and only they are guarded, each alone.
//! - **The upstream ends with its answer.** After `UPSTREAM_LIMIT_MS` the client gets its 504, and
//!   the resource stays closed to writers for twice that time, because the write may still happen.
//! - **A 304 tells no more than the tag.** The upstream is not asked, so what else its 200 would say
//!   (`Cache-Control`, `Vary`) is as the client has kept it.
//! - **Whoever may ask, may know.** A 304, 412 or 428 is answered without the upstream: put the
//!   gateway behind what authenticates.
//!
//! | file | subject |
//! |---|---|
//! | `resources.rs` | which requests are guarded, by which policy |
//! | `upstream.rs` | forwarding, and what is said of an upstream that does not answer |
//! | `hearsay.rs` | a store that never claims to know what exists |

#[path = "../common/mod.rs"]
mod common;
mod hearsay;
mod resources;
mod upstream;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::from_fn;
use axum::response::Response;
use sqlx::{PgPool, SqlitePool};
use tower_conditional::policy::IfMatch;
use tower_conditional::store::sql::{PostgresStore, SqliteStore};
use tower_conditional::{ClaimStore, ConditionalLayer, MemoryStore, Reader};

use common::problems;
use hearsay::Hearsay;
use resources::Resources;
use upstream::Upstream;

fn app(upstream: Upstream, resources: Resources, store: Arc<dyn ClaimStore>) -> Router {
    let resources = Arc::new(resources);
    // Where conditions depend on it, the upstream is asked what exists.
    let reads = Router::new().fallback(read).with_state(upstream.clone());
    let (named, ruled) = (Arc::clone(&resources), Arc::clone(&resources));
    let conditional = ConditionalLayer::new(Hearsay(store))
        .key(move |parts| named.key(parts))
        .policy_for(move |parts| Some(ruled.policy(parts)))
        .reader(Reader::new(reads));
    Router::new()
        .fallback(forward)
        .with_state((upstream, resources))
        .layer(conditional)
        .layer(from_fn(resources::unambiguous))
        .layer(from_fn(problems::render))
}

async fn forward(
    State((upstream, resources)): State<(Upstream, Arc<Resources>)>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let guarded = resources.key(&parts).is_some();
    if guarded {
        upstream::without_conditions(&mut parts.headers);
    }
    let mut response = upstream.send(Request::from_parts(parts, body)).await;
    if guarded {
        // Two tags for one resource would be one too many: what the upstream's own says of its
        // bytes, ours says of its version.
        response.headers_mut().remove("etag");
    }
    response
}

async fn read(State(upstream): State<Upstream>, request: Request<Body>) -> Response {
    upstream.send(request).await
}

async fn versions() -> Result<Arc<dyn ClaimStore>, Box<dyn Error>> {
    Ok(match std::env::var("DATABASE_URL") {
        Err(_) => Arc::new(MemoryStore::new()),
        Ok(url) if url.starts_with("sqlite:") => {
            let created = if url.contains('?') { "&" } else { "?" };
            let pool = SqlitePool::connect(&format!("{url}{created}mode=rwc")).await?;
            Arc::new(SqliteStore::open(pool).await?)
        }
        Ok(url) => Arc::new(PostgresStore::open(PgPool::connect(&url).await?).await?),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("UPSTREAM").map_err(|_| "UPSTREAM is not set")?;
    let limit = Duration::from_millis(common::setting("UPSTREAM_LIMIT_MS", 30_000)?);
    let if_match = match std::env::var("IF_MATCH").as_deref() {
        Err(_) | Ok("required") => IfMatch::Required,
        Ok("optional") => IfMatch::Optional,
        Ok(other) => {
            return Err(format!("IF_MATCH is neither required nor optional: {other:?}").into());
        }
    };
    let patterns = std::env::var("RESOURCES").ok();
    let resources = Resources::new(patterns.as_deref(), if_match, limit)?;
    let upstream = Upstream::new(&url, limit)?;
    common::serve::serve(app(upstream, resources, versions().await?)).await
}
