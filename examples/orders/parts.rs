//! What belongs to an order and is written apart from it: invoices and payments, with versions of
//! their own, and documents, which never change and need none. None of them moves the order.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Value, json};
use sqlx::AnyConnection;
use tower_conditional::axum::{Expected, Versioned};
use uuid::Uuid;

use crate::answer::{Answer, compare};
use crate::common::database::Database;
use crate::common::json::{JsonObject, Object, from_text};
use crate::common::merge_patch::merge;
use crate::common::problems::Failure;
use crate::common::refused::Refused;
use crate::orders::{self, kept, shown};
use crate::write::Write;

/// Which parts a route is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Documents,
    Invoices,
    Payments,
}

impl Kind {
    /// In paths and in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Invoices => "invoices",
            Self::Payments => "payments",
        }
    }

    fn shown(self, uuid: &str, version: i64, body: Object) -> Object {
        let mut body = shown(uuid, version, body);
        if self == Self::Documents {
            body.remove("version");
        }
        body
    }
}

pub(crate) async fn list(
    State(database): State<Database>,
    Extension(kind): Extension<Kind>,
    Path((seller, order)): Path<(Uuid, Uuid)>,
) -> Result<Json<Value>, Failure> {
    let mut connection = database.pool().acquire().await?;
    orders::require(&mut connection, seller, order, "").await?;
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT uuid, version, body FROM order_parts \
         WHERE seller = $1 AND order_uuid = $2 AND kind = $3 ORDER BY id",
    )
    .bind(seller.to_string())
    .bind(order.to_string())
    .bind(kind.name())
    .fetch_all(&mut *connection)
    .await?;
    let parts = rows
        .into_iter()
        .map(|(uuid, version, body)| Ok(kind.shown(&uuid, version, from_text(&body)?)))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Json(json!({ "items": parts })))
}

pub(crate) async fn create(
    Extension(kind): Extension<Kind>,
    Path((seller, order)): Path<(Uuid, Uuid)>,
    write: Write,
    body: Result<JsonObject, Failure>,
) -> Result<Answer, Refused> {
    let mut transaction = write.begin().await?;
    orders::require(&mut transaction, seller, order, write.for_update()).await?;
    let JsonObject(body) = body?;
    let uuid = Uuid::new_v4().to_string();
    sqlx::query(
        "INSERT INTO order_parts (seller, order_uuid, kind, uuid, version, body) \
         VALUES ($1, $2, $3, $4, 1, $5)",
    )
    .bind(seller.to_string())
    .bind(order.to_string())
    .bind(kind.name())
    .bind(&*uuid)
    .bind(kept(&body))
    .execute(&mut *transaction)
    .await?;
    let name = kind.name();
    let location = format!("/v1/partners/{seller}/orders/{order}/{name}/{uuid}");
    let version = (kind != Kind::Documents).then_some(1);
    let body = kind.shown(&uuid, 1, body);
    write
        .commit(transaction, Answer::created(location, version, body))
        .await
}

pub(crate) async fn read(
    State(database): State<Database>,
    Extension(kind): Extension<Kind>,
    Path(path): Path<(Uuid, Uuid, Uuid)>,
) -> Result<Versioned<Json<Object>>, Failure> {
    let mut connection = database.pool().acquire().await?;
    let part = find(&mut connection, kind, path, "").await?;
    let (version, body) = part.ok_or_else(Failure::not_found)?;
    Ok(Versioned(version.into(), Json(body)))
}

/// The same of what never changes.
pub(crate) async fn read_unversioned(
    database: State<Database>,
    kind: Extension<Kind>,
    path: Path<(Uuid, Uuid, Uuid)>,
) -> Result<Json<Object>, Failure> {
    let Versioned(_, body) = read(database, kind, path).await?;
    Ok(body)
}

pub(crate) async fn patch(
    Extension(kind): Extension<Kind>,
    Path(path): Path<(Uuid, Uuid, Uuid)>,
    write: Write,
    expected: Expected,
    patch: Result<JsonObject, Failure>,
) -> Result<Answer, Refused> {
    let mut transaction = write.begin().await?;
    let part = find(&mut transaction, kind, path, write.for_update()).await?;
    let (version, mut body) = part.ok_or_else(Failure::not_found)?;
    let JsonObject(patch) = patch?;
    compare(&expected, version, &body)?;
    merge(&mut body, patch);
    let (_, _, uuid) = path;
    sqlx::query(
        "UPDATE order_parts SET body = $3, version = version + 1 WHERE uuid = $1 AND version = $2",
    )
    .bind(uuid.to_string())
    .bind(version)
    .bind(kept(&body))
    .execute(&mut *transaction)
    .await?;
    let body = shown(&uuid.to_string(), version + 1, body);
    write
        .commit(transaction, Answer::wrote(version + 1, body))
        .await
}

pub(crate) async fn delete(
    Extension(kind): Extension<Kind>,
    Path(path): Path<(Uuid, Uuid, Uuid)>,
    write: Write,
    expected: Expected,
) -> Result<Answer, Refused> {
    let mut transaction = write.begin().await?;
    let part = find(&mut transaction, kind, path, write.for_update()).await?;
    let (version, body) = part.ok_or_else(Failure::not_found)?;
    compare(&expected, version, &body)?;
    let (_, _, uuid) = path;
    sqlx::query("DELETE FROM order_parts WHERE uuid = $1 AND version = $2")
        .bind(uuid.to_string())
        .bind(version)
        .execute(&mut *transaction)
        .await?;
    write.commit(transaction, Answer::deleted()).await
}

/// As [`orders::find`].
async fn find(
    connection: &mut AnyConnection,
    kind: Kind,
    (seller, order, uuid): (Uuid, Uuid, Uuid),
    lock: &str,
) -> Result<Option<(i64, Object)>, sqlx::Error> {
    let select = format!(
        "SELECT version, body FROM order_parts \
         WHERE seller = $1 AND order_uuid = $2 AND kind = $3 AND uuid = $4 {lock}"
    );
    let row: Option<(i64, String)> = sqlx::query_as(&select)
        .bind(seller.to_string())
        .bind(order.to_string())
        .bind(kind.name())
        .bind(uuid.to_string())
        .fetch_optional(connection)
        .await?;
    row.map(|(version, body)| {
        let body = kind.shown(&uuid.to_string(), version, from_text(&body)?);
        Ok((version, body))
    })
    .transpose()
}
