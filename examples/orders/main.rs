//! Orders of a trading platform: no write without `If-Match`, and a client that loses a race gets
//! in one answer all that it needs to merge and try again.
//!
//! Run with: cargo run --example orders
//!
//! ```text
//! $ seller=localhost:3000/v1/partners/0b0e7a1e-93a5-4c3f-8a5e-0d6f6b6f2a11
//! $ curl -i $seller/orders -H 'Idempotency-Key: 1' --json '{"total": 12}'
//! HTTP/1.1 201 Created                      # Location: /v1/partners/…/orders/<uuid>
//! etag: "1"
//! $ curl -i -X PATCH $seller/orders/<uuid> -H 'If-Match: "1"' --json '{"total": 13}'
//! HTTP/1.1 200 OK
//! etag: "2"
//! $ curl -i -X PATCH $seller/orders/<uuid> -H 'If-Match: "1"' --json '{"total": 14}'
//! HTTP/1.1 409 Conflict
//! etag: "2"
//! {"type":"/problems/version-mismatch","title":"Version Mismatch","status":409,
//!  "detail":"If-Match version 1 does not match current version 2.","traceId":"…",
//!  "currentResource":{"total":13,"uuid":"<uuid>","version":2}}
//! ```
//!
//! `GET /openapi.json` describes all of it; with a `TOKEN`, to who has it.
//!
//! | variable | meaning |
//! |---|---|
//! | `DATABASE_URL` | `sqlite://PATH` or `postgres://…`; in memory if not set |
//! | `PORT` | 3000 if not set |
//! | `TOKEN` | if set, the bearer token that every request has to carry |
//! | `HANDLER_DELAY_MS` | makes writes slow, to see races |
//!
//! | file | subject |
//! |---|---|
//! | `app.rs` | which path does what, inside which layers |
//! | `orders.rs` | orders: read, compare and write in one transaction |
//! | `parts.rs` | invoices and payments, with versions of their own; documents, without |
//! | `transport.rs` | milestones, which are set once |
//! | `openapi.rs` | the description of all this, `GET /openapi.json` |
//! | `revisions.rs` | the audit trail |
//! | `versions.rs` | tells the layer what exists |
//! | `write.rs`, `answer.rs` | a transaction that writes, and what comes of it |
//! | `schema/` | the tables, and the triggers that see who bypasses this service |

mod answer;
mod app;
#[path = "../common/mod.rs"]
mod common;
mod openapi;
mod orders;
mod parts;
mod revisions;
#[cfg(test)]
mod tests;
mod transport;
mod versions;
mod write;

use common::database::{Database, Schema};
use common::keys::Keys;

const SCHEMA: Schema = Schema {
    table: "orders",
    postgres: include_str!("schema/postgres.sql"),
    sqlite: include_str!("schema/sqlite.sql"),
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::from_environment(&SCHEMA).await?;
    let keys = Keys::open(database.clone()).await?;
    let token = std::env::var("TOKEN").ok();
    common::serve::serve(app::app(database, keys, token)).await
}
