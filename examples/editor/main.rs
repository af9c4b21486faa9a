//! A page on which two people edit one order, served by the example `orders` itself: whoever saves
//! second sees what both started from, what the other made of it and what they made of it
//! themselves, and merges field by field.
//!
//! Run with: cargo run --example editor
//!
//! Then open <http://localhost:3000>, in two tabs if you like. The page is plain HTML and
//! JavaScript, works by keyboard alone, and shows each request with its conditions and each answer
//! with its tag.
//!
//! It takes the variables of `orders`, but for `TOKEN`: the page has none to send.
//!
//! | file | subject |
//! |---|---|
//! | `page/index.html`, `page/editor.css` | what it looks like |
//! | `page/editor.js` | the panes: read, edit, save with `If-Match` and `Idempotency-Key` |
//! | `page/merge.js` | three versions side by side, and the choice between them |
//! | `page/wire.js` | requests, and the list of them on the page |

#[path = "../orders/answer.rs"]
mod answer;
#[path = "../orders/app.rs"]
mod app;
#[path = "../common/mod.rs"]
mod common;
#[path = "../orders/openapi.rs"]
mod openapi;
#[path = "../orders/orders.rs"]
mod orders;
#[path = "../orders/parts.rs"]
mod parts;
#[path = "../orders/revisions.rs"]
mod revisions;
#[path = "../orders/transport.rs"]
mod transport;
#[path = "../orders/versions.rs"]
mod versions;
#[path = "../orders/write.rs"]
mod write;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get};
use common::database::{Database, Schema};
use common::keys::Keys;
use common::problems;

const SCHEMA: Schema = Schema {
    table: "orders",
    postgres: include_str!("../orders/schema/postgres.sql"),
    sqlite: include_str!("../orders/schema/sqlite.sql"),
};

/// Nothing from elsewhere, nothing inline.
const SOURCES: &str = "default-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'";

fn page() -> Router {
    Router::new()
        .route(
            "/",
            file("text/html; charset=utf-8", include_str!("page/index.html")),
        )
        .route(
            "/page/editor.css",
            file("text/css", include_str!("page/editor.css")),
        )
        .route("/page/editor.js", script(include_str!("page/editor.js")))
        .route("/page/merge.js", script(include_str!("page/merge.js")))
        .route("/page/wire.js", script(include_str!("page/wire.js")))
        .method_not_allowed_fallback(problems::method_not_allowed)
        .layer(from_fn(problems::render))
}

fn script(text: &'static str) -> MethodRouter {
    file("text/javascript", text)
}

fn file(media_type: &'static str, text: &'static str) -> MethodRouter {
    let fields = [
        (CONTENT_TYPE, media_type),
        (CONTENT_SECURITY_POLICY, SOURCES),
        (CACHE_CONTROL, "no-cache"),
    ];
    get(move || async move { (fields, text) })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::from_environment(&SCHEMA).await?;
    let keys = Keys::open(database.clone()).await?;
    common::serve::serve(page().merge(app::app(database, keys, None))).await
}
