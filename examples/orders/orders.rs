//! Orders: read, compare and write in one transaction.
//!
//! What is wrong with a body is said only once it is known that there is something to write it to.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use sqlx::AnyConnection;
use tower_conditional::axum::{Expected, Versioned};
use tower_conditional::store::Condition;
use uuid::Uuid;

use crate::answer::{Answer, compare};
use crate::common::database::Database;
use crate::common::json::{JsonObject, Object, from_text, to_text};
use crate::common::merge_patch::merge;
use crate::common::problems::Failure;
use crate::common::refused::Refused;
use crate::write::Write;

pub(crate) async fn list(
    State(database): State<Database>,
    Path(seller): Path<Uuid>,
) -> Result<Json<Value>, Failure> {
    let rows: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT uuid, version, body FROM orders WHERE seller = $1 ORDER BY uuid")
            .bind(seller.to_string())
            .fetch_all(database.pool())
            .await?;
    let orders = rows
        .into_iter()
        .map(|(uuid, version, body)| Ok(shown(&uuid, version, from_text(&body)?)))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Json(json!({ "items": orders })))
}

pub(crate) async fn read(
    State(database): State<Database>,
    Path((seller, uuid)): Path<(Uuid, Uuid)>,
) -> Result<Versioned<Json<Object>>, Failure> {
    let mut connection = database.pool().acquire().await?;
    let order = find(&mut connection, seller, uuid, "").await?;
    let (version, body) = order.ok_or_else(Failure::not_found)?;
    Ok(Versioned(version.into(), Json(body)))
}

pub(crate) async fn create(
    Path(seller): Path<Uuid>,
    write: Write,
    JsonObject(body): JsonObject,
) -> Result<Answer, Refused> {
    let uuid = Uuid::new_v4();
    let mut transaction = write.begin().await?;
    let version = insert(&mut transaction, seller, uuid, &write, &body).await?;
    let version = version.ok_or(sqlx::Error::RowNotFound)?;
    write
        .commit(transaction, created(seller, uuid, version, body))
        .await
}

pub(crate) async fn put(
    Path((seller, uuid)): Path<(Uuid, Uuid)>,
    write: Write,
    expected: Expected,
    body: Result<JsonObject, Failure>,
) -> Result<Answer, Refused> {
    let mut transaction = write.begin().await?;
    let mut order = find(&mut transaction, seller, uuid, write.for_update()).await?;
    let creates = expected.if_none_match == Condition::Absent
        && expected.if_match == Condition::Unconditional;
    if order.is_none() && !creates {
        return Err(Failure::not_found().into());
    }
    let JsonObject(body) = body?;
    if order.is_none() {
        if let Some(version) = insert(&mut transaction, seller, uuid, &write, &body).await? {
            let answer = created(seller, uuid, version, body);
            return write.commit(transaction, answer).await;
        }
        // Somebody else has created it since we looked.
        order = find(&mut transaction, seller, uuid, write.for_update()).await?;
    }
    let (version, current) = order.ok_or_else(Failure::not_found)?;
    compare(&expected, version, &current)?;
    replace(&mut transaction, seller, uuid, &write, version, &body).await?;
    let body = shown(&uuid.to_string(), version + 1, body);
    write
        .commit(transaction, Answer::wrote(version + 1, body))
        .await
}

pub(crate) async fn patch(
    Path((seller, uuid)): Path<(Uuid, Uuid)>,
    write: Write,
    expected: Expected,
    patch: Result<JsonObject, Failure>,
) -> Result<Answer, Refused> {
    let mut transaction = write.begin().await?;
    let order = find(&mut transaction, seller, uuid, write.for_update()).await?;
    let (version, mut body) = order.ok_or_else(Failure::not_found)?;
    let JsonObject(patch) = patch?;
    compare(&expected, version, &body)?;
    merge(&mut body, patch);
    replace(&mut transaction, seller, uuid, &write, version, &body).await?;
    let body = shown(&uuid.to_string(), version + 1, body);
    write
        .commit(transaction, Answer::wrote(version + 1, body))
        .await
}

