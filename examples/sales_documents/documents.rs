//! Documents, and what is known of the requests that stored them.
//!
//! The truth about duplicates is in the database, written by the transaction that stores the
//! document: there is never one without the other, whenever a process is killed, and whichever of
//! them is asked.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Any, AnyConnection, Transaction};
use tower_conditional::idempotency::Content;
use uuid::Uuid;

use crate::common::database::{Database, Kind as DatabaseKind, Schema};
use crate::common::json::{Object, from_text, to_text};
use crate::envelope::Refused;

pub(crate) const SCHEMA: Schema = Schema {
    table: "business_documents",
    postgres: TABLES,
    sqlite: TABLES,
};

/// Times are in milliseconds since 1970, by the clock of the database.
const TABLES: &str = "\
CREATE TABLE business_documents (
    id        text   PRIMARY KEY,
    kind      text   NOT NULL,
    body      text   NOT NULL, -- a JSON object without id and temporaryUUID
    content   text   NOT NULL, -- the digest of the body: equal if it says the same
    stored_at bigint NOT NULL
);
CREATE INDEX business_documents_by_content ON business_documents (kind, content, stored_at);
-- Outlives the document: a retry that comes after its deletion is still a retry.
CREATE TABLE temporary_uuids (
    kind text NOT NULL,
    uuid text NOT NULL,
    PRIMARY KEY (kind, uuid)
);";

/// The longest `temporaryUUID`, in bytes: many times a UUID, and few enough for an index.
const UUID_LIMIT: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    InventoryRegistration,
    InventoryTransfer,
    InventoryWriteOff,
    Payment,
    PurchaseDocument,
    SalesDocument,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::InventoryRegistration,
        Self::InventoryTransfer,
        Self::InventoryWriteOff,
        Self::Payment,
        Self::PurchaseDocument,
        Self::SalesDocument,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::InventoryRegistration => "InventoryRegistration",
            Self::InventoryTransfer => "InventoryTransfer",
            Self::InventoryWriteOff => "InventoryWriteOff",
            Self::Payment => "Payment",
            Self::PurchaseDocument => "PurchaseDocument",
            Self::SalesDocument => "SalesDocument",
        }
    }

    /// Is a second one with the same content the first one again? Stock is counted twice on
    /// purpose; nobody pays twice.
    const fn is_known_by_content(self) -> bool {
        matches!(self, Self::Payment | Self::SalesDocument)
    }
}

/// What a client wants stored.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) id: Option<Uuid>,
    temporary_uuid: Option<String>,
    body: Object,
}

impl TryFrom<Object> for Sent {
    type Error = Refused;

    fn try_from(mut body: Object) -> Result<Self, Refused> {
        let id = id_in(&body)?;
        body.remove("id");
        let temporary_uuid = match body.remove("temporaryUUID") {
            None | Some(Value::Null) => None,
            Some(Value::String(uuid)) if is_usable(&uuid) => Some(uuid),
            // Whoever sends one relies on it: better no document than one that can come twice.
            Some(_) => return Err(Refused::BAD_REQUEST),
        };
        Ok(Self {
            id,
            temporary_uuid,
            body,
        })
    }
}

fn is_usable(uuid: &str) -> bool {
    !uuid.is_empty() && uuid.len() <= UUID_LIMIT && !uuid.chars().any(char::is_control)
}

/// The id in the body of a request, if there is one. It is an error if no document can have it.
pub(crate) fn id_in(body: &Object) -> Result<Option<Uuid>, Refused> {
    match body.get("id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) => parse_id(id).map(Some),
        Some(_) => Err(Refused::UNKNOWN_ID),
    }
}

pub(crate) fn parse_id(id: &str) -> Result<Uuid, Refused> {
    Uuid::try_parse(id).map_err(|_| Refused::UNKNOWN_ID)
}

#[derive(Debug, Clone)]
pub(crate) struct Documents {
    database: Database,
    /// For how long equal content is the same sale.
    window: i64,
}

