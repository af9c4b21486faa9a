//! What policies say of themselves: the answers that they can give by a method, and no others.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tower_conditional::idempotency::{
    IdempotencyLayer, IdempotencyPolicy, KeyUse, MemoryIdempotencyStore,
};
use tower_conditional::openapi::{Description, add_components};
use tower_conditional::policy::{BusyStatus, IfMatch, Reads, RequestBodies};
use tower_conditional::{ConditionalLayer, MemoryStore, Policy};

fn statuses(description: &Description) -> Vec<u16> {
    description.statuses().collect()
}

fn described(layer: &ConditionalLayer, method: &Method) -> Vec<u16> {
    statuses(&layer.describe(method).expect("one policy for all"))
}

/// Method, then what the claim mode says, then the handler mode.
type Row = (Method, &'static [u16], &'static [u16]);

#[test]
fn a_layer_names_the_statuses_of_its_policy_and_mode() {
    let rfc9110 = Policy::rfc9110;
    let table: [(Policy, [Row; 4]); 3] = [
        (
            rfc9110(),
            [
                (Method::GET, &[304, 412, 503], &[304, 412]),
                (
                    Method::PUT,
                    &[400, 412, 413, 428, 500, 503],
                    &[400, 412, 428],
                ),
                (
                    Method::DELETE,
                    &[400, 404, 412, 413, 428, 500, 503],
                    &[400, 412, 428],
                ),
                (Method::POST, &[400, 412, 413, 500, 503], &[400, 412]),
            ],
        ),
        (
            Policy::aip154(),
            [
                (Method::GET, &[304, 400, 409, 503], &[304, 400, 409]),
                (
                    Method::PUT,
                    &[400, 409, 412, 413, 500, 503],
                    &[400, 409, 412],
                ),
                (
                    Method::PATCH,
                    &[400, 404, 409, 412, 413, 500, 503],
                    &[400, 409, 412],
                ),
                (Method::OPTIONS, &[], &[]),
            ],
        ),
        (
            rfc9110()
                .if_match(IfMatch::Optional)
                .busy_status(BusyStatus::Conflict)
                .request_body(RequestBodies::Stream)
                .reads(Reads::AfterHandler)
                .set_once("set-already"),
            [
                (Method::GET, &[304, 412], &[304, 412]),
                (Method::POST, &[400, 409, 412, 500, 503], &[400, 409, 412]),
                (Method::PUT, &[400, 409, 412, 500, 503], &[400, 409, 412]),
                (Method::TRACE, &[], &[]),
            ],
        ),
    ];
    for (policy, rows) in table {
        let claim = ConditionalLayer::new(MemoryStore::new()).policy(policy.clone());
        let handler = ConditionalLayer::handler().policy(policy.clone());
        for (method, claims, handles) in rows {
            assert_eq!(described(&claim, &method), claims, "{method} {policy:?}");
            assert_eq!(described(&handler, &method), handles, "{method} {policy:?}");
        }
    }
    let first = Policy::rfc9110().existence_first(true);
    let with_store = ConditionalLayer::handler_with(MemoryStore::new()).policy(first);
    assert_eq!(described(&with_store, &Method::PUT), [400, 412, 428, 503]);
    let many = ConditionalLayer::handler().policy_for(|_| None);
    assert_eq!(many.describe(&Method::PUT), None);
}

#[test]
fn if_match_is_required_where_nothing_stands_in_for_it() {
    let required = |policy: Policy, method: &Method| {
        let parameters = policy.describe(method).to_json()["parameters"].clone();
        let parameters = parameters.as_array().cloned().unwrap_or_default();
        let if_match = parameters
            .iter()
            .find(|parameter| parameter["name"] == "If-Match");
        if_match.map(|parameter| parameter["required"] == true)
    };
    for (policy, method, expected) in [
        (Policy::rfc9110(), Method::PATCH, Some(true)),
        (Policy::rfc9110(), Method::DELETE, Some(true)),
        // `If-None-Match: *` creates.
        (Policy::rfc9110(), Method::PUT, Some(false)),
        (
            Policy::rfc9110().creates(Method::PUT, false),
            Method::PUT,
            Some(false),
        ),
        (
            Policy::rfc9110().if_match(IfMatch::Warn),
            Method::PATCH,
            Some(false),
        ),
        (Policy::rfc9110(), Method::GET, Some(false)),
        (Policy::rfc9110(), Method::OPTIONS, None),
    ] {
        assert_eq!(required(policy, &method), expected, "{method}");
    }
}

#[test]
fn a_key_is_a_parameter_of_the_methods_that_have_one() {
    let policy = IdempotencyPolicy::new()
        .key_use(KeyUse::Ignored)
        .key_use_for(Method::POST, KeyUse::Required)
        .key_use_for(Method::PATCH, KeyUse::Optional);
    let layer = IdempotencyLayer::new(MemoryIdempotencyStore::new(), |_| None).policy(policy);
    let describe = |method| layer.describe(&method).expect("one policy for all");
    for (method, required) in [(Method::POST, true), (Method::PATCH, false)] {
        let description = describe(method);
        assert_eq!(statuses(&description), [400, 409, 413, 422, 500, 503]);
        let parameter = &description.to_json()["parameters"][0];
        assert_eq!(parameter["name"], "Idempotency-Key");
        assert_eq!(parameter["required"], required);
    }
    assert_eq!(describe(Method::PUT), Description::new());
    assert_eq!(describe(Method::GET), Description::new());
    let anew = IdempotencyPolicy::new().compare_requests(false);
    assert!(!statuses(&anew.describe(&Method::POST)).contains(&422));
}

