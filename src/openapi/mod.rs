//! What the layers answer, as a part of an API's own description: OpenAPI 3.1.
//!
//! A policy knows which answers it can give, under which conditions, with which fields. Written by
//! hand into a description of the API, that goes wrong with the first change of the policy; so the
//! layers describe themselves. [`ConditionalLayer::describe`](crate::ConditionalLayer::describe) and
//! [`IdempotencyLayer::describe`](crate::IdempotencyLayer::describe) give a [`Description`] of what
//! they add to an operation: parameters, answers, fields of the handler's own answers. It is plain
//! data, and goes into an operation as JSON, or by feature into one of the crates `utoipa` or
//! `aide`.
//!
//! ```
//! use http::Method;
//! use serde_json::json;
//! use tower_conditional::{ConditionalLayer, Policy, openapi};
//!
//! let layer = ConditionalLayer::handler().policy(Policy::aip154());
//! let mut operation = json!({ "responses": { "200": { "description": "The order, changed" } } });
//! if let Some(description) = layer.describe(&Method::PATCH) {
//!     description.add_to(&mut operation);
//! }
//! assert_eq!(operation["parameters"][0]["name"], "If-Match");
//! assert!(operation["responses"]["409"].is_object());
//! assert!(operation["responses"]["200"]["headers"]["ETag"].is_object());
//!
//! let mut document = json!({ "paths": { "/orders/{id}": { "patch": operation } } });
//! openapi::add_components(&mut document);
//! ```

#[cfg(feature = "aide")]
mod aide;
mod conditional;
mod description;
mod idempotency;
#[cfg(any(feature = "aide", feature = "utoipa"))]
mod typed;
#[cfg(feature = "utoipa")]
mod utoipa;

use serde_json::{Map, Value, json};

#[cfg(feature = "aide")]
#[cfg_attr(docsrs, doc(cfg(feature = "aide")))]
pub use self::aide::add_components_to_aide;
pub(crate) use self::conditional::Setup;
pub use self::description::Description;
pub(crate) use self::description::Writing;
#[cfg(feature = "utoipa")]
#[cfg_attr(docsrs, doc(cfg(feature = "utoipa")))]
pub use self::utoipa::add_components_to_utoipa;

/// The name of the problem schema among the components of a document.
const PROBLEM: &str = "Problem";

/// The schema of the problem documents of this crate ([RFC 9457]).
///
/// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
#[must_use]
pub fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {
                "type": "string",
                "format": "uri-reference",
                "description": "Which problem it is; stable."
            },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "A sentence on this occurrence." },
            "traceId": {
                "type": "string",
                "description": "The id by which the request can be found in logs."
            },
            "currentResource": {
                "description": "In the answer to a stale write, where it is known: the resource as it is now, of the version in the field ETag."
            }
        }
    })
}

/// Adds the schema that all [descriptions](Description) refer to, `#/components/schemas/Problem`,
/// to a document. One that is there already stays.
///
/// See the [module docs](crate::openapi) for an example. What is no JSON object is left alone.
pub fn add_components(document: &mut Value) {
    let components = object_in(document, "components");
    let schemas = components.and_then(|components| object_in(components, "schemas"));
    if let Some(Value::Object(schemas)) = schemas {
        schemas.entry(PROBLEM).or_insert_with(problem_schema);
    }
}

/// The object under `name`, which is made if it is missing; none if `value` is no object.
fn object_in<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let value = value.as_object_mut()?;
    Some(
        value
            .entry(name)
            .or_insert_with(|| Value::Object(Map::new())),
    )
}
