//! The answers that the layer gives itself: RFC 9457 problem documents with stable types.
//!
//! | reason | status | type |
//! |---|---|---|
//! | [`Reason::Stale`] | 412 or 409, by policy | `precondition-failed` or `version-mismatch` |
//! | [`Reason::Exists`] | 412 | `precondition-failed` |
//! | [`Reason::AlreadySet`] | 409 | `already-set`, or the route's own |
//! | [`Reason::NotSet`] | 409 | `not-set`, or the route's own |
//! | [`Reason::NotFound`] | 404 | `not-found` |
//! | [`Reason::Missing`] | 428 or 400, by policy | `if-match-required` |
//! | [`Reason::MalformedIfMatch`] | 400 | `if-match-malformed` |
//! | [`Reason::MalformedIfNoneMatch`] | 400 | `if-none-match-malformed` |
//! | [`Reason::Busy`] | 503 or 409, by policy | `resource-busy` |
//! | [`Reason::DeleteInProgress`] | 503 or 409, by policy | `delete-in-progress` |
//! | [`Reason::StoreUnavailable`] | 503 | `store-unavailable` |
//! | [`Reason::ExistenceUnknown`] | 500 | `existence-unknown` |
//! | [`Reason::ContentTooLarge`] | 413 | `content-too-large` |
//! | [`Reason::ContentUnreadable`] | 400 | `content-unreadable` |
//! | [`Reason::OutcomeUnknown`] | 500 | `outcome-unknown` |
//! | [`Reason::NotEnforced`] | 500 | `precondition-not-enforced` |
//! | [`Reason::KeyMissing`] | 400 | `idempotency-key-required` |
//! | [`Reason::KeyMalformed`] | 400 | `idempotency-key-malformed` |
//! | [`Reason::KeyReused`] | 422 | `idempotency-key-reused` |
//! | [`Reason::IdentityMissing`] | 400 | `idempotency-identity-required` |
//! | [`Reason::InProgress`] | 409 | `request-in-progress` |
//! | [`Reason::ResultNotStored`] | 409 | `result-not-stored` |
//! | [`Reason::EarlierOutcomeUnknown`] | 409 | `outcome-unknown` |
//!
//! Whether an unseen resource exists is asked of the [`Reader`](crate::Reader). One that fails (an
//! error, 5xx, 408, 429) may do better the next time: 503, as if it were the store. Without a
//! reader, or with one whose answer says nothing (401, 403, a redirection), no second try can help,
//! and only whoever runs the service can: 500.
//!
//! The reason also rides in the response's extensions, for outer layers that count, log or answer
//! differently; but for that of a 304, which is told by its status and by
//! [`ResponseBody::reason`](crate::ResponseBody::reason), and so costs no allocation:
//!
//! ```
//! use http::Response;
//! use tower_conditional::problem::Reason;
//!
//! fn is_conflict<B>(response: &Response<B>) -> bool {
//!     response.extensions().get::<Reason>() == Some(&Reason::Stale)
//! }
//! # assert!(!is_conflict(&Response::new(())));
//! ```

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

/// Why the layer answered in the handler's place.
///
/// See the [module docs](crate::problem) for the table and an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The resource is there, and the route sets it only once.
    AlreadySet,
    /// Another write holds the resource, and the wait is over.
    Busy,
    /// The content is longer than the route reads.
    ContentTooLarge,
    /// The content broke off on its way in.
    ContentUnreadable,
    /// As [`Busy`](Self::Busy), and the other write is a delete.
    DeleteInProgress,
    /// The request was made before under its idempotency key, and nobody knows with what effect.
    EarlierOutcomeUnknown,
    /// The conditions depend on whether the resource exists, the store was never told, and there is
    /// no [`Reader`](crate::Reader), or none that says.
    ExistenceUnknown,
    /// `If-None-Match` names what is there.
    Exists,
    /// The idempotency key is nobody's.
    IdentityMissing,
    /// The request is being answered already, under its idempotency key.
    InProgress,
    /// The idempotency key cannot be read.
    KeyMalformed,
    /// The route wants an idempotency key.
    KeyMissing,
    /// The idempotency key was used with another request.
    KeyReused,
    /// `If-Match` cannot be read.
    MalformedIfMatch,
    /// `If-None-Match` cannot be read.
    MalformedIfNoneMatch,
    /// The route wants `If-Match`.
    Missing,
    /// A handler answered an unsafe method with success and never said what it wrote.
    NotEnforced,
    /// `If-Match` names a version of what is not there.
    NotFound,
    /// The copy that the client has is good: 304, which is no problem and has no document.
    NotModified,
    /// The resource is not there, and the route is about one that is.
    NotSet,
    /// The handler ended without an answer, or too late; the write may have happened.
    OutcomeUnknown,
    /// The request was carried out before under its idempotency key; what it was answered was not
    /// kept.
    ResultNotStored,
    /// The client's version is not current.
    Stale,
    /// The store did not answer, or the reader that was asked in its place.
    StoreUnavailable,
}

