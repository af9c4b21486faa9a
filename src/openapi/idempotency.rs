//! What the idempotency layer answers, by its policy.

use http::{Method, StatusCode};

use super::Description;
use super::description::RETRY_AFTER;
use crate::decision::Access;
use crate::idempotency::{IdempotencyPolicy, KeyUse};
use crate::problem::Reason;

impl IdempotencyPolicy {
    /// What this policy adds to an operation by `method`; nothing to one whose keys it ignores.
    ///
    /// ```
    /// use http::Method;
    /// use tower_conditional::idempotency::IdempotencyPolicy;
    ///
    /// let write = IdempotencyPolicy::new().describe(&Method::POST);
    /// assert_eq!(write.to_json()["parameters"][0]["name"], "Idempotency-Key");
    /// assert_eq!(IdempotencyPolicy::new().describe(&Method::GET).statuses().count(), 0);
    /// ```
    pub fn describe(&self, method: &Method) -> Description {
        let mut description = Description::new();
        let key_use = self.key_use_of(method);
        if Access::of(method) != Access::Write || key_use == KeyUse::Ignored {
            return description;
        }
        let required = key_use == KeyUse::Required;
        if let Some(name) = self.source.header_name() {
            let text = "A key of the client's own making, the same one on a retry.";
            let name = match name.as_str() {
                "idempotency-key" => "Idempotency-Key",
                other => other,
            };
            description.parameter(name, required, text);
        }
        let missing = required.then_some((Reason::KeyMissing, "The idempotency key is missing."));
        let bad_requests = [
            (Reason::KeyMalformed, "The idempotency key cannot be read."),
            (Reason::IdentityMissing, "The idempotency key is nobody's."),
            (Reason::ContentUnreadable, "The content broke off."),
        ];
        for (reason, text) in missing.into_iter().chain(bad_requests) {
            self.problem(
                &mut description,
                reason,
                StatusCode::BAD_REQUEST,
                text,
                false,
            );
        }
        for (reason, text, later) in [
            (
                Reason::InProgress,
                "A request with this key is being answered.",
                true,
            ),
            (
                Reason::EarlierOutcomeUnknown,
                "A request with this key was not answered; it may have been carried out.",
                false,
            ),
            (
                Reason::ResultNotStored,
                "A request with this key was carried out; its answer was not kept.",
                false,
            ),
        ] {
            self.problem(&mut description, reason, StatusCode::CONFLICT, text, later);
        }
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let text = "The content is too long.";
        self.problem(
            &mut description,
            Reason::ContentTooLarge,
            status,
            text,
            false,
        );
        if self.compares_requests() {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let text = "The idempotency key was used with another request.";
            self.problem(&mut description, Reason::KeyReused, status, text, false);
        }
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let text = "The request may have been carried out: try again with the same key.";
        self.problem(
            &mut description,
            Reason::OutcomeUnknown,
            status,
            text,
            false,
        );
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let text = "Idempotency keys cannot be looked up at the moment. Nothing was changed.";
        self.problem(
            &mut description,
            Reason::StoreUnavailable,
            status,
            text,
            true,
        );
        let replayed = match self.replayed.as_str() {
            "idempotency-replayed" => "Idempotency-Replayed",
            other => other,
        };
        description.success_field(
            replayed,
            "true, if this is the answer of an earlier request.",
        );
        description
    }

    fn problem(
        &self,
        description: &mut Description,
        reason: Reason,
        status: StatusCode,
        text: &'static str,
        later: bool,
    ) {
        let fields: &[_] = if later { &[RETRY_AFTER] } else { &[] };
        let writing = self.renderer.writing();
        description.problem(writing, status, reason.type_name(), text, fields);
    }
}
