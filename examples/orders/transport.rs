//! Milestones of the transport: set once, until somebody revokes them.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use sqlx::AnyConnection;
use tower_conditional::axum::{Conflict, Versioned};
use uuid::Uuid;

use crate::answer::Answer;
use crate::common::database::Database;
use crate::common::json::{JsonObject, Object, from_text, to_text};
use crate::common::problems::Failure;
use crate::common::refused::Refused;
use crate::orders;
use crate::write::Write;

/// Which one a route is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Milestone {
    Delivery,
    Pickup,
}

impl Milestone {
    /// In paths and in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Pickup => "pickup",
        }
    }
}

pub(crate) async fn read(
    State(database): State<Database>,
    Extension(milestone): Extension<Milestone>,
    Path((seller, order)): Path<(Uuid, Uuid)>,
) -> Result<Versioned<Json<Object>>, Failure> {
    let mut connection = database.pool().acquire().await?;
    let found = find(&mut connection, seller, order, milestone).await?;
    let (version, body) = found.ok_or_else(Failure::not_found)?;
    Ok(Versioned(version.into(), Json(body)))
}

pub(crate) async fn set(
    Extension(milestone): Extension<Milestone>,
    Path((seller, order)): Path<(Uuid, Uuid)>,
    write: Write,
    body: Result<JsonObject, Failure>,
) -> Result<Answer, Refused> {
    let mut transaction = write.begin().await?;
    // The lock on the order is also that on its milestones.
    orders::require(&mut transaction, seller, order, write.for_update()).await?;
    let JsonObject(mut body) = body?;
    if let Some((version, body)) = find(&mut transaction, seller, order, milestone).await? {
        return Err(Conflict::with_json(version, &body).into());
    }
    body.remove("version");
    // The id is the version: one that is set again after it was revoked has another.
    let version: i64 = sqlx::query_scalar(
        "INSERT INTO milestones (seller, order_uuid, name, body) VALUES ($1, $2, $3, $4) \
         RETURNING id",
    )
    .bind(seller.to_string())
    .bind(order.to_string())
    .bind(milestone.name())
    .bind(to_text(&body))
    .fetch_one(&mut *transaction)
    .await?;
    let name = milestone.name();
    let location = format!("/v1/partners/{seller}/orders/{order}/transport/{name}");
    let body = shown(version, body);
    write
        .commit(transaction, Answer::created(location, Some(version), body))
        .await
}

pub(crate) async fn revoke(
    Extension(milestone): Extension<Milestone>,
    Path((seller, order)): Path<(Uuid, Uuid)>,
    write: Write,
) -> Result<Answer, Refused> {
    let mut transaction = write.begin().await?;
    orders::require(&mut transaction, seller, order, write.for_update()).await?;
    let found = find(&mut transaction, seller, order, milestone).await?;
    let (version, body) = found.ok_or_else(Conflict::default)?;
    sqlx::query("DELETE FROM milestones WHERE id = $1")
        .bind(version)
        .execute(&mut *transaction)
        .await?;
    write.commit(transaction, Answer::revoked(body)).await
}

async fn find(
    connection: &mut AnyConnection,
    seller: Uuid,
    order: Uuid,
    milestone: Milestone,
) -> Result<Option<(i64, Object)>, sqlx::Error> {
    let row: Option<(i64, String)> = sqlx::query_as(
        "SELECT id, body FROM milestones WHERE seller = $1 AND order_uuid = $2 AND name = $3",
    )
    .bind(seller.to_string())
    .bind(order.to_string())
    .bind(milestone.name())
    .fetch_optional(connection)
    .await?;
    row.map(|(version, body)| Ok((version, shown(version, from_text(&body)?))))
        .transpose()
}

fn shown(version: i64, mut body: Object) -> Object {
    body.insert("version".to_owned(), version.into());
    body
}