fn types(response: &Value) -> &Value {
    &response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["type"]["enum"]
}

#[test]
fn two_layers_and_the_handler_share_a_status_with_all_of_their_types() {
    let description = Policy::aip154()
        .describe(&Method::PATCH)
        .and(IdempotencyPolicy::new().describe(&Method::PATCH))
        .with_problem(StatusCode::CONFLICT, "order-closed", "The order is closed.");
    let json = description.to_json();
    let conflict = &json["responses"]["409"];
    assert_eq!(
        types(conflict),
        &json!([
            "/problems/order-closed",
            "/problems/outcome-unknown",
            "/problems/request-in-progress",
            "/problems/result-not-stored",
            "/problems/version-mismatch"
        ])
    );
    let headers = conflict["headers"].as_object().expect("headers");
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["ETag", "Retry-After"]);
}

#[test]
fn types_that_the_application_changes_are_left_open_and_what_it_renders_is_its_own() {
    let changed = Policy::rfc9110().problems(|problem| problem.with_type("mine", "Mine"));
    let json = changed.describe(&Method::PUT).to_json();
    let content = &json["responses"]["412"]["content"]["application/problem+json"];
    assert_eq!(
        content["schema"],
        json!({ "$ref": "#/components/schemas/Problem" })
    );
    let rendered = Policy::rfc9110().render(|_| http::Response::default());
    let json = rendered.describe(&Method::PUT).to_json();
    assert_eq!(json["responses"]["412"]["content"], Value::Null);
    let elsewhere = Policy::rfc9110().problem_base("https://example.com/");
    let json = elsewhere.describe(&Method::PUT).to_json();
    assert_eq!(
        types(&json["responses"]["428"]),
        &json!(["https://example.com/if-match-required"])
    );
}

#[test]
fn what_an_operation_says_already_stays() {
    let mut operation = json!({
        "parameters": [{ "name": "if-match", "in": "header", "description": "mine" }],
        "responses": {
            "200": { "description": "mine", "headers": { "etag": { "description": "mine" } } },
            "412": { "description": "mine" }
        }
    });
    Policy::rfc9110()
        .describe(&Method::PATCH)
        .add_to(&mut operation);
    let names: Vec<_> = operation["parameters"]
        .as_array()
        .expect("parameters")
        .iter()
        .map(|parameter| parameter["name"].clone())
        .collect();
    assert_eq!(names, ["if-match", "If-None-Match"]);
    assert_eq!(
        operation["responses"]["412"],
        json!({ "description": "mine" })
    );
    let headers = &operation["responses"]["200"]["headers"];
    assert_eq!(headers, &json!({ "etag": { "description": "mine" } }));
    assert!(operation["responses"]["428"].is_object());
    // No success of a delete has a tag.
    let mut gone = json!({ "responses": { "204": { "description": "gone" } } });
    Policy::rfc9110()
        .describe(&Method::DELETE)
        .add_to(&mut gone);
    assert_eq!(gone["responses"]["204"], json!({ "description": "gone" }));
    // What is no document is no document afterwards.
    let mut text = json!("text");
    Policy::rfc9110().describe(&Method::PUT).add_to(&mut text);
    add_components(&mut text);
    assert_eq!(text, json!("text"));
}

#[test]
fn utoipa_and_aide_have_the_same_description() {
    let description = Policy::aip154().describe(&Method::PATCH);
    let mut expected = json!({ "responses": { "200": { "description": "Changed" } } });
    description.add_to(&mut expected);
    let statuses: Vec<_> = expected["responses"]
        .as_object()
        .expect("responses")
        .keys()
        .collect();

    let changed = json!({ "responses": { "200": { "description": "Changed" } } });
    let mut typed: utoipa::openapi::path::Operation =
        serde_json::from_value(changed.clone()).expect("an operation");
    description
        .add_to_utoipa(&mut typed)
        .expect("utoipa reads it");
    let utoipa = serde_json::to_value(&typed).expect("JSON");
    let mut typed: aide::openapi::Operation =
        serde_json::from_value(changed).expect("an operation");
    description.add_to_aide(&mut typed).expect("aide reads it");
    let aide = serde_json::to_value(&typed).expect("JSON");
    for (name, operation) in [("utoipa", &utoipa), ("aide", &aide)] {
        let responses = operation["responses"].as_object().expect("responses");
        assert_eq!(responses.keys().collect::<Vec<_>>(), statuses, "{name}");
        let conflict = &operation["responses"]["409"];
        assert_eq!(
            types(conflict),
            types(&expected["responses"]["409"]),
            "{name}"
        );
        assert_eq!(operation["parameters"][0]["name"], "If-Match", "{name}");
    }
}