impl Reason {
    /// The name that its problem type ends in, unless the policy has another.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::AlreadySet => "already-set",
            Self::Busy => "resource-busy",
            Self::ContentTooLarge => "content-too-large",
            Self::ContentUnreadable => "content-unreadable",
            Self::DeleteInProgress => "delete-in-progress",
            Self::ExistenceUnknown => "existence-unknown",
            Self::Exists | Self::Stale => "precondition-failed",
            Self::IdentityMissing => "idempotency-identity-required",
            Self::InProgress => "request-in-progress",
            Self::KeyMalformed => "idempotency-key-malformed",
            Self::KeyMissing => "idempotency-key-required",
            Self::KeyReused => "idempotency-key-reused",
            Self::MalformedIfMatch => "if-match-malformed",
            Self::MalformedIfNoneMatch => "if-none-match-malformed",
            Self::Missing => "if-match-required",
            Self::NotEnforced => "precondition-not-enforced",
            Self::NotFound => "not-found",
            Self::NotModified => "not-modified",
            Self::NotSet => "not-set",
            Self::EarlierOutcomeUnknown | Self::OutcomeUnknown => "outcome-unknown",
            Self::ResultNotStored => "result-not-stored",
            Self::StoreUnavailable => "store-unavailable",
        }
    }

    /// Its own name, in lower case, for logs and metrics: unlike
    /// [`type_name`](Self::type_name), no two have the same.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AlreadySet => "already_set",
            Self::Busy => "busy",
            Self::ContentTooLarge => "content_too_large",
            Self::ContentUnreadable => "content_unreadable",
            Self::DeleteInProgress => "delete_in_progress",
            Self::EarlierOutcomeUnknown => "earlier_outcome_unknown",
            Self::ExistenceUnknown => "existence_unknown",
            Self::Exists => "exists",
            Self::IdentityMissing => "identity_missing",
            Self::InProgress => "in_progress",
            Self::KeyMalformed => "key_malformed",
            Self::KeyMissing => "key_missing",
            Self::KeyReused => "key_reused",
            Self::MalformedIfMatch => "malformed_if_match",
            Self::MalformedIfNoneMatch => "malformed_if_none_match",
            Self::Missing => "missing",
            Self::NotEnforced => "not_enforced",
            Self::NotFound => "not_found",
            Self::NotModified => "not_modified",
            Self::NotSet => "not_set",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::ResultNotStored => "result_not_stored",
            Self::Stale => "stale",
            Self::StoreUnavailable => "store_unavailable",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::AlreadySet => "Already Set",
            Self::Busy => "Resource Busy",
            Self::ContentTooLarge => "Content Too Large",
            Self::ContentUnreadable => "Content Unreadable",
            Self::DeleteInProgress => "Delete In Progress",
            Self::ExistenceUnknown => "Existence Unknown",
            Self::Exists | Self::Stale => "Precondition Failed",
            Self::IdentityMissing => "Idempotency Identity Required",
            Self::InProgress => "Request In Progress",
            Self::KeyMalformed => "Idempotency Key Malformed",
            Self::KeyMissing => "Idempotency Key Required",
            Self::KeyReused => "Idempotency Key Reused",
            Self::MalformedIfMatch => "If-Match Malformed",
            Self::MalformedIfNoneMatch => "If-None-Match Malformed",
            Self::Missing => "If-Match Required",
            Self::NotEnforced => "Precondition Not Enforced",
            Self::NotFound => "Not Found",
            Self::NotModified => "Not Modified",
            Self::NotSet => "Not Set",
            Self::EarlierOutcomeUnknown | Self::OutcomeUnknown => "Outcome Unknown",
            Self::ResultNotStored => "Result Not Stored",
            Self::StoreUnavailable => "Store Unavailable",
        }
    }
}

/// In the extensions of an answer that [`IfMatch::Required`](crate::policy::IfMatch::Required)
/// would have refused and [`IfMatch::Warn`](crate::policy::IfMatch::Warn) let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingIfMatch;

