//! Accounts of a bank: entity-tags that tell nothing, and conditions by the letter of RFC 9110.
//!
//! Run with: cargo run --example accounts
//!
//! ```text
//! $ curl -i localhost:3000/accounts --json '{"owner": "Ada"}'
//! HTTP/1.1 201 Created                      # Location: /accounts/<id>
//! etag: "mQ0YkE1cbU3Zr2l4p7K0u9bFjXqWv8sT6yHnGdRaLoI"
//! $ curl -i localhost:3000/accounts/<id> -H 'If-None-Match: "mQ0YkE…"'
//! HTTP/1.1 304 Not Modified                 # Cache-Control: private, no-cache
//! $ curl -i -X PATCH localhost:3000/accounts/<id> -H 'If-Match: "mQ0YkE…"' --json '{"limit": 50}'
//! HTTP/1.1 200 OK
//! etag: "Xw5fTz8VbB1nKc3qEo7uMh9dRj2gLs4aPi6yYt0xZkU"
//! $ curl -i -X POST localhost:3000/accounts/<id>/close -H 'If-Match: "mQ0YkE…"'
//! HTTP/1.1 412 Precondition Failed
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `DATABASE_URL` | `sqlite://PATH` or `postgres://…`; in memory if not set |
//! | `ETAG_KEY` | the secret behind the tags; a random one, kept in the database, if not set |
//! | `PORT` | 3000 if not set |
//! | `HANDLER_DELAY_MS` | makes writes slow, to see races |
//!
//! | file | subject |
//! |---|---|
//! | `app.rs` | which path does what, inside which layers |
//! | `accounts.rs` | the handlers: compare and write in one transaction |
//! | `row.rs` | an account as it is stored |
//! | `secret.rs` | where the secret behind the tags comes from |
//! | `schema.sql` | the tables |

mod accounts;
mod app;
#[path = "../common/mod.rs"]
mod common;
mod row;
mod secret;

use common::database::{Database, Schema};

const SCHEMA: Schema = Schema {
    table: "accounts",
    postgres: include_str!("schema.sql"),
    sqlite: include_str!("schema.sql"),
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::from_environment(&SCHEMA).await?;
    let tags = secret::tags(&database).await?;
    common::serve::serve(app::app(database, tags)).await
}
