//! The handlers of models and records. Each write locks its row, compares, and writes, in one
//! transaction: what others have done by then is seen, and what they do next has to wait.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use tower_conditional::axum::{
    Conflict, Created, Deleted, Expected, IncludeVersion, Versioned, Wrote,
};
use tower_conditional::digest::canonical_json;
use tower_conditional::store::State as Known;

use crate::claims::{Claims, Policy};
use crate::common::database::{Database, commit};
use crate::common::id::Id;
use crate::common::json::{JsonObject, Object};
use crate::common::merge_patch::merge;
use crate::common::problems::Failure;
use crate::common::refused::Refused;
use crate::row::{Kind, Row, Shown};

pub(crate) async fn create(
    State(database): State<Database>,
    Extension(kind): Extension<Kind>,
    include: IncludeVersion,
    expected: Expected,
    JsonObject(body): JsonObject,
) -> Result<Created<Shown>, Refused> {
    // Nothing is there that a condition could name.
    if !expected.holds(&Known::Absent) {
        return Err(Conflict::default().into());
    }
    let mut row = Row {
        kind,
        id: Id::random(),
        version: 1,
        body: clients(kind, body),
        claims: Claims::default(),
    };
    check(&row)?;
    let data = row.data();
    row.claims.set(&Object::new(), &data);
    let mut transaction = database.write().await?;
    row.store(&mut transaction).await?;
    commit(transaction).await?;
    Ok(Created::at(row.path(), row.version, row.shown(include)))
}

pub(crate) async fn read(
    State(database): State<Database>,
    Extension(kind): Extension<Kind>,
    id: Id,
    include: IncludeVersion,
) -> Result<Versioned<Shown>, Failure> {
    let mut connection = database.pool().acquire().await?;
    let row = Row::read(&mut connection, kind, id).await?;
    let row = row.ok_or_else(Failure::not_found)?;
    Ok(Versioned(row.version.into(), row.shown(include)))
}

pub(crate) async fn put(
    State(database): State<Database>,
    Extension(kind): Extension<Kind>,
    id: Id,
    include: IncludeVersion,
    expected: Expected,
    JsonObject(body): JsonObject,
) -> Result<Wrote<Shown>, Refused> {
    let body = clients(kind, body);
    change(&database, kind, id, include, &expected, |_| body).await
}

pub(crate) async fn patch(
    State(database): State<Database>,
    Extension(kind): Extension<Kind>,
    id: Id,
    include: IncludeVersion,
    expected: Expected,
    JsonObject(patch): JsonObject,
) -> Result<Wrote<Shown>, Refused> {
    let patch = clients(kind, patch);
    change(&database, kind, id, include, &expected, |mut body| {
        merge(&mut body, patch);
        body
    })
    .await
}

pub(crate) async fn delete(
    State(database): State<Database>,
    Extension(kind): Extension<Kind>,
    id: Id,
    expected: Expected,
) -> Result<Deleted, Refused> {
    let mut transaction = database.write().await?;
    let row = Row::lock(&mut transaction, &database, kind, id).await?;
    let row = row.ok_or_else(Failure::not_found)?;
    row.compare(&expected)?;
    row.delete(&mut transaction).await?;
    commit(transaction).await?;
    Ok(Deleted)
}

async fn change(
    database: &Database,
    kind: Kind,
    id: Id,
    include: IncludeVersion,
    expected: &Expected,
    change: impl FnOnce(Object) -> Object,
) -> Result<Wrote<Shown>, Refused> {
    let mut transaction = database.write().await?;
    let row = Row::lock(&mut transaction, database, kind, id).await?;
    let mut row = row.ok_or_else(Failure::not_found)?;
    row.compare(expected)?;
    let before = row.data();
    // A record belongs to one model for good.
    let model = row.body.get("modelId").cloned();
    row.body = change(std::mem::take(&mut row.body));
    row.body.remove("modelId");
    row.body
        .extend(model.map(|model| ("modelId".to_owned(), model)));
    row.version += 1;
    check(&row)?;
    let after = row.data();
    row.claims.set(&before, &after);
    row.store(&mut transaction).await?;
    commit(transaction).await?;
    Ok(Wrote(row.version.into(), row.shown(include)))
}

/// Without the members that are the server's.
fn clients(kind: Kind, mut body: Object) -> Object {
    body.retain(|name, _| !kind.is_servers(name));
    body
}

/// The members that mean something have to be what they mean.
fn check(row: &Row) -> Result<(), Failure> {
    let refuse = |detail| {
        let status = StatusCode::BAD_REQUEST;
        Err(Failure::new(status, "bad-json", "Bad JSON").detail(detail))
    };
    match (row.kind, row.body.get("data"), row.body.get("policies")) {
        (Kind::Record, Some(data), _) if !data.is_object() => refuse("data is no object."),
        (Kind::Record, Some(data), _) if canonical_json(data).is_err() => {
            refuse("data has a number that is no IEEE double.")
        }
        (Kind::Model, _, Some(Value::Object(policies))) => {
            match policies.values().all(|name| Policy::named(name).is_some()) {
                true => Ok(()),
                false => refuse("policies are most_recent and highest_confidence."),
            }
        }
        (Kind::Model, _, Some(_)) => refuse("policies is no object."),
        _ => Ok(()),
    }
}
