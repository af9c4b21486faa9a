//! `Idempotency-Key`: the same request gets the first answer again.

use serde_json::json;
use tokio::task::JoinSet;

use super::service::{NOBODY, OTHER, SELLER, ask, on_each};

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_any_write_gets_the_first_answer() {
    on_each(async |database| {
        let service = database.start(&[]);
        // A key may be retried anywhere.
        let elsewhere = database.start(&[]);
        let order = service.order("{}").await;
        let other = format!("{SELLER}/orders/{NOBODY}");
        let gone = service.order("{}").await;
        for (number, (method, path, condition, status)) in [
            ("POST", format!("{SELLER}/orders"), ("x-none", ""), 201),
            ("PATCH", order.clone(), ("if-match", "\"1\""), 200),
            ("PUT", order.clone(), ("if-match", "\"2\""), 200),
            ("PUT", other, ("if-none-match", "*"), 201),
            ("DELETE", gone, ("if-match", "\"1\""), 204),
            ("POST", format!("{order}/invoices"), ("x-none", ""), 201),
            ("POST", format!("{order}/documents"), ("x-none", ""), 201),
            (
                "POST",
                format!("{order}/transport/pickup"),
                ("x-none", ""),
                201,
            ),
            (
                "POST",
                format!("{order}/transport/pickup/revoke"),
                ("x-none", ""),
                200,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let row = format!("{method} {path}");
            let bare = format!("key-{number}");
            let quoted = format!("\"{bare}\"");
            let fields = [condition, ("idempotency-key", &bare)];
            let first = service.ask(method, &path, &fields, r#"{"a":1}"#).await;
            assert_eq!(first.status, status, "{row}: {first:?}");
            assert_eq!(first.field("idempotency-replayed"), "", "{row}");
            for (service, key) in [(&service, &bare), (&elsewhere, &quoted)] {
                let fields = [condition, ("idempotency-key", key)];
                let again = service.ask(method, &path, &fields, r#"{"a":1}"#).await;
                assert_eq!(
                    again.field("idempotency-replayed"),
                    "true",
                    "{row}: {again:?}"
                );
                assert_eq!((again.status, &again.body), (status, &first.body), "{row}");
                for name in ["etag", "location", "content-type"] {
                    assert_eq!(again.field(name), first.field(name), "{row}");
                }
            }
            // A key stands for method, path and body bytes, whatever else has changed.
            let queried = format!("{path}?retry=1");
            for (path, media_type) in [
                (&path, "application/merge-patch+json"),
                (&path, "text/plain"),
                (&queried, "application/json"),
            ] {
                let fields = [("idempotency-key", &*bare), ("content-type", media_type)];
                let again = service.ask(method, path, &fields, r#"{"a":1}"#).await;
                assert_eq!(again.field("idempotency-replayed"), "true", "{again:?}");
                assert_eq!((again.status, &again.body), (status, &first.body), "{row}");
            }
            let reused = service.ask(method, &path, &fields, r#"{"a":2}"#).await;
            reused.assert_problem(422, "idempotency-key-reused");
        }
        service.get(&order).await.assert_version(200, 3);
        // Another seller's keys are other keys.
        let orders = format!("{OTHER}/orders");
        let other = service.ask(
            "POST",
            &orders,
            &[("idempotency-key", "key-0")],
            r#"{"a":1}"#,
        );
        let other = other.await;
        assert_eq!(
            (other.status, other.field("idempotency-replayed")),
            (201, "")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_leaves_its_key_free() {
    on_each(async |database| {
        let service = database.start(&[]);
        let order = service.order("{}").await;
        let key = ("idempotency-key", "k");
        let long = "x".repeat(1024 * 1024 + 1);
        for (fields, body, status) in [
            (vec![], "{}", 400),
            (vec![("if-match", "\"0\"")], "{}", 409),
            (vec![("if-match", "\"1\"")], "{", 400),
            (
                vec![("if-match", "\"1\""), ("content-type", "text/plain")],
                "{}",
                415,
            ),
            (vec![("if-match", "\"1\"")], &*long, 413),
            (vec![("if-match", "\"1\"")], r#"{"merged":true}"#, 200),
        ] {
            let fields = [&fields[..], &[key]].concat();
            let answer = service.ask("PATCH", &order, &fields, body).await;
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(answer.field("idempotency-replayed"), "");
        }
        for empty in ["", "\"\""] {
            let key = [("idempotency-key", empty), ("if-match", "\"2\"")];
            let refused = service.ask("PATCH", &order, &key, "{}").await;
            assert_eq!(refused.status, 400, "{refused:?}");
            let orders = format!("{SELLER}/orders");
            assert_eq!(service.ask("POST", &orders, &key, "{}").await.status, 400);
        }
        service.get(&order).await.assert_version(200, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_with_one_key_one_runs() {
    on_each(async |database| {
        let delay = [("HANDLER_DELAY_MS", "300")];
        let services = [database.start(&delay), database.start(&delay)];
        let mut calls = JoinSet::new();
        for caller in 0..32 {
            let address = services[caller % 2].address();
            calls.spawn(async move {
                let orders = format!("{SELLER}/orders");
                let key = [("idempotency-key", "k")];
                ask(address, "POST", &orders, &key, "{}")
                    .await
                    .expect("an answer")
            });
        }
        let mut in_progress = 0;
        for answer in calls.join_all().await {
            if answer.status != 201 {
                answer.assert_problem(409, "request-in-progress");
                assert!(answer.field("retry-after").parse::<u32>().is_ok());
                in_progress += 1;
            }
        }
        assert!(in_progress > 0, "none came while another was running");
        let list = services[0].get(&format!("{SELLER}/orders")).await.json();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
        assert_eq!(list["items"][0]["version"], json!(1));
    })
    .await;
}
