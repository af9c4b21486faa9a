//! The document of this service, `GET /openapi.json`: what the layers answer they say themselves,
//! and beside it stands what the handlers do.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tower_conditional::ConditionalLayer;
use tower_conditional::openapi::{Description, add_components};

use crate::app::Layers;

const ORDERS: &str = "/v1/partners/{seller}/orders";

/// A success: status, what it says, the schema of its content, its header fields.
type Success<'a> = (u16, &'a str, Option<&'a str>, &'a [&'a str]);

pub(crate) fn document(layers: &Layers) -> Value {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Orders",
            "version": "1",
            "description": "Orders of sellers. No write without If-Match, and a client that loses a race gets in one answer all that it needs to merge and try again. HEAD is as GET."
        },
        "security": [{ "token": [] }, {}],
        "paths": paths(layers),
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "If the service was started with a TOKEN."
                }
            },
            "schemas": schemas()
        }
    });
    add_components(&mut document);
    document
}

fn paths(layers: &Layers) -> Map<String, Value> {
    let mut paths = Map::new();
    let mut path = |rest: &str, operations: Value| {
        let name = format!("{ORDERS}{rest}");
        let parameters = ["seller", "order", "part"].map(|parameter| {
            let is_there = name.contains(&format!("{{{parameter}}}"));
            is_there.then(|| {
                json!({
                    "name": parameter,
                    "in": "path",
                    "required": true,
                    "schema": { "type": "string", "format": "uuid" }
                })
            })
        });
        let mut item = operations;
        item["parameters"] = parameters.into_iter().flatten().collect();
        paths.insert(name, item);
    };
    let created = (
        201,
        "It is created.",
        Some("Versioned"),
        &["ETag", "Location"][..],
    );
    let create = Description::new().and(json_body());
    let keyed = described(layers.required.describe(&Method::POST));
    path(
        "",
        json!({
            "get": operation("Lists orders", &[(200, "All of them.", Some("List"), &[])], &read()),
            "post": operation("Creates an order", &[created], &create.clone().and(write()).and(keyed)),
        }),
    );
    let mut one = changes(layers, "an order");
    one["put"] = operation(
        "Creates an order by If-None-Match, or replaces it by If-Match",
        &[
            (200, "It is replaced.", Some("Versioned"), &["ETag"]),
            created,
        ],
        &guarded(layers, &layers.versioned, &Method::PUT).and(json_body()),
    );
    path("/{order}", one);
    path(
        "/{order}/revisions",
        json!({
            "get": operation("The audit trail", &[(200, "All revisions.", Some("List"), &[])], &read()),
        }),
    );
    let keyed = || described(layers.optional.describe(&Method::POST));
    for kind in ["documents", "invoices", "payments"] {
        let (schema, fields) = match kind {
            "documents" => ("Unversioned", &["Location"][..]),
            _ => ("Versioned", &["ETag", "Location"][..]),
        };
        let added = (201, "It is added.", Some(schema), fields);
        path(
            &format!("/{{order}}/{kind}"),
            json!({
                "get": operation("Lists them", &[(200, "All of them.", Some("List"), &[])], &read()),
                "post": operation("Adds one", &[added], &create.clone().and(write()).and(keyed())),
            }),
        );
        let one = match kind {
            "documents" => json!({
                "get": operation("Reads one", &[(200, "It.", Some(schema), &[])], &read()),
            }),
            _ => changes(layers, "one"),
        };
        path(&format!("/{{order}}/{kind}/{{part}}"), one);
    }
    for milestone in ["delivery", "pickup"] {
        let get = read().and(described(layers.once.describe(&Method::GET)));
        let shown = (200, "It is set.", Some("Milestone"), &[][..]);
        let set = (
            201,
            "It is set now.",
            Some("Milestone"),
            &["ETag", "Location"][..],
        );
        let setting = guarded(layers, &layers.once, &Method::POST).and(json_body());
        path(
            &format!("/{{order}}/transport/{milestone}"),
            json!({
                "get": operation("Reads a milestone", &[shown], &get),
                "post": operation("Sets a milestone", &[set], &setting),
            }),
        );
        let revoked = (
            200,
            "It was set, and is not any more.",
            Some("Milestone"),
            &[][..],
        );
        let revoking = guarded(layers, &layers.revocable, &Method::POST);
        path(
            &format!("/{{order}}/transport/{milestone}/revoke"),
            json!({
                "post": operation("Revokes a milestone", &[revoked], &revoking),
            }),
        );
    }
    paths
}

