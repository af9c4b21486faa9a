//! The example `records`, row by row, by clients of its own.

use serde_json::{Value, json};
use tower_conditional::digest::Sha256Digest;

use crate::support::client::Reply;
use crate::support::service::{Service, on_each_database};

mod contributions;

const MISSING: &str = "/records/6b1f0a52-7d0e-4c53-9a59-7a1f0c0d3e11";

/// A new model with these policies: its id.
fn new_model(service: &Service, policies: &Value) -> String {
    let body = json!({"policies": policies, "name": "Building"}).to_string();
    let created = service.send("POST", "/models", &[], &body).expect(201);
    created.text("modelId")
}

/// A new record with these data: its path.
fn new_record(service: &Service, model: &str, data: &Value) -> String {
    let body = json!({"modelId": model, "data": data, "note": "kept"}).to_string();
    let created = service.send("POST", "/records", &[], &body).expect(201);
    let path = format!("/records/{}", created.text("recordId"));
    assert_eq!(created.field("location"), Some(&*path));
    assert_eq!(created.etag(), "\"1\"");
    check_record(&created);
    path
}

/// Everything that is true of every answer with a record.
#[track_caller]
fn check_record(reply: &Reply) {
    let record = reply.json();
    let hash = Sha256Digest::of_json(&record["data"]).expect("JSON");
    assert_eq!(record["sha256"], hash.to_hex());
    let digest = Sha256Digest::of(&reply.body).to_field_value();
    let digest = digest.to_str().expect("text");
    assert_eq!(reply.field("repr-digest"), Some(digest));
}

#[test]
fn the_version_is_shown_to_who_asks() {
    on_each_database("records", 1, &[], |service| {
        let model = new_model(service, &json!({}));
        let record = new_record(service, &model, &json!({"name": "Tower"}));
        for path in [&format!("/models/{model}"), &record] {
            let plain = service.send("GET", path, &[], "").expect(200);
            assert_eq!(plain.json().get("version"), None);
            assert_eq!(plain.etag(), "\"1\"");
            let with = format!("{path}?include=version");
            let with = service.send("GET", &with, &[], "").expect(200);
            assert_eq!(with.json()["version"], 1);
            assert_ne!(with.etag(), plain.etag());
            // As many clients write a list.
            let among = format!("{path}?include=links%2Cversion");
            let among = service.send("GET", &among, &[], "").expect(200);
            assert_eq!((among.etag(), among.body), (with.etag(), with.body));
        }
        let shown = service.send("GET", &record, &[], "").json();
        assert_eq!(shown["modelId"], *model);
        assert_eq!(shown["note"], "kept");
    });
}

#[test]
fn each_tag_works_at_either_url() {
    on_each_database("records", 1, &[], |service| {
        let model = format!("/models/{}", new_model(service, &json!({})));
        let record = new_record(service, "", &json!({}));
        for path in [model, record] {
            let urls = [path.clone(), format!("{path}?include=version")];
            for read_at in &urls {
                for written_at in &urls {
                    let tag = service.send("GET", read_at, &[], "").etag();
                    let condition = [("if-match", &*tag)];
                    let written = service.send("PATCH", written_at, &condition, "{}");
                    let written = written.expect(200);
                    let read = service.send("GET", written_at, &[], "");
                    assert_eq!(read.etag(), written.etag());
                    assert_eq!(read.body, written.body);
                    let again = service.send("PATCH", written_at, &condition, "{}");
                    let again = again.expect_problem(412, "precondition-failed");
                    assert_eq!(again.etag(), read.etag());
                }
                let tag = service.send("GET", read_at, &[], "").etag();
                for asked_at in &urls {
                    let asked = service.send("GET", asked_at, &[("if-none-match", &tag)], "");
                    let expected = if asked_at == read_at { 304 } else { 200 };
                    assert_eq!(asked.status, expected, "{read_at} {asked_at}");
                    assert_eq!(asked.body.is_empty(), expected == 304);
                }
            }
        }
    });
}

