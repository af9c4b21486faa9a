//! The handlers. Each write locks its row, compares, and writes, in one transaction: what others
//! have done by then is seen, and what they do next has to wait.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tower_conditional::axum::{Conflict, Created, Deleted, Expected, Versioned, Wrote};
use tower_conditional::report::Representation;
use tower_conditional::store::State as Known;

use crate::common::database::{Database, commit};
use crate::common::id::Id;
use crate::common::json::{self, JsonObject, Object};
use crate::common::merge_patch::merge;
use crate::common::problems::Failure;
use crate::common::refused::Refused;
use crate::row::{Row, clients};

pub(crate) async fn create(
    State(database): State<Database>,
    expected: Expected,
    JsonObject(body): JsonObject,
) -> Result<Created<Json<Object>>, Refused> {
    // Nothing is there that a condition could name.
    if !expected.holds(&Known::Absent) {
        return Err(Conflict::default().into());
    }
    let account = Row::new(Id::random(), clients(body));
    let mut transaction = database.write().await?;
    account.store(&mut transaction).await?;
    commit(transaction).await?;
    Ok(Created::at(
        account.path(),
        account.current(),
        account.to_json(),
    ))
}

pub(crate) async fn read(
    State(database): State<Database>,
    id: Id,
) -> Result<Versioned<Json<Object>>, Failure> {
    let account = Row::read(&database, id).await?;
    let account = account.ok_or_else(Failure::not_found)?;
    Ok(Versioned(account.current(), account.to_json()))
}

pub(crate) async fn put(
    State(database): State<Database>,
    id: Id,
    expected: Expected,
    JsonObject(body): JsonObject,
) -> Result<Response, Refused> {
    let (before, after) = change(&database, id, &expected, |_| Some(clients(body))).await?;
    Ok(match before.body {
        Some(_) => Wrote(after.current(), after.to_json()).into_response(),
        None => {
            let created = Wrote(after.current(), after.to_json()).into_response();
            (StatusCode::CREATED, created).into_response()
        }
    })
}

pub(crate) async fn patch(
    State(database): State<Database>,
    id: Id,
    expected: Expected,
    JsonObject(patch): JsonObject,
) -> Result<Wrote<Json<Object>>, Refused> {
    let (_, after) = change(&database, id, &expected, |body| {
        let mut body = body?;
        merge(&mut body, clients(patch));
        Some(body)
    })
    .await?;
    Ok(Wrote(after.current(), after.to_json()))
}

/// Closes the account. No content is needed, and none is looked into.
pub(crate) async fn close(
    State(database): State<Database>,
    id: Id,
    expected: Expected,
    request: Request,
) -> Result<Wrote<Json<Object>>, Refused> {
    json::read(request.into_body()).await?;
    let (_, after) = change(&database, id, &expected, |body| {
        let mut body = body?;
        body.insert("status".to_owned(), Value::from("closed"));
        Some(body)
    })
    .await?;
    Ok(Wrote(after.current(), after.to_json()))
}

pub(crate) async fn delete(
    State(database): State<Database>,
    id: Id,
    expected: Expected,
) -> Result<Deleted, Refused> {
    let mut transaction = database.write().await?;
    let account = Row::lock(&mut transaction, &database, id).await?;
    if account.body.is_none() {
        return Err(Failure::not_found().into());
    }
    compare(&account, &expected)?;
    account.changed(None).store(&mut transaction).await?;
    commit(transaction).await?;
    Ok(Deleted)
}

/// Makes what is there, or nothing, into what it is to be: the account before and after. Where
/// nothing comes of it, there is no such account.
async fn change(
    database: &Database,
    id: Id,
    expected: &Expected,
    change: impl FnOnce(Option<Object>) -> Option<Object>,
) -> Result<(Row, Row), Refused> {
    let mut transaction = database.write().await?;
    let before = Row::lock(&mut transaction, database, id).await?;
    let body = change(before.body.clone()).ok_or_else(Failure::not_found)?;
    compare(&before, expected)?;
    let after = before.clone().changed(Some(body));
    after.store(&mut transaction).await?;
    commit(transaction).await?;
    Ok((before, after))
}

/// Is the account under the lock what the client expects?
fn compare(account: &Row, expected: &Expected) -> Result<(), Conflict> {
    if expected.holds(&account.state()) {
        return Ok(());
    }
    Err(match account.body {
        Some(_) => Conflict::with(Representation::json(account.current(), "")),
        None => Conflict::default(),
    })
}
