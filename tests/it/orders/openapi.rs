//! The document of the example: it is OpenAPI 3.1, and says of each answer what is true of it.

use std::collections::BTreeSet;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

use super::service::{Answer, NOBODY, OTHER, SELLER, Service, on_each};

/// That of the OpenAPI Initiative, `https://spec.openapis.org/oas/3.1/schema/2022-10-07`.
const OPENAPI: &str = include_str!("openapi-3.1.json");

/// Fields that clients act on.
const FIELDS: [&str; 5] = [
    "etag",
    "idempotency-replayed",
    "location",
    "retry-after",
    "www-authenticate",
];

/// Panics with what is wrong with `value`.
#[track_caller]
fn assert_valid(schema: &Value, value: &Value, what: &str) {
    let mut compiler = Compiler::new();
    compiler.enable_format_assertions();
    let location = schema["$id"]
        .as_str()
        .unwrap_or("https://orders.example/schema");
    compiler
        .add_resource(location, schema.clone())
        .expect("a schema");
    let mut schemas = Schemas::new();
    let compiled = compiler.compile(location, &mut schemas);
    let compiled = compiled.unwrap_or_else(|error| panic!("{what}: {error}"));
    if let Err(error) = schemas.validate(value, compiled) {
        panic!("{what}: {error}\n{value:#}");
    }
}

/// What the document says, and which of it was seen.
struct Document {
    json: Value,
    seen: BTreeSet<(String, String, String)>,
}

impl Document {
    async fn of(service: &Service, fields: &[(&str, &str)]) -> Self {
        let answer = service.ask("GET", "/openapi.json", fields, "").await;
        assert_eq!(
            (answer.status, answer.field("content-type")),
            (200, "application/json")
        );
        Self {
            json: answer.json(),
            seen: BTreeSet::new(),
        }
    }

    /// The one path that fits.
    #[track_caller]
    fn template(&self, path: &str) -> String {
        let fits = |template: &str| {
            let (one, other): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            one.len() == other.len()
                && one
                    .iter()
                    .zip(&other)
                    .all(|(one, other)| one.starts_with('{') || one == other)
        };
        let paths = self.json["paths"].as_object().expect("paths");
        let mut fitting = paths.keys().filter(|template| fits(template));
        let template = fitting
            .next()
            .unwrap_or_else(|| panic!("no path for {path}"));
        template.clone()
    }

    /// That an answer is as the document says.
    #[track_caller]
    fn check(&mut self, method: &str, path: &str, answer: &Answer) {
        let path = self.template(path);
        let (method, status) = (method.to_lowercase(), answer.status.to_string());
        let what = format!("{method} {path} {status}");
        let response = &self.json["paths"][&path][&method]["responses"][&status];
        assert!(response.is_object(), "{what} is not documented: {answer:?}");
        let named: Vec<_> = response["headers"]
            .as_object()
            .map(|fields| fields.keys().map(|name| name.to_lowercase()).collect())
            .unwrap_or_default();
        for field in FIELDS {
            let is_there = answer.headers.contains_key(field);
            assert!(
                !is_there || named.iter().any(|name| name == field),
                "{what}: {field}"
            );
        }
        if answer.body.is_empty() {
            assert_eq!(response["content"], Value::Null, "{what} has content");
        } else {
            let content = &response["content"][answer.field("content-type")];
            assert!(content.is_object(), "{what}: {answer:?}");
            let schema = json!({
                "allOf": [content["schema"]],
                "components": self.json["components"]
            });
            assert_valid(&schema, &answer.json(), &what);
        }
        self.seen.insert((path, method, status));
    }

    /// What is documented and was not seen.
    fn unseen(&self) -> BTreeSet<(String, String, String)> {
        let mut unseen = BTreeSet::new();
        for (path, item) in self.json["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let responses = operation["responses"].as_object();
                for status in responses.into_iter().flat_map(|responses| responses.keys()) {
                    unseen.insert((path.clone(), method.clone(), status.clone()));
                }
            }
        }
        &unseen - &self.seen
    }
}

/// A service, and its document, which every answer is held against.
struct Checked<'a> {
    service: &'a Service,
    document: Document,
}

