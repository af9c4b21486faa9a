//! The rows of the contract that are about orders themselves.

use serde_json::json;

use super::service::{NOBODY, OTHER, SELLER, on_each};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_created_read_and_not_sent_again_unchanged() {
    on_each(async |database| {
        let service = database.start(&[]);
        let orders = format!("{SELLER}/orders");
        let without_key = service.post(&orders, r#"{"total":12}"#).await;
        without_key.assert_problem(400, "idempotency-key-required");

        let sent = r#"{"total":12,"uuid":"mine","version":99,"nested":{"a":[1,null]}}"#;
        let key = [("idempotency-key", "k")];
        let created = service.ask("POST", &orders, &key, sent).await;
        created.assert_version(201, 1);
        let path = created.field("location").to_owned();
        let body = created.json();
        let uuid = body["uuid"].as_str().expect("a uuid").to_owned();
        assert_eq!(path, format!("{orders}/{uuid}"));
        let expected = json!({"total": 12, "uuid": uuid, "version": 1, "nested": {"a": [1, null]}});
        assert_eq!(body, expected);

        for (method, body) in [("GET", created.body.clone()), ("HEAD", "".into())] {
            let read = service.ask(method, &path, &[], "").await;
            assert_eq!(
                (read.status, read.field("etag")),
                (200, "\"1\""),
                "{method}"
            );
            assert_eq!(read.field("cache-control"), "private, no-cache");
            assert_eq!(read.field("content-length"), created.body.len().to_string());
            assert_eq!(read.body, body);
            let known = [("if-none-match", "\"1\"")];
            let known = service.ask(method, &path, &known, "").await;
            assert_eq!((known.status, known.field("etag")), (304, "\"1\""));
            assert_eq!(known.field("cache-control"), "private, no-cache");
            assert!(known.body.is_empty());
        }
        let upper = format!("{orders}/{}", uuid.to_uppercase());
        assert_eq!(service.get(&upper).await.json(), expected);
        let list = service.get(&orders).await;
        assert_eq!(
            (list.status, list.json()),
            (200, json!({"items": [expected]}))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_needs_the_version_that_it_is_based_on() {
    on_each(async |database| {
        let service = database.start(&[]);
        let path = service.order(r#"{"a":{"b":1,"c":2},"d":3}"#).await;
        let patch = r#"{"a":{"b":null,"e":4},"uuid":"x","version":77}"#;
        let merge = ("content-type", "application/merge-patch+json");
        let right = [("if-match", "\"1\""), merge, ("x-actor", "ann")];
        let patched = service.ask("PATCH", &path, &right, patch).await;
        patched.assert_version(200, 2);
        let uuid = path.rsplit('/').next();
        let expected = json!({"a": {"c": 2, "e": 4}, "d": 3, "uuid": uuid, "version": 2});
        assert_eq!(patched.json(), expected);

        let none = service.ask("PATCH", &path, &[], "{}").await;
        none.assert_problem(400, "if-match-required");
        let long = format!("\"{}\"", "x".repeat(9000));
        for malformed in ["", "2", "\"2", "2\"", "\"1\" \"2\"", &long] {
            let sent = [("if-match", malformed)];
            let refused = service.ask("PATCH", &path, &sent, "{}").await;
            refused.assert_problem(400, "if-match-malformed");
        }
        for (sent, quoted) in [
            ("\"1\"", "1"),
            ("\"3\"", "3"),
            ("\"abc\"", "abc"),
            ("\"02\"", "02"),
            ("W/\"2\"", "W/\"2\""),
            ("\"99999999999999999999\"", "99999999999999999999"),
        ] {
            let sent = [("if-match", sent)];
            let stale = service.ask("PATCH", &path, &sent, r#"{"d":9}"#).await;
            assert_eq!(stale.assert_stale(quoted), 2);
            assert_eq!(stale.json()["currentResource"], expected);
        }
        for (sent, version) in [("\"1\", \"2\"", 3), ("*", 4)] {
            let sent = [("if-match", sent)];
            let patched = service.ask("PATCH", &path, &sent, "{}").await;
            patched.assert_version(200, version);
        }
        // The second line counts as well.
        let lines = [("if-match", "\"1\""), ("if-match", "\"4\"")];
        let patched = service.ask("PATCH", &path, &lines, "{}").await;
        patched.assert_version(200, 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_creates_or_replaces_and_says_which() {
    on_each(async |database| {
        let service = database.start(&[]);
        let path = format!("{SELLER}/orders/{NOBODY}");
        let create = [("if-none-match", "*")];
        let created = service.ask("PUT", &path, &create, r#"{"a":1}"#).await;
        created.assert_version(201, 1);
        assert_eq!(
            created.json(),
            json!({"a": 1, "uuid": NOBODY, "version": 1})
        );
        let there = service.ask("PUT", &path, &create, r#"{"a":2}"#).await;
        there.assert_problem(412, "precondition-failed");
        let blind = service.ask("PUT", &path, &[], r#"{"a":2}"#).await;
        blind.assert_problem(400, "if-match-required");
        let right = [("if-match", "\"1\"")];
        let replaced = service.ask("PUT", &path, &right, r#"{"b":2}"#).await;
        replaced.assert_version(200, 2);
        assert_eq!(
            replaced.json(),
            json!({"b": 2, "uuid": NOBODY, "version": 2})
        );
        let stale = service.ask("PUT", &path, &right, r#"{"c":3}"#).await;
        assert_eq!(stale.assert_stale("1"), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_comes_back_with_a_version_it_never_had() {
    on_each(async |database| {
        let service = database.start(&[]);
        let path = service.order("{}").await;
        let first = [("if-match", "\"1\"")];
        service
            .ask("PATCH", &path, &first, "{}")
            .await
            .assert_version(200, 2);
        let stale = service.ask("DELETE", &path, &first, "").await;
        assert_eq!(stale.assert_stale("1"), 2);
        service
            .ask("DELETE", &path, &[], "")
            .await
            .assert_problem(400, "if-match-required");
        let deleted = [("if-match", "\"2\""), ("x-actor", "Zoë")];
        let deleted = service.ask("DELETE", &path, &deleted, "").await;
        assert_eq!((deleted.status, deleted.field("etag")), (204, ""));
        assert!(deleted.body.is_empty());
        service.get(&path).await.assert_problem(404, "not-found");
        for sent in ["\"2\"", "*"] {
            for method in ["DELETE", "PATCH", "PUT"] {
                let refused = service
                    .ask(method, &path, &[("if-match", sent)], "{}")
                    .await;
                refused.assert_problem(404, "not-found");
            }
        }
        let create = [("if-none-match", "*")];
        service
            .ask("PUT", &path, &create, "{}")
            .await
            .assert_version(201, 3);

        let trail = service.get(&format!("{path}/revisions")).await.json();
        let items = trail["items"].as_array().expect("a list");
        let told: Vec<_> = items
            .iter()
            .map(|item| json!([item["version"], item["method"], item["actor"]]))
            .collect();
        let expected = [
            json!([1, "POST", "api"]),
            json!([2, "PATCH", "api"]),
            json!([3, "PUT", "api"]),
        ];
        assert_eq!(told, expected);
        assert_eq!(items[1]["deleted"]["actor"], "Zoë");
        assert!(items[0]["at"].as_str().is_some_and(|at| at.ends_with('Z')));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_an_unknown_order_is_404_before_anything_else() {
    on_each(async |database| {
        let service = database.start(&[]);
        let unknown = format!("{SELLER}/orders/{NOBODY}");
        for (method, path) in [
            ("PATCH", unknown.clone()),
            ("PUT", unknown.clone()),
            ("DELETE", unknown.clone()),
            ("POST", format!("{unknown}/invoices")),
            ("POST", format!("{unknown}/documents")),
            ("POST", format!("{unknown}/transport/pickup")),
            ("POST", format!("{unknown}/transport/pickup/revoke")),
            ("PATCH", format!("{unknown}/payments/{NOBODY}")),
            ("GET", format!("{unknown}/revisions")),
            ("GET", format!("{unknown}/documents")),
            ("GET", format!("{SELLER}/orders/none")),
            (
                "PATCH",
                format!("{SELLER}/orders/{}", NOBODY.replace('-', "")),
            ),
            ("GET", "/v1/partners/me/orders".to_owned()),
            ("GET", "/nothing".to_owned()),
        ] {
            for fields in [&[][..], &[("if-match", "\"1\"")], &[("if-match", "")]] {
                let answer = service.ask(method, &path, fields, "{").await;
                answer.assert_problem(404, "not-found");
            }
        }
        let there = format!("{SELLER}/orders");
        for (method, path, allow) in [
            ("DELETE", there, "GET,HEAD,POST"),
            ("POST", unknown.clone(), "GET,HEAD,PUT,PATCH,DELETE"),
            ("GET", format!("{unknown}/transport/pickup/revoke"), "POST"),
        ] {
            let refused = service.ask(method, &path, &[], "").await;
            refused.assert_problem(405, "method-not-allowed");
            assert_eq!(refused.field("allow"), allow);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sellers_order_is_not_there_and_its_uuid_is_free() {
    on_each(async |database| {
        let service = database.start(&[]);
        let mine = service.order(r#"{"whose":"mine"}"#).await;
        let other = mine.replace(SELLER, OTHER);
        let right = [("if-match", "\"1\"")];
        service.get(&other).await.assert_problem(404, "not-found");
        service
            .ask("PATCH", &other, &right, "{}")
            .await
            .assert_problem(404, "not-found");
        let create = [("if-none-match", "*")];
        let created = service
            .ask("PUT", &other, &create, r#"{"whose":"other"}"#)
            .await;
        created.assert_version(201, 1);
        service
            .ask("PATCH", &other, &right, "{}")
            .await
            .assert_version(200, 2);
        let read = service.get(&mine).await;
        read.assert_version(200, 1);
        assert_eq!(read.json()["whose"], "mine");
        let trail = service.get(&format!("{mine}/revisions")).await.json();
        assert_eq!(trail["items"].as_array().map(Vec::len), Some(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_told() {
    on_each(async |database| {
        let service = database.start(&[("TOKEN", "secret")]);
        let bearer = ("authorization", "Bearer secret");
        let path = format!("{SELLER}/orders/{NOBODY}");
        let create = [bearer, ("if-none-match", "*")];
        service
            .ask("PUT", &path, &create, "{}")
            .await
            .assert_version(201, 1);
        for authorization in ["", "Bearer", "Bearer secrets", "Basic secret", "secret"] {
            for (method, path, field) in [
                ("GET", &*path, ("if-none-match", "\"1\"")),
                ("PATCH", &path, ("if-match", "\"0\"")),
                ("PUT", &path, ("if-none-match", "*")),
                ("POST", SELLER, ("idempotency-key", "")),
                ("DELETE", "/nothing", ("if-match", "")),
            ] {
                let fields = [("authorization", authorization), field];
                let refused = service.ask(method, path, &fields, "{").await;
                refused.assert_problem(401, "unauthorized");
                assert_eq!(refused.field("etag"), "");
            }
        }
    })
    .await;
}
