//! An account as it is stored.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use serde_json::Value;
use sqlx::AnyConnection;
use tower_conditional::store::{Current, State, Version};

use crate::common::database::Database;
use crate::common::id::Id;
use crate::common::json::Object;

/// What a client cannot set.
const SERVERS: [&str; 2] = ["id", "version"];

/// One life of an id, or the time between two.
#[derive(Clone)]
pub(crate) struct Row {
    id: Id,
    version: i64,
    /// Milliseconds since 1970.
    modified: i64,
    pub(crate) body: Option<Object>,
}

impl Row {
    /// A new account.
    pub(crate) fn new(id: Id, body: Object) -> Self {
        let row = Self {
            id,
            version: 0,
            modified: 0,
            body: None,
        };
        row.changed(Some(body))
    }

    /// The account as it is, if it is there.
    pub(crate) async fn read(database: &Database, id: Id) -> Result<Option<Self>, sqlx::Error> {
        let mut connection = database.pool().acquire().await?;
        let row = Self::select(&mut connection, id, "").await?;
        Ok(row.filter(|row| row.body.is_some()))
    }

    /// The same in a transaction that writes: nobody else changes it before the end of that. If
    /// there never was such an account, its row is made, so that there is something to lock.
    pub(crate) async fn lock(
        connection: &mut AnyConnection,
        database: &Database,
        id: Id,
    ) -> Result<Self, sqlx::Error> {
        sqlx::query("INSERT INTO accounts VALUES ($1, 0, 0, NULL) ON CONFLICT DO NOTHING")
            .bind(&*id.0)
            .execute(&mut *connection)
            .await?;
        let row = Self::select(connection, id, database.for_update()).await?;
        row.ok_or(sqlx::Error::RowNotFound)
    }

    async fn select(
        connection: &mut AnyConnection,
        id: Id,
        lock: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        let select = format!("SELECT version, modified, body FROM accounts WHERE id = $1 {lock}");
        let row: Option<(i64, i64, Option<String>)> = sqlx::query_as(&select)
            .bind(&*id.0)
            .fetch_optional(connection)
            .await?;
        let Some((version, modified, body)) = row else {
            return Ok(None);
        };
        let body = body.map(|body| serde_json::from_str(&body)).transpose();
        Ok(Some(Self {
            id,
            version,
            modified,
            body: body.map_err(|error| sqlx::Error::Decode(error.into()))?,
        }))
    }

    /// The next version, from now on. Content that is the same again is a version of its own.
    pub(crate) fn changed(self, body: Option<Object>) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since_1970.unwrap_or_default().as_millis();
        Self {
            version: self.version + 1,
            modified: i64::try_from(now).unwrap_or(i64::MAX),
            body,
            ..self
        }
    }

    pub(crate) async fn store(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let body = self.body.clone().map(|body| Value::from(body).to_string());
        sqlx::query(
            "INSERT INTO accounts VALUES ($1, $2, $3, $4) ON CONFLICT (id) \
             DO UPDATE SET version = $2, modified = $3, body = $4",
        )
        .bind(&*self.id.0)
        .bind(self.version)
        .bind(self.modified)
        .bind(body)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// What the layer makes the validators of.
    pub(crate) fn current(&self) -> Current {
        let modified = Duration::from_millis(self.modified.unsigned_abs());
        Current::new(Version::from(self.version)).modified(UNIX_EPOCH + modified)
    }

    pub(crate) fn state(&self) -> State {
        match self.body {
            Some(_) => State::Present(self.current()),
            None => State::Absent,
        }
    }

    pub(crate) fn path(&self) -> String {
        format!("/accounts/{}", self.id.0)
    }

    /// What a client sees.
    pub(crate) fn to_json(&self) -> Json<Object> {
        let mut shown = self.body.clone().unwrap_or_default();
        shown.insert("id".to_owned(), Value::from(&*self.id.0));
        Json(shown)
    }
}

/// Without the members that are the server's.
pub(crate) fn clients(mut body: Object) -> Object {
    body.retain(|name, _| !SERVERS.contains(&&**name));
    body
}
