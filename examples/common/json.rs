//! Bodies: JSON objects of limited size.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::problems::Failure;

/// The longest body, in bytes.
pub(crate) const LIMIT: usize = 1024 * 1024;

/// How deep arrays and objects may nest. Parsers have limits too, serde_json one of 128: what is
/// stored, perhaps inside of something else, has to be readable again.
const DEPTH: usize = 100;

/// The members of a JSON object.
pub(crate) type Object = Map<String, Value>;

/// A body that is a JSON object. Anything else is 415, 413 or 400, in this order.
pub(crate) struct JsonObject(pub(crate) Object);

impl<S: Sync> FromRequest<S> for JsonObject {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        if !is_json(request.headers()) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(
                Failure::new(status, "unsupported-media-type", "Unsupported Media Type")
                    .detail("Send application/json or application/merge-patch+json."),
            );
        }
        let bytes = read(request.into_body()).await?;
        parse(&bytes).map(Self)
    }
}

/// All of a body of at most [`LIMIT`] bytes.
pub(crate) async fn read(body: Body) -> Result<axum::body::Bytes, Failure> {
    match Limited::new(body, LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "content-too-large",
            "Content Too Large",
        )
        .detail(format!("The content is longer than {LIMIT} bytes."))),
        Err(_) => Err(bad_json("it broke off")),
    }
}

/// A JSON object out of its text.
pub(crate) fn parse(bytes: &[u8]) -> Result<Object, Failure> {
    let object: Object =
        serde_json::from_slice(bytes).map_err(|error| bad_json(&error.to_string()))?;
    if object.values().all(|value| nests_within(value, DEPTH - 1)) {
        Ok(object)
    } else {
        Err(bad_json("it nests too deep"))
    }
}

fn nests_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(values) => {
            depth > 0 && values.iter().all(|value| nests_within(value, depth - 1))
        }
        Value::Object(object) => {
            depth > 0 && object.values().all(|value| nests_within(value, depth - 1))
        }
        _ => true,
    }
}

fn bad_json(why: &str) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "bad-json", "Bad JSON")
        .detail(format!("The content is no JSON object: {why}."))
}

/// A JSON object out of a column. What is none was put there by somebody else.
pub(crate) fn from_text(text: &str) -> Result<Object, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The text of a JSON object.
pub(crate) fn to_text(object: &Object) -> String {
    serde_json::to_string(object).expect("a JSON object can be written")
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    ["application/json", "application/merge-patch+json"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
}
