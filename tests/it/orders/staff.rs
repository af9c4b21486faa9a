//! Staff edit orders in SQL, past the service.

use serde_json::{Value, json};

use super::service::{NOBODY, SELLER, on_each};

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_in_sql_is_a_version_like_any_other() {
    on_each(async |database| {
        let service = database.start(&[]);
        let staff = database.connect().await;
        let path = service.order(r#"{"a":1}"#).await;
        let uuid = path.rsplit('/').next().expect("a uuid");
        let edits = [
            r#"body = '{"a":2}'"#,
            "version = 1",
            "version = version",
            "version = version + 1",
            "version = 99",
            r#"version = 3, body = '{"a":3}'"#,
        ];
        let mut version = 1;
        for edit in edits {
            let sql = format!("UPDATE orders SET {edit} WHERE uuid = '{uuid}'");
            sqlx::query(&sql).execute(&staff).await.expect("an edit");
            let sent = version.to_string();
            version += 1;
            let stale = [("if-match", &*format!("\"{sent}\""))];
            let stale = service.ask("PATCH", &path, &stale, "{}").await;
            assert_eq!(stale.assert_stale(&sent), version, "{edit}");
            service.get(&path).await.assert_version(200, version);
            // The service goes on from there.
            let right = [("if-match", &*format!("\"{version}\""))];
            version += 1;
            let patched = service.ask("PATCH", &path, &right, "{}").await;
            patched.assert_version(200, version);
        }
        let trail = service.get(&format!("{path}/revisions")).await.json();
        let trail = trail["items"].as_array().expect("a list");
        assert_eq!(trail.len(), 13);
        for (item, version) in trail.iter().zip(1..) {
            let (method, actor) = match version {
                1 => ("POST", "api"),
                even if even % 2 == 0 => ("SQL", "sql"),
                _ => ("PATCH", "api"),
            };
            assert_eq!(
                (&item["version"], &item["method"]),
                (&json!(version), &json!(method))
            );
            assert_eq!(item["actor"], actor);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_come_and_go_in_sql() {
    on_each(async |database| {
        let service = database.start(&[]);
        let staff = database.connect().await;
        let run = async |sql: &str| sqlx::query(sql).execute(&staff).await;
        let path = format!("{SELLER}/orders/{NOBODY}");
        let seller = SELLER.rsplit('/').next().expect("a seller");
        let insert = format!(
            "INSERT INTO orders (uuid, seller, version, body) \
             VALUES ('{NOBODY}', '{seller}', 7, '{{}}')"
        );
        run(&insert).await.expect("a new order");
        service.get(&path).await.assert_version(200, 1);
        service
            .post(&format!("{path}/invoices"), "{}")
            .await
            .assert_version(201, 1);
        run("DELETE FROM orders").await.expect("gone");
        service.get(&path).await.assert_problem(404, "not-found");
        run(&insert).await.expect("another life");
        service.get(&path).await.assert_version(200, 2);
        let invoices = service.get(&format!("{path}/invoices")).await.json();
        assert_eq!(invoices, json!({"items": []}));
        let trail = service.get(&format!("{path}/revisions")).await.json();
        let told: Vec<_> = trail["items"].as_array().expect("a list").iter().collect();
        let method = |item: &&Value| item["method"].clone();
        assert_eq!(told.iter().map(method).collect::<Vec<_>>(), ["SQL", "SQL"]);
        assert_eq!(told[0]["deleted"]["actor"], "sql");
        assert!(told[1]["deleted"].is_null());

        run("UPDATE orders SET body = 'no JSON'")
            .await
            .expect_err("a broken body");
        run("UPDATE orders SET uuid = 'x'")
            .await
            .expect_err("another uuid");
        service.get(&path).await.assert_version(200, 2);
    })
    .await;
}
