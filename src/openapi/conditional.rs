//! What the conditional layer answers, by its policy.

use http::{Method, StatusCode};

use super::Description;
use super::description::{ETAG, RETRY_AFTER};
use crate::decision::Access;
use crate::policy::{
    BusyStatus, ConflictStatus, IfMatch, Malformed, MissingStatus, Policy, Reads, RequestBodies,
};
use crate::problem::Reason;

/// What of a policy comes to bear, by the mode of the layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) claims: bool,
    pub(crate) handler_compares: bool,
    /// Is there a store that knows what is current?
    pub(crate) has_store: bool,
}

impl Policy {
    /// What this policy adds to an operation by `method`, in whichever mode: see
    /// [`ConditionalLayer::describe`](crate::ConditionalLayer::describe) for that of a layer, which
    /// knows its mode and leaves out what is not its own.
    ///
    /// ```
    /// use http::Method;
    /// use tower_conditional::Policy;
    ///
    /// let read = Policy::rfc9110().describe(&Method::GET);
    /// assert_eq!(read.statuses().collect::<Vec<_>>(), [304, 412, 503]);
    /// ```
    pub fn describe(&self, method: &Method) -> Description {
        self.describe_in(
            method,
            Setup {
                claims: true,
                handler_compares: true,
                has_store: true,
            },
        )
    }

    pub(crate) fn describe_in(&self, method: &Method, setup: Setup) -> Description {
        let mut description = Description::new();
        match Access::of(method) {
            Access::Read => self.describe_read(&mut description, setup),
            Access::Unconditional => {}
            Access::Write => {
                self.describe_conditions(&mut description, method);
                self.describe_existence(&mut description);
                if setup.claims {
                    self.describe_claim(&mut description, method);
                }
                if setup.handler_compares && setup.has_store && self.existence_first {
                    self.describe_store(&mut description);
                }
                if !self.deletes(method) {
                    description.success_field(ETAG.0, ETAG.1);
                }
            }
        }
        description
    }

    fn describe_read(&self, description: &mut Description, setup: Setup) {
        let text = "The entity-tags that the client has a copy of.";
        description.parameter("If-None-Match", false, text);
        let text = "The entity-tags of which one has to be current.";
        description.parameter("If-Match", false, text);
        let text = "The copy that the client has is good.";
        description.answer(StatusCode::NOT_MODIFIED, text, &[ETAG]);
        self.describe_stale(description);
        self.describe_malformed(description);
        if setup.has_store && self.reads == Reads::BeforeHandler {
            self.describe_store(description);
        }
        description.success_field(ETAG.0, ETAG.1);
        for name in self.read_headers.keys() {
            description.success_field(
                &title_case(name.as_str()),
                "As every read of this resource.",
            );
        }
    }

    fn describe_conditions(&self, description: &mut Description, method: &Method) {
        let if_match = self.if_match_of(method);
        // What may create the resource may say so instead, by `If-None-Match: *`.
        let may_create = *method == Method::PUT || self.rules(method, false).creates;
        let required = if_match == IfMatch::Required;
        let text = "The entity-tag of the version that this write is based on.";
        description.parameter("If-Match", required && !may_create, text);
        let text = "*, if there must not be anything yet.";
        description.parameter("If-None-Match", false, text);
        self.describe_stale(description);
        self.describe_malformed(description);
        self.problem(
            description,
            Reason::MalformedIfNoneMatch,
            StatusCode::BAD_REQUEST,
            "If-None-Match cannot be read.",
            &[],
        );
        self.problem(
            description,
            Reason::Exists,
            StatusCode::PRECONDITION_FAILED,
            "If-None-Match is false: there is a representation.",
            &[ETAG],
        );
        if required {
            let status = match self.missing_status {
                MissingStatus::BadRequest => StatusCode::BAD_REQUEST,
                MissingStatus::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            };
            self.problem(
                description,
                Reason::Missing,
                status,
                "If-Match is missing.",
                &[],
            );
        }
    }

    fn describe_stale(&self, description: &mut Description) {
        let (status, type_name) = match self.conflict_status {
            ConflictStatus::Conflict => (StatusCode::CONFLICT, "version-mismatch"),
            ConflictStatus::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, Reason::Stale.type_name())
            }
        };
        let text = "The version that the client names is not current.";
        let writing = self.renderer.writing();
        description.problem(writing, status, type_name, text, &[ETAG]);
    }

    fn describe_malformed(&self, description: &mut Description) {
        if self.malformed == Malformed::BadRequest {
            self.problem(
                description,
                Reason::MalformedIfMatch,
                StatusCode::BAD_REQUEST,
                "If-Match cannot be read.",
                &[],
            );
        }
    }

    /// Of a resource that is set once, or revoked.
    fn describe_existence(&self, description: &mut Description) {
        if let Some(type_name) = self.existence_type() {
            let text = match self.sets_once() {
                true => "It is set already.",
                false => "It is not set.",
            };
            let writing = self.renderer.writing();
            let status = StatusCode::CONFLICT;
            description.problem(writing, status, &type_name, text, &[ETAG]);
        }
    }

    fn describe_claim(&self, description: &mut Description, method: &Method) {
        let status = match self.busy_status {
            BusyStatus::Conflict => StatusCode::CONFLICT,
            BusyStatus::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        for (reason, text) in [
            (
                Reason::Busy,
                "The resource is being written by others. Nothing was changed.",
            ),
            (Reason::DeleteInProgress, "The resource is being deleted."),
        ] {
            self.problem(description, reason, status, text, &[RETRY_AFTER]);
        }
        self.describe_store(description);
        if !self.rules(method, false).creates {
            let text = "If-Match names a version of what does not exist.";
            self.problem(
                description,
                Reason::NotFound,
                StatusCode::NOT_FOUND,
                text,
                &[],
            );
        }
        if matches!(self.request_body, RequestBodies::Buffer(_)) {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            let text = "The content is too long.";
            self.problem(description, Reason::ContentTooLarge, status, text, &[]);
            let status = StatusCode::BAD_REQUEST;
            let text = "The content broke off.";
            self.problem(description, Reason::ContentUnreadable, status, text, &[]);
        }
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let text = "The write may have happened: read the resource before trying again.";
        self.problem(description, Reason::OutcomeUnknown, status, text, &[]);
    }

    fn describe_store(&self, description: &mut Description) {
        self.problem(
            description,
            Reason::StoreUnavailable,
            StatusCode::SERVICE_UNAVAILABLE,
            "Versions cannot be compared at the moment. Nothing was changed.",
            &[RETRY_AFTER],
        );
    }

    fn problem(
        &self,
        description: &mut Description,
        reason: Reason,
        status: StatusCode,
        text: &'static str,
        fields: &[(&'static str, &'static str)],
    ) {
        let writing = self.renderer.writing();
        description.problem(writing, status, reason.type_name(), text, fields);
    }
}

/// As people write field names.
fn title_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}
