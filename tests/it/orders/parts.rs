//! What belongs to an order: invoices, payments, documents, milestones.

use serde_json::json;
use tokio::task::JoinSet;

use super::service::{NOBODY, ask, on_each};

#[tokio::test(flavor = "multi_thread")]
async fn invoices_and_payments_have_versions_of_their_own() {
    on_each(async |database| {
        let service = database.start(&[]);
        let order = service.order("{}").await;
        for kind in ["invoices", "payments"] {
            let created = service
                .post(&format!("{order}/{kind}"), r#"{"sum":1}"#)
                .await;
            created.assert_version(201, 1);
            let path = created.field("location").to_owned();
            let uuid = created.json()["uuid"].as_str().expect("a uuid").to_owned();
            assert_eq!(path, format!("{order}/{kind}/{uuid}"));
            service.get(&path).await.assert_version(200, 1);
            let known = service
                .ask("HEAD", &path, &[("if-none-match", "\"1\"")], "")
                .await;
            assert_eq!(known.status, 304);
            let right = [("if-match", "\"1\"")];
            let patched = service.ask("PATCH", &path, &right, r#"{"sum":2}"#).await;
            patched.assert_version(200, 2);
            assert_eq!(
                patched.json(),
                json!({"sum": 2, "uuid": uuid, "version": 2})
            );
            let stale = service.ask("PATCH", &path, &right, "{}").await;
            assert_eq!(stale.assert_stale("1"), 2);
            let none = service.ask("PATCH", &path, &[], "{}").await;
            none.assert_problem(400, "if-match-required");
            let stale = service.ask("DELETE", &path, &right, "").await;
            assert_eq!(stale.assert_stale("1"), 2);
            let right = [("if-match", "\"2\"")];
            assert_eq!(service.ask("DELETE", &path, &right, "").await.status, 204);
            service.get(&path).await.assert_problem(404, "not-found");
            let gone = service.ask("PATCH", &path, &[], "{}").await;
            gone.assert_problem(404, "not-found");
            let unknown = format!("{order}/{kind}/{NOBODY}");
            service.get(&unknown).await.assert_problem(404, "not-found");
        }
        service.get(&order).await.assert_version(200, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_added_and_listed() {
    on_each(async |database| {
        let service = database.start(&[]);
        let order = service.order("{}").await;
        let path = format!("{order}/documents");
        for name in ["a", "b"] {
            let body = json!({"name": name, "uuid": 1, "version": 5}).to_string();
            let added = service.post(&path, &body).await;
            assert_eq!((added.status, added.field("etag")), (201, ""), "{added:?}");
            let read = service.get(added.field("location")).await;
            assert_eq!((read.status, read.field("etag")), (200, ""), "{read:?}");
            assert_eq!(read.body, added.body);
        }
        let list = service.get(&path).await.json();
        let names: Vec<_> = list["items"].as_array().expect("a list").iter().collect();
        assert_eq!(
            (&names[0]["name"], &names[1]["name"]),
            (&json!("a"), &json!("b"))
        );
        assert!(names[0]["uuid"].is_string());
        service.get(&order).await.assert_version(200, 1);
        let gone = [("if-match", "\"1\"")];
        assert_eq!(service.ask("DELETE", &order, &gone, "").await.status, 204);
        service.get(&path).await.assert_problem(404, "not-found");
        // Another life has other documents.
        let create = [("if-none-match", "*")];
        service
            .ask("PUT", &order, &create, "{}")
            .await
            .assert_version(201, 2);
        assert_eq!(service.get(&path).await.json(), json!({"items": []}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_sets_the_milestone() {
    on_each(async |database| {
        let service = database.start(&[("HANDLER_DELAY_MS", "20")]);
        let order = service.order("{}").await;
        for milestone in ["pickup", "delivery"] {
            let path = format!("{order}/transport/{milestone}");
            let revoke = format!("{path}/revoke");
            let unset = service.post(&revoke, "").await;
            unset.assert_problem(409, "milestone-not-set");
            let mut etags = Vec::new();
            for _ in 0..3 {
                let mut calls = JoinSet::new();
                for caller in 0..24 {
                    let (address, path) = (service.address(), path.clone());
                    let body = json!({ "by": caller }).to_string();
                    calls.spawn(async move {
                        ask(address, "POST", &path, &[], &body)
                            .await
                            .expect("an answer")
                    });
                }
                let answers = calls.join_all().await;
                let (set, refused): (Vec<_>, Vec<_>) =
                    answers.into_iter().partition(|answer| answer.status == 201);
                assert_eq!(set.len(), 1, "{milestone}");
                for answer in refused {
                    let problem = answer.assert_problem(409, "milestone-already-set");
                    assert_eq!(problem["currentResource"], set[0].json());
                    assert_eq!(answer.field("etag"), set[0].field("etag"));
                }
                etags.push(set[0].field("etag").to_owned());
                let revoked = service.ask("POST", &revoke, &[], "").await;
                assert_eq!(revoked.status, 200);
            }
            etags.dedup();
            assert_eq!(etags.len(), 3, "a tag came back");
        }
        service.get(&order).await.assert_version(200, 1);
    })
    .await;
}
