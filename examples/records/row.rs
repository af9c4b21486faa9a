//! A model or record as it is stored, and as it is shown.

use axum::response::{IntoResponse, Response};
use serde_json::Value;
use sqlx::AnyConnection;
use tower_conditional::axum::{Conflict, Expected, IncludeVersion};
use tower_conditional::digest::Sha256Digest;
use tower_conditional::report::Representation;
use tower_conditional::store::{State, Version};

use crate::claims::Claims;
use crate::common::database::Database;
use crate::common::id::Id;
use crate::common::json::Object;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Record,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Record => "record",
        }
    }

    const fn id_member(self) -> &'static str {
        match self {
            Self::Model => "modelId",
            Self::Record => "recordId",
        }
    }

    /// Is this member not for clients to set?
    pub(crate) fn is_servers(self, member: &str) -> bool {
        match self {
            Self::Model => ["modelId", "version"].contains(&member),
            Self::Record => ["recordId", "version", "sha256"].contains(&member),
        }
    }
}

pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) id: Id,
    pub(crate) version: i64,
    /// What clients have set.
    pub(crate) body: Object,
    pub(crate) claims: Claims,
}

impl Row {
    pub(crate) async fn read(
        connection: &mut AnyConnection,
        kind: Kind,
        id: Id,
    ) -> Result<Option<Self>, sqlx::Error> {
        Self::select(connection, kind, id, "").await
    }

    /// The same in a transaction that writes: nobody else changes it before the end of that.
    pub(crate) async fn lock(
        connection: &mut AnyConnection,
        database: &Database,
        kind: Kind,
        id: Id,
    ) -> Result<Option<Self>, sqlx::Error> {
        Self::select(connection, kind, id, database.for_update()).await
    }

    async fn select(
        connection: &mut AnyConnection,
        kind: Kind,
        id: Id,
        lock: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        let select = format!(
            "SELECT version, body, claims FROM resources WHERE kind = $1 AND id = $2 {lock}"
        );
        let row: Option<(i64, String, String)> = sqlx::query_as(&select)
            .bind(kind.name())
            .bind(&*id.0)
            .fetch_optional(connection)
            .await?;
        let Some((version, body, claims)) = row else {
            return Ok(None);
        };
        let decode = |error: serde_json::Error| sqlx::Error::Decode(error.into());
        Ok(Some(Self {
            kind,
            id,
            version,
            body: serde_json::from_str(&body).map_err(decode)?,
            claims: Claims::from_json(serde_json::from_str(&claims).map_err(decode)?),
        }))
    }

    pub(crate) async fn store(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO resources VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kind, id) \
             DO UPDATE SET version = $3, body = $4, claims = $5",
        )
        .bind(self.kind.name())
        .bind(&*self.id.0)
        .bind(self.version)
        .bind(Value::from(self.body.clone()).to_string())
        .bind(self.claims.to_json().to_string())
        .execute(connection)
        .await?;
        Ok(())
    }

    pub(crate) async fn delete(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM resources WHERE kind = $1 AND id = $2")
            .bind(self.kind.name())
            .bind(&*self.id.0)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// The fields of a record.
    pub(crate) fn data(&self) -> Object {
        match self.body.get("data") {
            Some(Value::Object(data)) => data.clone(),
            _ => Object::new(),
        }
    }

    pub(crate) fn path(&self) -> String {
        format!("/{}s/{}", self.kind.name(), self.id.0)
    }

    /// Is it what the client expects? Only true for as long as the row is locked.
    pub(crate) fn compare(&self, expected: &Expected) -> Result<(), Conflict> {
        if expected.holds(&State::present(Version::from(self.version))) {
            return Ok(());
        }
        Err(Conflict::with(Representation::json(
            self.version.into(),
            "",
        )))
    }

    /// What a client sees.
    pub(crate) fn shown(&self, include: IncludeVersion) -> Shown {
        let mut shown = self.body.clone();
        shown.insert(self.kind.id_member().to_owned(), Value::from(&*self.id.0));
        if self.kind == Kind::Record {
            let data = Value::from(self.data());
            let digest = Sha256Digest::of_json(&data).map(|digest| digest.to_hex());
            shown.insert("sha256".to_owned(), digest.unwrap_or_default().into());
            shown.insert("data".to_owned(), data);
        }
        include.add_to(&mut shown, self.version);
        Shown(shown)
    }
}

/// A representation.
pub(crate) struct Shown(Object);

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}
