//! Documents of a business: a retry never sells twice, and writes of one document happen one after
//! the other. The clients know nothing of entity-tags; they call functions, and look at error codes.
//!
//! Run with: cargo run --example sales_documents
//!
//! ```text
//! $ api=localhost:3000/api
//! $ curl $api/saveSalesDocument --json '{"temporaryUUID": "1f0c…", "total": 12}'
//! {"records":[{"id":"<uuid>","total":12}],
//!  "status":{"errorCode":0,"request":"saveSalesDocument","responseStatus":"ok"}}
//! $ curl -i $api/saveSalesDocument --json '{"temporaryUUID": "1f0c…", "total": 12}'
//! HTTP/1.1 409 Conflict
//! {"records":[],"status":{"errorCode":1206,"request":"saveSalesDocument","responseStatus":"error"}}
//! $ curl $api/saveSalesDocument --json '{"id": "<uuid>", "total": 13}'
//! $ curl "$api/getSalesDocument?id=<uuid>"
//! $ curl $api/deleteSalesDocument --json '{"id": "<uuid>"}'
//! ```
//!
//! | error | HTTP | meaning |
//! |---|---|---|
//! | 1000 | any | everything that has no code of its own |
//! | 1011 | 404 | there is no document of that id |
//! | 1204 | 409 | it is being deleted |
//! | 1205 | 503 | other writes of the document came first, and took too long; this one will not happen |
//! | 1206 | 409 | a request with that `temporaryUUID` has happened |
//!
//! | variable | meaning |
//! |---|---|
//! | `DATABASE_URL` | `sqlite://PATH` or `postgres://…`; in memory if not set |
//! | `PORT` | 3000 if not set |
//! | `WAIT_LIMIT_MS` | how long a write waits for its turn; 5000 if not set |
//! | `DUPLICATE_WINDOW_MS` | for how long equal content is the same sale; 24 hours if not set |
//! | `HANDLER_DELAY_MS` | makes writes slow, to see them wait; up to 8 s, see `turns.rs` |
//!
//! | file | subject |
//! |---|---|
//! | `app.rs` | which function does what, and which of them wait for their turn |
//! | `documents.rs` | documents in SQL: the truth about what happened already |
//! | `envelope.rs` | the form of every answer |
//! | `turns.rs` | the queue, across processes |

mod app;
#[path = "../common/mod.rs"]
mod common;
mod documents;
mod envelope;
mod turns;

use std::time::Duration;

use common::database::Database;
use common::setting;
use documents::{Documents, SCHEMA};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::from_environment(&SCHEMA).await?;
    let window = Duration::from_millis(setting("DUPLICATE_WINDOW_MS", DAY_MS)?);
    let wait = Duration::from_millis(setting("WAIT_LIMIT_MS", 5000)?);
    let url = std::env::var("DATABASE_URL").ok();
    let turns = turns::layer(turns::store(url.as_deref()).await?, wait);
    common::serve::serve(app::app(Documents::new(database, window), turns)).await
}