/// A problem document ([RFC 9457]) in the making.
///
/// Applications can use it for their own problems, so that all of them look alike:
///
/// ```
/// use http::StatusCode;
/// use tower_conditional::problem::Problem;
///
/// let problem = Problem::new(StatusCode::NOT_FOUND, "not-found", "Not Found")
///     .with_detail("There is no order 7.")
///     .with_trace_id("4bf92f35");
/// let response = problem.to_response();
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// assert_eq!(
///     response.body(),
///     concat!(
///         r#"{"type":"/problems/not-found","title":"Not Found","status":404,"#,
///         r#""detail":"There is no order 7.","traceId":"4bf92f35"}"#
///     ),
/// );
/// ```
///
/// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
#[derive(Debug, Clone)]
pub struct Problem {
    reason: Option<Reason>,
    status: StatusCode,
    base: Cow<'static, str>,
    type_name: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Cow<'static, str>,
    trace_id: Cow<'static, str>,
    retry_after: Option<Duration>,
    members: Vec<(Cow<'static, str>, Bytes)>,
}

impl Problem {
    /// A problem whose `type` is `/problems/` and `type_name`.
    #[must_use]
    pub fn new(
        status: StatusCode,
        type_name: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            reason: None,
            status,
            base: Cow::Borrowed("/problems/"),
            type_name: type_name.into(),
            title: title.into(),
            detail: Cow::Borrowed(""),
            trace_id: Cow::Borrowed(""),
            retry_after: None,
            members: Vec::new(),
        }
    }

    pub(crate) fn of(reason: Reason, status: StatusCode) -> Self {
        let mut problem = Self::new(status, reason.type_name(), reason.title());
        problem.reason = Some(reason);
        if reason == Reason::Stale && status == StatusCode::CONFLICT {
            problem.type_name = Cow::Borrowed("version-mismatch");
            problem.title = Cow::Borrowed("Version Mismatch");
        }
        problem
    }

    /// The same, with another type and title.
    #[must_use]
    pub fn with_type(
        mut self,
        type_name: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.type_name = type_name.into();
        self.title = title.into();
        self
    }

    /// The same, with another start of its `type`.
    #[must_use]
    pub fn with_base(mut self, base: impl Into<Cow<'static, str>>) -> Self {
        self.base = base.into();
        self
    }

    /// The same, with a sentence on this occurrence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same, with the id by which the request can be found in logs; see [`trace_id`].
    #[must_use]
    pub fn with_trace_id(mut self, id: impl Into<Cow<'static, str>>) -> Self {
        self.trace_id = id.into();
        self
    }

    /// The same, with a further member. `json` is a JSON text, and goes in as it is.
    #[must_use]
    pub fn with_member(
        mut self,
        name: impl Into<Cow<'static, str>>,
        json: impl Into<Bytes>,
    ) -> Self {
        self.members.push((name.into(), json.into()));
        self
    }

    /// The same, with how long the client should wait before it tries again: `Retry-After`, in whole
    /// seconds, rounded up.
    #[must_use]
    pub const fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Why the layer answers; `None` in a problem of the application's own.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The last part of the `type`.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The sentence on this occurrence; may be empty.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The id by which the request can be found in logs; may be empty.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// How long the client should wait before it tries again.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The document, as JSON.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let members: usize = self
            .members
            .iter()
            .map(|(name, json)| name.len() + json.len() + 4)
            .sum();
        // Room for all of it, unless something has to be escaped: no second allocation.
        let mut json = Vec::with_capacity(
            FRAME
                + self.base.len()
                + self.type_name.len()
                + self.title.len()
                + self.detail.len()
                + self.trace_id.len()
                + members,
        );
        json.extend_from_slice(b"{\"type\":");
        push_string(&mut json, &[&self.base, &self.type_name]);
        json.extend_from_slice(b",\"title\":");
        push_string(&mut json, &[&self.title]);
        json.extend_from_slice(b",\"status\":");
        json.extend_from_slice(self.status.as_str().as_bytes());
        if !self.detail.is_empty() {
            json.extend_from_slice(b",\"detail\":");
            push_string(&mut json, &[&self.detail]);
        }
        if !self.trace_id.is_empty() {
            json.extend_from_slice(b",\"traceId\":");
            push_string(&mut json, &[&self.trace_id]);
        }
        for (name, value) in &self.members {
            json.push(b',');
            push_string(&mut json, &[name]);
            json.push(b':');
            json.extend_from_slice(value);
        }
        json.push(b'}');
        json.into()
    }

    /// The whole answer: status, `Content-Type: application/problem+json`, `Retry-After` if there is
    /// a time to wait, document.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.to_json());
        *response.status_mut() = self.status;
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds(after));
        }
        response
    }
}

/// Whole seconds, rounded up: zero would be an invitation to hammer.
pub(crate) fn seconds(after: Duration) -> HeaderValue {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0))
        .max(1)
        .into()
}