pub(crate) async fn delete(
    Path((seller, uuid)): Path<(Uuid, Uuid)>,
    write: Write,
    expected: Expected,
) -> Result<Answer, Refused> {
    let mut transaction = write.begin().await?;
    let order = find(&mut transaction, seller, uuid, write.for_update()).await?;
    let (version, body) = order.ok_or_else(Failure::not_found)?;
    compare(&expected, version, &body)?;
    sqlx::query("DELETE FROM orders WHERE seller = $1 AND uuid = $2 AND version = $3")
        .bind(seller.to_string())
        .bind(uuid.to_string())
        .bind(version)
        .execute(&mut *transaction)
        .await?;
    // A trigger has noted the end of this life already, but not who ended it.
    sqlx::query(
        "UPDATE revisions SET deleted_by = $4 WHERE seller = $1 AND uuid = $2 AND version = $3",
    )
    .bind(seller.to_string())
    .bind(uuid.to_string())
    .bind(version)
    .bind(&*write.actor)
    .execute(&mut *transaction)
    .await?;
    write.commit(transaction, Answer::deleted()).await
}

/// That an order is there, and stays there as long as `lock` lasts.
pub(crate) async fn require(
    connection: &mut AnyConnection,
    seller: Uuid,
    uuid: Uuid,
    lock: &str,
) -> Result<(), Failure> {
    match find(connection, seller, uuid, lock).await? {
        Some(_) => Ok(()),
        None => Err(Failure::not_found()),
    }
}

/// The version and the body of an order, in one row: a tag names the bytes that it comes with.
/// `lock` is [`Write::for_update`] in a transaction that writes. Nobody then moves the order until
/// it ends, so what is compared is what is replaced, and what a conflict shows is what was compared.
pub(crate) async fn find(
    connection: &mut AnyConnection,
    seller: Uuid,
    uuid: Uuid,
    lock: &str,
) -> Result<Option<(i64, Object)>, sqlx::Error> {
    let select = format!("SELECT version, body FROM orders WHERE seller = $1 AND uuid = $2 {lock}");
    let row: Option<(i64, String)> = sqlx::query_as(&select)
        .bind(seller.to_string())
        .bind(uuid.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|(version, body)| {
        let body = shown(&uuid.to_string(), version, from_text(&body)?);
        Ok((version, body))
    })
    .transpose()
}

/// A new order, or a new life of an old one, whose versions go on above the last one. None if it is
/// there.
async fn insert(
    connection: &mut AnyConnection,
    seller: Uuid,
    uuid: Uuid,
    write: &Write,
    body: &Object,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO orders (seller, uuid, version, body, method, actor) VALUES ($1, $2, \
         (SELECT coalesce(max(version), 0) + 1 FROM revisions WHERE seller = $1 AND uuid = $2), \
         $3, $4, $5) ON CONFLICT DO NOTHING RETURNING version",
    )
    .bind(seller.to_string())
    .bind(uuid.to_string())
    .bind(kept(body))
    .bind(write.method.as_str())
    .bind(&*write.actor)
    .fetch_optional(connection)
    .await
}

/// Writes `body` over the version that was read, and no other. A trigger adds the row to the audit
/// trail; it knows this write from one that staff do in SQL because it moves `revision`.
async fn replace(
    connection: &mut AnyConnection,
    seller: Uuid,
    uuid: Uuid,
    write: &Write,
    version: i64,
    body: &Object,
) -> Result<(), sqlx::Error> {
    let done = sqlx::query(
        "UPDATE orders SET body = $4, version = version + 1, revision = version + 1, \
         method = $5, actor = $6 WHERE seller = $1 AND uuid = $2 AND version = $3",
    )
    .bind(seller.to_string())
    .bind(uuid.to_string())
    .bind(version)
    .bind(kept(body))
    .bind(write.method.as_str())
    .bind(&*write.actor)
    .execute(connection)
    .await?;
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(sqlx::Error::RowNotFound),
    }
}

fn created(seller: Uuid, uuid: Uuid, version: i64, body: Object) -> Answer {
    let location = format!("/v1/partners/{seller}/orders/{uuid}");
    let body = shown(&uuid.to_string(), version, body);
    Answer::created(location, Some(version), body)
}

/// As clients see it: with the members that are the server's, whatever was sent under their names.
pub(crate) fn shown(uuid: &str, version: i64, mut body: Object) -> Object {
    body.insert("uuid".to_owned(), uuid.into());
    body.insert("version".to_owned(), version.into());
    body
}

/// As it is stored: without them.
pub(crate) fn kept(body: &Object) -> String {
    let mut body = body.clone();
    body.remove("uuid");
    body.remove("version");
    to_text(&body)
}