impl Documents {
    pub(crate) fn new(database: Database, window: Duration) -> Self {
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX / 4);
        Self { database, window }
    }

    /// The document as it is stored, with its id: a new one, or that of the request of which this
    /// one is a retry.
    pub(crate) async fn create(&self, kind: Kind, sent: Sent) -> Result<Object, Refused> {
        let (content, text) = content(&sent.body)?;
        let mut transaction = self.database.write().await?;
        if let Some(uuid) = &sent.temporary_uuid {
            use_uuid(&mut transaction, kind, uuid).await?;
        } else if kind.is_known_by_content() {
            self.others_wait(&mut transaction, kind, &content).await?;
            if let Some(known) = self.find(&mut transaction, kind, &content).await? {
                return Ok(known);
            }
        }
        let id = Uuid::new_v4();
        let insert = format!(
            "INSERT INTO business_documents (id, kind, body, content, stored_at) \
             VALUES ($1, $2, $3, $4, {})",
            self.now()
        );
        sqlx::query(&insert)
            .bind(id.to_string())
            .bind(kind.name())
            .bind(text)
            .bind(content)
            .execute(&mut *transaction)
            .await?;
        commit(transaction).await?;
        Ok(with_id(id.to_string(), sent.body))
    }

    /// Replaces a document. Its age, by which it is found as a duplicate, stays.
    pub(crate) async fn replace(
        &self,
        kind: Kind,
        id: Uuid,
        sent: Sent,
    ) -> Result<Object, Refused> {
        let (content, text) = content(&sent.body)?;
        let mut transaction = self.database.write().await?;
        if let Some(uuid) = &sent.temporary_uuid {
            use_uuid(&mut transaction, kind, uuid).await?;
        }
        let update = "UPDATE business_documents SET body = $3, content = $4 \
                      WHERE id = $1 AND kind = $2";
        let updated = sqlx::query(update)
            .bind(id.to_string())
            .bind(kind.name())
            .bind(text)
            .bind(content)
            .execute(&mut *transaction)
            .await?;
        if updated.rows_affected() == 0 {
            return Err(Refused::UNKNOWN_ID);
        }
        commit(transaction).await?;
        Ok(with_id(id.to_string(), sent.body))
    }

    pub(crate) async fn delete(&self, kind: Kind, id: Uuid) -> Result<Object, Refused> {
        let mut transaction = self.database.write().await?;
        let delete = "DELETE FROM business_documents WHERE id = $1 AND kind = $2";
        let deleted = sqlx::query(delete)
            .bind(id.to_string())
            .bind(kind.name())
            .execute(&mut *transaction)
            .await?;
        if deleted.rows_affected() == 0 {
            return Err(Refused::UNKNOWN_ID);
        }
        commit(transaction).await?;
        Ok(with_id(id.to_string(), Object::new()))
    }

    pub(crate) async fn read(&self, kind: Kind, id: Uuid) -> Result<Object, Refused> {
        let select = "SELECT body FROM business_documents WHERE id = $1 AND kind = $2";
        let body: Option<String> = sqlx::query_scalar(select)
            .bind(id.to_string())
            .bind(kind.name())
            .fetch_optional(self.database.pool())
            .await?;
        let body = body.ok_or(Refused::UNKNOWN_ID)?;
        Ok(with_id(id.to_string(), from_text(&body)?))
    }

    /// Until this transaction ends, no other one looks for this content, in any process: whoever
    /// comes at the same moment finds what this one stores.
    async fn others_wait(
        &self,
        connection: &mut AnyConnection,
        kind: Kind,
        content: &str,
    ) -> Result<(), sqlx::Error> {
        match self.database.kind() {
            DatabaseKind::Postgres => {
                // Its own statement, so that the next one sees what was committed during the wait.
                let lock = "SELECT 1 FROM \
                            (SELECT pg_advisory_xact_lock(hashtextextended($1, 0))) AS locked";
                let lock = sqlx::query(lock).bind(format!("{} {content}", kind.name()));
                lock.execute(connection).await.map(drop)
            }
            // It is the only transaction that writes.
            DatabaseKind::Sqlite => Ok(()),
        }
    }

    async fn find(
        &self,
        connection: &mut AnyConnection,
        kind: Kind,
        content: &str,
    ) -> Result<Option<Object>, sqlx::Error> {
        let select = format!(
            "SELECT id, body FROM business_documents \
             WHERE kind = $1 AND content = $2 AND stored_at > {} - $3 \
             ORDER BY stored_at, id LIMIT 1",
            self.now()
        );
        let found: Option<(String, String)> = sqlx::query_as(&select)
            .bind(kind.name())
            .bind(content)
            .bind(self.window)
            .fetch_optional(connection)
            .await?;
        found
            .map(|(id, body)| Ok(with_id(id, from_text(&body)?)))
            .transpose()
    }

    /// Now, in the SQL of the database; not when the transaction began, which may have waited.
    const fn now(&self) -> &'static str {
        match self.database.kind() {
            DatabaseKind::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            DatabaseKind::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
        }
    }
}

/// Of all transactions with one `temporaryUUID` one gets past this; the others wait until that one
/// has ended. It counts if the document is stored, and for edits too: a retry of one that comes
/// late would undo what others have done since.
async fn use_uuid(connection: &mut AnyConnection, kind: Kind, uuid: &str) -> Result<(), Refused> {
    let insert = "INSERT INTO temporary_uuids (kind, uuid) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let inserted = sqlx::query(insert)
        .bind(kind.name())
        .bind(uuid)
        .execute(connection)
        .await?;
    if inserted.rows_affected() == 0 {
        return Err(Refused::USED_UUID);
    }
    Ok(())
}

async fn commit(transaction: Transaction<'static, Any>) -> Result<(), Refused> {
    transaction.commit().await.map_err(|error| {
        eprintln!("commit: {error}");
        Refused::OUTCOME_UNKNOWN
    })
}

/// The digest by which equal bodies are found, and the text that is stored.
fn content(body: &Object) -> Result<(String, String), Refused> {
    let text = to_text(body);
    let digest = Content::all().digest(text.as_bytes());
    let digest = digest.ok_or(Refused::BAD_REQUEST)?;
    Ok((digest.to_string(), text))
}

fn with_id(id: String, mut body: Object) -> Object {
    body.insert("id".to_owned(), Value::String(id));
    body
}