#[test]
fn conditions_are_optional_and_stale_ones_412() {
    on_each_database("records", 1, &[], |service| {
        let record = new_record(service, "", &json!({"a": 1}));
        service
            .send("PUT", &record, &[], r#"{"data":{"a":2}}"#)
            .expect(200);
        let patched = service.send("PATCH", &record, &[], r#"{"data":{"b":3}}"#);
        let patched = patched.expect(200);
        assert_eq!(patched.etag(), "\"3\"");
        assert_eq!(patched.json()["data"], json!({"a": 2, "b": 3}));
        check_record(&patched);
        let contributions = format!("{record}/contributions");
        for stale in ["\"2\"", "\"03\"", "W/\"3\"", "\"3~other\"", "\"abc\""] {
            for (method, path, body) in [
                ("PUT", &record, "{}"),
                ("PATCH", &record, "{}"),
                ("DELETE", &record, ""),
                ("POST", &contributions, contributions::EMPTY),
            ] {
                let refused = service.send(method, path, &[("if-match", stale)], body);
                let refused = refused.expect_problem(412, "precondition-failed");
                assert_eq!(refused.etag(), "\"3\"", "{method} {stale}");
            }
        }
        service
            .send("PATCH", &record, &[("if-match", "*")], "{}")
            .expect(200);
        service
            .send("DELETE", &record, &[("if-match", "*")], "")
            .expect(204);
        service
            .send("GET", &record, &[], "")
            .expect_problem(404, "not-found");
    });
}

#[test]
fn nothing_is_created_by_a_write_to_what_is_not_there() {
    on_each_database("records", 1, &[], |service| {
        let model = MISSING.replace("records", "models");
        let contributions = format!("{MISSING}/contributions");
        for (method, path, body) in [
            ("PUT", MISSING, "{}"),
            ("PATCH", MISSING, "{}"),
            ("DELETE", MISSING, ""),
            ("PUT", &model, "{}"),
            ("POST", &contributions, contributions::EMPTY),
        ] {
            service
                .send(method, path, &[], body)
                .expect_problem(404, "not-found");
            for sent in ["*", "\"1\""] {
                let refused = service.send(method, path, &[("if-match", sent)], body);
                assert!([404, 412].contains(&refused.status), "{method} {path}");
            }
            service.send("GET", MISSING, &[], "").expect(404);
        }
        let refused = service.send("POST", "/records", &[("if-match", "*")], "{}");
        refused.expect_problem(412, "precondition-failed");
    });
}

#[test]
fn digests_are_of_the_bytes_that_are_sent_on_head_as_on_get() {
    on_each_database("records", 1, &[], |service| {
        let long = "ü".repeat(500_000);
        let record = new_record(service, "", &json!({"text": long, "number": 1.50}));
        for path in [record.clone(), format!("{record}?include=version")] {
            let get = service.send("GET", &path, &[], "").expect(200);
            check_record(&get);
            let head = service.send("HEAD", &path, &[], "").expect(200);
            assert_eq!(head.field("repr-digest"), get.field("repr-digest"));
            assert_eq!(head.field("content-length"), get.field("content-length"));
            assert_eq!(head.etag(), get.etag());
            let same = service.send("GET", &path, &[("if-none-match", &get.etag())], "");
            assert_eq!(same.expect(304).field("repr-digest"), None);
        }
        let missing = service.send("GET", MISSING, &[], "").expect(404);
        assert_eq!(missing.field("repr-digest"), None);
    });
}

#[test]
fn the_hash_is_that_of_the_canonical_data() {
    on_each_database("records", 1, &[], |service| {
        let hash = |data: &str| {
            let body = format!(r#"{{"data":{data}}}"#);
            service
                .send("POST", "/records", &[], &body)
                .expect(201)
                .text("sha256")
        };
        assert_eq!(
            hash(r#"{"b":1.0,"a":"x"}"#),
            Sha256Digest::of(r#"{"a":"x","b":1}"#).to_hex()
        );
        assert_eq!(
            hash(r#"{"a":9007199254740993}"#),
            Sha256Digest::of(r#"{"a":9007199254740992}"#).to_hex()
        );
        assert_eq!(hash("{}"), Sha256Digest::of("{}").to_hex());
        assert_eq!(
            hash(r#"{"ö":-0.0,"é":1e21}"#),
            Sha256Digest::of(r#"{"é":1e+21,"ö":0}"#).to_hex()
        );
    });
}

#[test]
fn members_of_the_server_are_not_the_clients_to_set() {
    on_each_database("records", 1, &[], |service| {
        let model = new_model(service, &json!({}));
        let record = new_record(service, &model, &json!({}));
        let sent =
            r#"{"recordId":"x","modelId":"y","version":9,"sha256":"z","data":{"a":1},"more":true}"#;
        for method in ["PUT", "PATCH"] {
            let written = service.send(method, &record, &[], sent).expect(200);
            check_record(&written);
            let shown = written.json();
            assert_eq!(shown.get("version"), None);
            assert_eq!(shown["modelId"], *model);
            assert_eq!(shown["recordId"], record.trim_start_matches("/records/"));
            assert_eq!(shown["more"], true);
        }
    });
}

#[test]
fn what_is_stored_can_be_read_however_deep_it_nests() {
    on_each_database("records", 1, &[], |service| {
        let model = new_model(service, &json!({}));
        let record = new_record(service, &model, &json!({}));
        // Its claims are stored within a few arrays more.
        for depth in 90..130 {
            let data = format!("{{\"n\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            let sent = format!("{{\"data\":{data}}}");
            let put = service.send("PUT", &record, &[], &sent);
            if depth >= 99 {
                put.expect_problem(400, "bad-json");
            } else {
                check_record(&put.expect(200));
            }
            check_record(&service.send("GET", &record, &[], "").expect(200));
        }
    });
}

#[test]
fn numbers_are_kept_and_hashed_as_doubles() {
    let service = Service::on_sqlite("records", 1, &[]);
    let model = new_model(&service, &json!({}));
    let record = new_record(&service, &model, &json!({}));
    for number in ["12345678901234567890123", "1.10", "-0", "1e-400"] {
        let sent = format!("{{\"data\":{{\"n\":{number}}}}}");
        let put = service.send("PUT", &record, &[], &sent).expect(200);
        check_record(&put);
        let text = String::from_utf8(put.body).expect("text");
        assert!(text.contains(&format!("{{\"n\":{number}}}")), "{text}");
    }
    let put = service.send("PUT", &record, &[], r#"{"data":{"n":1.5}}"#);
    let hash = put.expect(200).text("sha256");
    assert_eq!(hash, Sha256Digest::of(r#"{"n":1.5}"#).to_hex());
    // There is no such double, and so no hash.
    let data = r#"{"data":{"n":1e400}}"#;
    for method in ["PUT", "PATCH"] {
        let refused = service.send(method, &record, &[], data);
        refused.expect_problem(400, "bad-json");
    }
    let contribution = r#"{"confidence":1,"observedAt":"2024-01-01T00:00:00Z","data":{"n":1e400}}"#;
    let refused = service.send(
        "POST",
        &format!("{record}/contributions"),
        &[],
        contribution,
    );
    refused.expect_problem(400, "invalid-contribution");
    let read = service.send("GET", &record, &[], "").expect(200);
    assert_eq!(read.text("sha256"), hash);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let service = Service::on_sqlite("records", 1, &[]);
    for body in [r#"{"data":5}"#, r#"{"data":null}"#, "[]", "{"] {
        service
            .send("POST", "/records", &[], body)
            .expect_problem(400, "bad-json");
    }
    for body in [r#"{"policies":5}"#, r#"{"policies":{"a":"loudest"}}"#] {
        service
            .send("POST", "/models", &[], body)
            .expect_problem(400, "bad-json");
    }
    let refused = service.send("GET", "/records", &[], "");
    let refused = refused.expect_problem(405, "method-not-allowed");
    assert_eq!(refused.field("allow"), Some("POST"));
}
