//! An answer read to its end, and what it says of a write: a pure function of status and problem
//! type.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use http::response::Parts;
use http::{Response, StatusCode};
use serde_json::Value;

use super::document::coding;
use crate::conditional::Unread;
use crate::http_date::HttpDate;
use crate::problem::Reason;

/// An answer, read as far as it came.
pub(super) struct Answer {
    pub(super) parts: Parts,
    pub(super) content: Result<Bytes, Unread>,
}

impl Answer {
    pub(super) const fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// Its content, if it is JSON and all there.
    pub(super) fn json(&self) -> Option<Value> {
        let content = self.content.as_ref().ok()?;
        if coding(&self.parts.headers).is_some() {
            return None;
        }
        serde_json::from_slice(content).ok()
    }

    /// The last part of its problem type, and its detail; empty where there is none.
    pub(super) fn problem(&self) -> (String, String) {
        let problem = self.json().unwrap_or_default();
        let member = |name| {
            problem
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let type_name = member("type").rsplit('/').next().unwrap_or_default();
        (type_name.to_owned(), member("detail").to_owned())
    }

    /// The same as a response; without content if not all of it is there.
    pub(super) fn into_response(self) -> Response<Bytes> {
        Response::from_parts(self.parts, self.content.unwrap_or_default())
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.parts.headers, SystemTime::now())
    }
}

/// How long the server asks to wait: seconds, or a date ([RFC 9110, section 10.2.3]) against its own
/// clock if it shows it.
///
/// [RFC 9110, section 10.2.3]: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    if let Some(seconds) = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok())
    {
        return Some(Duration::from_secs(seconds));
    }
    let until = HttpDate::parse(value.as_bytes())?;
    let date = headers
        .get(DATE)
        .and_then(|date| HttpDate::parse(date.as_bytes()));
    let now = date.or_else(|| HttpDate::from_system_time(now))?;
    Some(Duration::from_secs(until.seconds_since(now)))
}

/// What an answer says of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has happened.
    Applied,
    /// It has not happened, for want of time or room.
    Busy,
    /// It was refused because the resource has changed; certainly, or perhaps.
    Conflict { certain: bool },
    /// Nobody says whether it has happened; sending it again may tell.
    Doubt,
    /// An earlier try with the same key is still being answered.
    InProgress,
    /// The condition did not arrive.
    Missing,
    /// There is no such resource.
    NotFound,
    /// It was refused for another reason.
    Refused,
    /// The server itself does not know whether it has happened.
    Unknown,
}

/// What this status and problem type say of a write.
pub(super) fn judge(status: StatusCode, type_name: &str) -> Verdict {
    let is = |reason: Reason| reason.type_name() == type_name;
    match status.as_u16() {
        // 303: what came of it is to be seen elsewhere.
        200..=299 | 303 => Verdict::Applied,
        400 if is(Reason::Missing) => Verdict::Missing,
        404 | 410 => Verdict::NotFound,
        // A timeout may have struck in the middle.
        408 => Verdict::Doubt,
        409 if type_name == "version-mismatch" || is(Reason::Stale) => {
            Verdict::Conflict { certain: true }
        }
        409 | 503 if is(Reason::Busy) || is(Reason::DeleteInProgress) => Verdict::Busy,
        409 if is(Reason::InProgress) => Verdict::InProgress,
        409 if is(Reason::EarlierOutcomeUnknown) => Verdict::Unknown,
        409 if is(Reason::ResultNotStored) => Verdict::Applied,
        // Of other causes: what the resource has become since will tell.
        409 => Verdict::Conflict { certain: false },
        412 => Verdict::Conflict { certain: true },
        425 | 429 => Verdict::Busy,
        428 => Verdict::Missing,
        503 if is(Reason::StoreUnavailable) => Verdict::Busy,
        500..=599 => Verdict::Doubt,
        _ => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn stale_busy_and_in_doubt_are_told_apart() {
        let certain = Verdict::Conflict { certain: true };
        for (status, type_name, verdict) in [
            (200, "", Verdict::Applied),
            (204, "", Verdict::Applied),
            (303, "", Verdict::Applied),
            (307, "", Verdict::Refused),
            (400, "bad-json", Verdict::Refused),
            (400, "if-match-required", Verdict::Missing),
            (403, "", Verdict::Refused),
            (404, "", Verdict::NotFound),
            (408, "", Verdict::Doubt),
            (409, "version-mismatch", certain),
            (409, "precondition-failed", certain),
            (409, "resource-busy", Verdict::Busy),
            (409, "delete-in-progress", Verdict::Busy),
            (409, "request-in-progress", Verdict::InProgress),
            (409, "outcome-unknown", Verdict::Unknown),
            (409, "result-not-stored", Verdict::Applied),
            (409, "order-closed", Verdict::Conflict { certain: false }),
            (409, "", Verdict::Conflict { certain: false }),
            (412, "", certain),
            (422, "idempotency-key-reused", Verdict::Refused),
            (428, "", Verdict::Missing),
            (429, "", Verdict::Busy),
            (500, "", Verdict::Doubt),
            (500, "outcome-unknown", Verdict::Doubt),
            (502, "", Verdict::Doubt),
            (503, "", Verdict::Doubt),
            (503, "resource-busy", Verdict::Busy),
            (503, "store-unavailable", Verdict::Busy),
            (504, "", Verdict::Doubt),
        ] {
            let judged = judge(StatusCode::from_u16(status).unwrap(), type_name);
            assert_eq!(judged, verdict, "{status} {type_name}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, date, seconds) in [
            ("7", None, Some(7)),
            (" 7 ", None, Some(7)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", None, Some(10)),
            (
                "Sun, 06 Nov 1994 08:49:47 GMT",
                Some("Sun, 06 Nov 1994 08:49:44 GMT"),
                Some(3),
            ),
            ("Sun, 06 Nov 1994 08:49:07 GMT", None, Some(0)),
            ("-7", None, None),
            ("soon", None, None),
            ("99999999999999999999", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expected, "{value}");
        }
    }
}