/// All of a document but its texts and its further members.
const FRAME: usize = br#"{"type":"","title":"","status":409,"detail":"","traceId":""}"#.len();

/// One string, of these parts. Most hold nothing that would have to be escaped.
fn push_string(json: &mut Vec<u8>, parts: &[&str]) {
    let is_plain = |byte: u8| !matches!(byte, 0..0x20 | b'"' | b'\\');
    json.push(b'"');
    for part in parts {
        if part.bytes().all(is_plain) {
            json.extend_from_slice(part.as_bytes());
            continue;
        }
        // With its quotes, which are taken off again.
        let start = json.len();
        serde_json::to_writer(&mut *json, part).expect("writing a string to memory does not fail");
        json.pop();
        json.remove(start);
    }
    json.push(b'"');
}

/// The id by which a request can be found in logs: its `x-request-id`, else the trace id of its
/// W3C `traceparent`, else a fresh one of 32 hexadecimal digits. What cannot be read counts as not
/// sent.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use tower_conditional::problem::trace_id;
///
/// let mut headers = HeaderMap::new();
/// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// headers.insert("traceparent", HeaderValue::from_static(parent));
/// assert_eq!(trace_id(&headers), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(trace_id(&HeaderMap::new()).len(), 32);
/// ```
#[must_use]
pub fn trace_id(headers: &HeaderMap) -> String {
    let request_id = headers.get("x-request-id").and_then(readable);
    let trace = || trace_of_parent(readable(headers.get("traceparent")?)?);
    match request_id.or_else(trace) {
        Some(id) => id.to_owned(),
        None => format!("{:016x}{:016x}", random(), random()),
    }
}

/// The longest request id that is repeated; a longer one is no id.
pub(crate) const MAX_REQUEST_ID: usize = 256;

fn readable(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.trim_ascii();
    (!text.is_empty() && text.len() <= MAX_REQUEST_ID).then_some(text)
}

/// `version "-" trace-id "-" parent-id "-" flags`, all lower-case hexadecimal, no id all zeros.
fn trace_of_parent(value: &str) -> Option<&str> {
    let mut fields = value.split('-');
    let (version, trace, parent, flags) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let hex = |field: &str, length| {
        field.len() == length
            && field
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let id = |field: &str, length| hex(field, length) && field.bytes().any(|byte| byte != b'0');
    let readable = hex(version, 2)
        && version != "ff"
        && id(trace, 32)
        && id(parent, 16)
        && hex(flags, 2)
        && (version != "00" || fields.next().is_none());
    readable.then_some(trace)
}

/// 64 random bits: the standard library seeds its hashers from the operating system.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(fields: &[(&'static str, &[u8])]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_bytes(value).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect()
    }

    #[test]
    fn strings_are_escaped_so_that_any_detail_is_json() {
        let detail = "a \"quote\", a \\, a \n, a \u{1}, an é and a 🦀";
        let problem = Problem::new(StatusCode::CONFLICT, "x\"", "X")
            .with_base("\\/")
            .with_detail(detail);
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(json["type"], "\\/x\"");
        assert_eq!(json["detail"], detail);
    }

    #[test]
    fn the_time_to_wait_is_in_whole_seconds_rounded_up() {
        for (millis, field) in [(0, "1"), (1000, "1"), (1001, "2"), (5999, "6")] {
            let problem = Problem::new(StatusCode::CONFLICT, "x", "X");
            assert!(!problem.to_response().headers().contains_key(RETRY_AFTER));
            let problem = problem.with_retry_after(Duration::from_millis(millis));
            assert_eq!(problem.to_response().headers()[RETRY_AFTER], field);
        }
    }

    #[test]
    fn what_cannot_be_read_counts_as_not_sent() {
        let parent: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (fields, expected) in [
            (
                vec![("x-request-id", &b"r-1"[..]), ("traceparent", parent)],
                "r-1",
            ),
            (vec![("x-request-id", b""), ("traceparent", parent)], trace),
            (
                vec![("x-request-id", b"\xFF"), ("traceparent", parent)],
                trace,
            ),
            (vec![("traceparent", parent)], trace),
        ] {
            assert_eq!(trace_id(&headers(&fields)), expected, "{fields:?}");
        }
        for broken in [
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f35-00f067aa0ba902b7-01",
            "garbage",
        ] {
            let id = trace_id(&headers(&[("traceparent", broken.as_bytes())]));
            assert_eq!(id.len(), 32, "{broken}");
            assert_ne!(id, trace, "{broken}");
            assert_ne!(id, "0".repeat(32), "{broken}");
        }
    }
}