/// Reads, patches and deletes one resource.
fn changes(layers: &Layers, what: &str) -> Value {
    let get = read().and(described(layers.versioned.describe(&Method::GET)));
    let patch = guarded(layers, &layers.versioned, &Method::PATCH).and(json_body());
    let delete = guarded(layers, &layers.versioned, &Method::DELETE);
    let versioned = Some("Versioned");
    json!({
        "get": operation(&format!("Reads {what}"), &[(200, "It.", versioned, &[])], &get),
        "patch": operation(
            &format!("Changes {what} by a JSON merge patch"),
            &[(200, "It is changed.", versioned, &["ETag"])],
            &patch,
        ),
        "delete": operation(&format!("Deletes {what}"), &[(204, "It is deleted.", None, &[])], &delete),
    })
}

fn operation(summary: &str, successes: &[Success<'_>], description: &Description) -> Value {
    let mut responses = Map::new();
    for (status, text, schema, fields) in successes {
        let mut response = json!({ "description": text });
        if let Some(schema) = schema {
            let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
            response["content"] = json!({ "application/json": { "schema": schema } });
        }
        for field in *fields {
            response["headers"][field] = json!({ "schema": { "type": "string" } });
        }
        responses.insert(status.to_string(), response);
    }
    let mut operation = json!({ "summary": summary, "responses": responses });
    if description.statuses().any(|status| status == 415) {
        let content = json!({ "schema": { "type": "object" } });
        operation["requestBody"] = json!({
            "required": true,
            "content": {
                "application/json": content,
                "application/merge-patch+json": content
            }
        });
    }
    description.add_to(&mut operation);
    operation
}

/// What a read can come to, beside its success.
fn read() -> Description {
    Description::new()
        .with_problem(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "The token is missing or wrong.",
        )
        .with_field(StatusCode::UNAUTHORIZED, "WWW-Authenticate", "Bearer")
        .with_problem(
            StatusCode::NOT_FOUND,
            "not-found",
            "There is nothing by that name.",
        )
        .with_problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "database-unavailable",
            "The database did not answer. Nothing was changed.",
        )
        .with_field(
            StatusCode::SERVICE_UNAVAILABLE,
            "Retry-After",
            "In seconds.",
        )
}

/// The same of a write.
fn write() -> Description {
    read().with_problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "outcome-unknown",
        "The write may have happened: read the resource before trying again.",
    )
}

/// A write that a layer compares versions for, within the one that knows its key.
fn guarded(layers: &Layers, layer: &ConditionalLayer, method: &Method) -> Description {
    write()
        .and(described(layer.describe(method)))
        .and(described(layers.optional.describe(method)))
}

/// What comes of a body that is to be a JSON object.
fn json_body() -> Description {
    Description::new()
        .with_problem(
            StatusCode::BAD_REQUEST,
            "bad-json",
            "The content is no JSON object.",
        )
        .with_problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "content-too-large",
            "The content is too long.",
        )
        .with_problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The content is of another media type.",
        )
}

/// All layers here have one policy for all of their requests.
fn described(description: Option<Description>) -> Description {
    description.unwrap_or_default()
}

fn schemas() -> Value {
    let uuid = json!({ "type": "string", "format": "uuid" });
    let version = json!({ "type": "integer", "minimum": 1 });
    let items = json!({ "type": "array", "items": { "type": "object" } });
    json!({
        "Versioned": {
            "type": "object",
            "description": "With whatever members were sent.",
            "required": ["uuid", "version"],
            "properties": { "uuid": uuid, "version": version }
        },
        "Unversioned": {
            "type": "object",
            "required": ["uuid"],
            "properties": { "uuid": uuid, "version": false }
        },
        "Milestone": {
            "type": "object",
            "required": ["version"],
            "properties": { "version": version }
        },
        "List": {
            "type": "object",
            "required": ["items"],
            "properties": { "items": items }
        }
    })
}
