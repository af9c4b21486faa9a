//! The audit trail: who made which version, and how. Triggers write it, in the transaction of the
//! change, so that it has those changes too that bypass this service.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::database::Database;
use crate::common::problems::Failure;

type Row = (i64, String, String, String, Option<String>, Option<String>);

pub(crate) async fn list(
    State(database): State<Database>,
    Path((seller, uuid)): Path<(Uuid, Uuid)>,
) -> Result<Json<Value>, Failure> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT version, method, actor, at, deleted_by, deleted_at FROM revisions \
         WHERE seller = $1 AND uuid = $2 ORDER BY version",
    )
    .bind(seller.to_string())
    .bind(uuid.to_string())
    .fetch_all(database.pool())
    .await?;
    // It outlives the order: only one that never was has none.
    if rows.is_empty() {
        return Err(Failure::not_found());
    }
    let revisions = rows.into_iter().map(|row| {
        let (version, method, actor, at, deleted_by, deleted_at) = row;
        let mut revision =
            json!({ "version": version, "method": method, "actor": actor, "at": at });
        // A DELETE makes no version: it is told with the one that it ended.
        if deleted_at.is_some() {
            revision["deleted"] = json!({ "actor": deleted_by, "at": deleted_at });
        }
        revision
    });
    Ok(Json(json!({ "items": revisions.collect::<Vec<_>>() })))
}