impl Checked<'_> {
    #[track_caller]
    fn told(&mut self, method: &str, path: &str, status: u16, answer: &Answer) {
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        self.document.check(method, path, answer);
    }

    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
        status: u16,
    ) -> Answer {
        let answer = self.service.ask(method, path, fields, body).await;
        self.told(method, path, status, &answer);
        answer
    }

    /// What comes of bodies, and of keys that were used before.
    async fn refused_writes(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) {
        let plain = [fields, &[("content-type", "text/plain")]].concat();
        let key = uuid::Uuid::new_v4().to_string();
        let plain = [&plain[..], &[("idempotency-key", &*key)]].concat();
        self.ask(method, path, &plain, "text", 415).await;
        let keyed = [fields, &[("idempotency-key", &*key)]].concat();
        self.ask(method, path, &keyed, "{", 400).await;
        let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(1024 * 1024));
        self.ask(method, path, &keyed, &long, 413).await;
    }

    /// A key that comes back with another request.
    async fn reused_key(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) {
        let key = [("idempotency-key", "used")];
        let orders = format!("{OTHER}/orders");
        self.ask("POST", &orders, &key, "{}", 201).await;
        let path = path.replace(SELLER, OTHER);
        let fields = [fields, &key].concat();
        self.ask(method, &path, &fields, r#"{"other":1}"#, 422)
            .await;
    }

    /// A resource that is changed with `If-Match`, from its first version to its end.
    async fn life(&mut self, path: &str) {
        let (one, two) = ([("if-match", "\"1\"")], [("if-match", "\"2\"")]);
        let unknown = path
            .rsplit_once('/')
            .map(|(rest, _)| format!("{rest}/{NOBODY}"));
        let unknown = unknown.expect("a path");
        self.ask("GET", path, &[], "", 200).await;
        self.ask("GET", path, &[("if-none-match", "\"1\"")], "", 304)
            .await;
        self.ask("GET", path, &two, "", 409).await;
        self.ask("GET", path, &[("if-match", "1")], "", 400).await;
        self.ask("GET", &unknown, &[], "", 404).await;
        self.ask("PATCH", path, &one, r#"{"sum":2}"#, 200).await;
        for method in ["PATCH", "DELETE"] {
            self.ask(method, path, &one, "{}", 409).await;
            self.ask(method, path, &[], "{}", 400).await;
            self.ask(method, path, &[("if-match", "2")], "{}", 400)
                .await;
            self.ask(
                method,
                path,
                &[("if-match", "\"2\""), ("if-none-match", "*")],
                "{}",
                412,
            )
            .await;
            self.ask(method, &unknown, &two, "{}", 404).await;
            self.reused_key(method, path, &two).await;
        }
        self.refused_writes("PATCH", path, &two).await;
        let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(1024 * 1024));
        let keyed = [two[0], ("idempotency-key", "too-long")];
        self.ask("DELETE", path, &keyed, &long, 413).await;
        let key = uuid::Uuid::new_v4().to_string();
        let keyed = [two[0], ("idempotency-key", &*key)];
        self.ask("DELETE", path, &keyed, "", 204).await;
        let again = self.ask("DELETE", path, &keyed, "", 204).await;
        assert_eq!(again.field("idempotency-replayed"), "true");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_openapi() {
    on_each(async |database| {
        let document = Document::of(&database.start(&[]), &[]).await;
        let schema = serde_json::from_str(OPENAPI).expect("JSON");
        assert_valid(&schema, &document.json, "the document");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_document_says() {
    on_each(async |database| {
        let service = database.start(&[]);
        let document = Document::of(&service, &[]).await;
        let mut checked = Checked {
            service: &service,
            document,
        };
        let orders = format!("{SELLER}/orders");
        let key = [("idempotency-key", "1")];
        let nowhere = "/v1/partners/nobody/orders";
        checked.ask("GET", &orders, &[], "", 200).await;
        checked.ask("GET", nowhere, &[], "", 404).await;
        checked.ask("POST", nowhere, &key, "{}", 404).await;
        checked.ask("POST", &orders, &[], "{}", 400).await;
        let created = checked.ask("POST", &orders, &key, "{}", 201).await;
        let again = checked.ask("POST", &orders, &key, "{}", 201).await;
        assert_eq!(again.field("idempotency-replayed"), "true");
        checked.reused_key("POST", &orders, &[]).await;
        checked.refused_writes("POST", &orders, &[]).await;

        let order = created.field("location").to_owned();
        let unknown = format!("{orders}/{NOBODY}");
        checked
            .ask("GET", &format!("{order}/revisions"), &[], "", 200)
            .await;
        checked
            .ask("GET", &format!("{unknown}/revisions"), &[], "", 404)
            .await;
        for kind in ["documents", "invoices", "payments"] {
            let all = format!("{order}/{kind}");
            let nowhere = format!("{unknown}/{kind}");
            checked.ask("GET", &all, &[], "", 200).await;
            checked.ask("GET", &nowhere, &[], "", 404).await;
            checked.ask("POST", &nowhere, &[], "{}", 404).await;
            let added = checked.ask("POST", &all, &[], r#"{"sum":1}"#, 201).await;
            checked.reused_key("POST", &all, &[]).await;
            checked.refused_writes("POST", &all, &[]).await;
            let part = added.field("location").to_owned();
            if kind == "documents" {
                checked.ask("GET", &part, &[], "", 200).await;
                checked
                    .ask("GET", &format!("{all}/{NOBODY}"), &[], "", 404)
                    .await;
            } else {
                checked.life(&part).await;
            }
        }
        for milestone in ["delivery", "pickup"] {
            let path = format!("{order}/transport/{milestone}");
            let revoke = format!("{path}/revoke");
            let nowhere = format!("{unknown}/transport/{milestone}");
            checked.ask("GET", &path, &[], "", 404).await;
            checked.ask("POST", &revoke, &[], "", 409).await;
            checked.ask("POST", &nowhere, &[], "{}", 404).await;
            checked
                .ask("POST", &format!("{nowhere}/revoke"), &[], "", 404)
                .await;
            checked.refused_writes("POST", &path, &[]).await;
            let set = checked.ask("POST", &path, &[], "{}", 201).await;
            let tag = set.field("etag").to_owned();
            checked.ask("POST", &path, &[], "{}", 409).await;
            checked
                .ask("GET", &path, &[("if-none-match", &tag)], "", 304)
                .await;
            checked.ask("GET", &path, &[], "", 200).await;
            checked
                .ask("GET", &path, &[("if-match", "\"0\"")], "", 409)
                .await;
            checked
                .ask("GET", &path, &[("if-match", "0")], "", 400)
                .await;
            for path in [&path, &revoke] {
                checked
                    .ask("POST", path, &[("if-none-match", "0")], "", 400)
                    .await;
                checked.reused_key("POST", path, &[]).await;
            }
            let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(1024 * 1024));
            let keyed = [("idempotency-key", "long")];
            checked.ask("POST", &revoke, &keyed, &long, 413).await;
            checked.ask("POST", &revoke, &[], "", 200).await;
        }
        let put = [("if-none-match", "*")];
        checked
            .ask("PUT", &unknown, &[("if-match", "\"1\"")], "{}", 404)
            .await;
        checked.ask("PUT", &order, &put, "{}", 412).await;
        checked
            .ask("PUT", &order, &[("if-match", "\"7\"")], "{}", 409)
            .await;
        checked
            .refused_writes("PUT", &order, &[("if-match", "\"1\"")])
            .await;
        checked
            .reused_key("PUT", &order, &[("if-match", "\"1\"")])
            .await;
        let new = format!("{orders}/{}", uuid::Uuid::new_v4());
        checked.ask("PUT", &new, &put, "{}", 201).await;
        checked
            .ask("PUT", &new, &[("if-match", "\"1\"")], "{}", 200)
            .await;
        checked.life(&order).await;

        // With a token, all of it needs one.
        let guarded = database.start(&[("TOKEN", "secret")]);
        let refused = guarded.get("/openapi.json").await;
        refused.assert_problem(401, "unauthorized");
        let token = [("authorization", "Bearer secret")];
        let same = Document::of(&guarded, &token).await;
        assert_eq!(same.json, checked.document.json);
        let paths = checked.document.json["paths"]
            .as_object()
            .expect("paths")
            .clone();
        for (template, item) in &paths {
            let path = template.replace("/v1/partners/{seller}", SELLER);
            let path = path.replace("{order}", NOBODY).replace("{part}", NOBODY);
            for method in item.as_object().expect("operations").keys() {
                if method == "parameters" {
                    continue;
                }
                let method = method.to_uppercase();
                let answer = guarded.ask(&method, &path, &[], "").await;
                checked.told(&method, &path, 401, &answer);
            }
        }

        // What a test cannot bring about, and, where nothing is compared, a race of two keys.
        let unseen = checked.document.unseen();
        let is_rare =
            |(_, _, status): &&(String, String, String)| !["500", "503"].contains(&status.as_str());
        let unseen: Vec<_> = unseen.iter().filter(is_rare).collect();
        for (path, method, status) in &unseen {
            let creates = method == "post" && !path.contains("/transport/");
            let sets_once = path.contains("/transport/") && status == "412";
            assert!(
                creates && status == "409" || sets_once,
                "{method} {path} {status}"
            );
        }
    })
    .await;
}
