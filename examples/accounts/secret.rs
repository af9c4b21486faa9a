//! Where the secret behind the tags comes from: every process of the service has to have the same.

use tower_conditional::digest::Sha256Digest;
use tower_conditional::tags::Opaque;
use uuid::Uuid;

use crate::common::database::Database;

/// Tags under the secret in `ETAG_KEY`, or else in the database.
pub(crate) async fn tags(database: &Database) -> Result<Opaque, Box<dyn std::error::Error>> {
    let set = std::env::var("ETAG_KEY").ok();
    let secret = match set.filter(|secret| !secret.is_empty()) {
        Some(secret) => secret,
        None => kept(database).await?,
    };
    if secret.len() < 16 {
        eprintln!("ETAG_KEY is short: whoever holds a tag may find it by trying");
    }
    // Whatever was set is a secret of full length.
    Ok(Opaque::new(Sha256Digest::of(secret).to_hex())?)
}

/// The secret in the database. The first process to ask makes it.
async fn kept(database: &Database) -> Result<String, sqlx::Error> {
    let random = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    sqlx::query("INSERT INTO settings VALUES ('etag_key', $1) ON CONFLICT DO NOTHING")
        .bind(random)
        .execute(database.pool())
        .await?;
    sqlx::query_scalar("SELECT value FROM settings WHERE name = 'etag_key'")
        .fetch_one(database.pool())
        .await
}
