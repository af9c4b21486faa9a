//! Records that many sources contribute to: each field is resolved by the policy of its model, and
//! conditions are optional. Versions are shown to who asks, hashes to everybody.
//!
//! Run with: cargo run --example records
//!
//! ```text
//! $ curl localhost:3000/models --json '{"policies": {"height": "highest_confidence"}}'
//! {"modelId":"<model>","policies":{"height":"highest_confidence"}}
//! $ curl localhost:3000/records --json '{"modelId": "<model>", "data": {"name": "Tower"}}'
//! {"data":{"name":"Tower"},"modelId":"<model>","recordId":"<record>","sha256":"…"}
//! $ curl -i localhost:3000/records/<record>/contributions --json '{"source": "survey",
//!     "confidence": 0.9, "observedAt": "2024-05-01T12:00:00Z", "data": {"height": 31.5}}'
//! HTTP/1.1 200 OK
//! etag: "2"
//! $ curl -i "localhost:3000/records/<record>?include=version"
//! etag: "2~version"                         # other bytes, so another tag
//! $ curl -i -X DELETE localhost:3000/records/<record> -H 'If-Match: "2~version"'
//! HTTP/1.1 204 No Content                   # the same state, so as good as "2"
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `DATABASE_URL` | `sqlite://PATH` or `postgres://…`; in memory if not set |
//! | `PORT` | 3000 if not set |
//! | `HANDLER_DELAY_MS` | makes writes slow, to see races |
//!
//! | file | subject |
//! |---|---|
//! | `app.rs` | which path does what, inside which layers |
//! | `resources.rs` | the handlers of models and records |
//! | `contributions.rs` | the handler that brings a contribution into a record |
//! | `claims.rs` | who claims what for a field, and who is believed |
//! | `instant.rs` | times as RFC 3339 writes them |
//! | `row.rs` | a model or record as it is stored, and as it is shown |
//! | `schema.sql` | the table |

mod app;
mod claims;
#[path = "../common/mod.rs"]
mod common;
mod contributions;
mod instant;
mod resources;
mod row;

use common::database::{Database, Schema};

const SCHEMA: Schema = Schema {
    table: "resources",
    postgres: include_str!("schema.sql"),
    sqlite: include_str!("schema.sql"),
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::from_environment(&SCHEMA).await?;
    common::serve::serve(app::app(database)).await
}
