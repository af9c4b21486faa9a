//! One write: on whose behalf, in which transaction, and what a retry of it gets.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use sqlx::{Any, Transaction};
use tower_conditional::idempotency::Ticket;

use crate::answer::Answer;
use crate::common::database::{Database, commit};
use crate::common::keys;
use crate::common::problems::Failure;
use crate::common::refused::Refused;

pub(crate) struct Write {
    database: Database,
    pub(crate) method: Method,
    /// For the audit trail.
    pub(crate) actor: String,
    /// There if the request has an `Idempotency-Key`.
    ticket: Option<Ticket>,
}

impl FromRequestParts<Database> for Write {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, database: &Database) -> Result<Self, Failure> {
        let actor = parts.headers.get("x-actor");
        // Names are text, and most clients send text as UTF-8.
        let actor = actor.and_then(|actor| str::from_utf8(actor.as_bytes()).ok());
        let actor = actor.map(str::trim);
        Ok(Self {
            database: database.clone(),
            method: parts.method.clone(),
            actor: actor
                .filter(|actor| !actor.is_empty())
                .unwrap_or("api")
                .into(),
            ticket: parts.extensions.get().cloned(),
        })
    }
}

impl Write {
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.database.write().await
    }

    /// See [`Database::for_update`].
    pub(crate) const fn for_update(&self) -> &'static str {
        self.database.for_update()
    }

    /// Commits the change, and with it the answer that a retry gets: there is never one without
    /// the other, whenever this process is killed.
    pub(crate) async fn commit(
        &self,
        mut transaction: Transaction<'static, Any>,
        answer: Answer,
    ) -> Result<Answer, Refused> {
        if let Some(ticket) = &self.ticket {
            let attempt = ticket.attempt();
            let stored = answer.to_stored();
            if !keys::complete(&self.database, &mut transaction, attempt, &stored).await? {
                // Another process took us for dead, and runs the request.
                let status = StatusCode::CONFLICT;
                let failure = Failure::new(status, "request-in-progress", "Request In Progress")
                    .detail("A request with this idempotency key is being answered.")
                    .retry_after(keys::SOON);
                return Err(failure.into());
            }
        }
        commit(transaction).await?;
        if let Some(ticket) = &self.ticket {
            ticket.completed();
        }
        Ok(answer)
    }
}
