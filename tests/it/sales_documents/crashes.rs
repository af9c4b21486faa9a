//! Processes that are killed: what they held is free soon, and a retry elsewhere learns what
//! happened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection as _};

use super::{NAME, call, get, try_call};
use crate::support::service::{Service, on_each_database};

/// A slow process and a quick one.
fn pair(service: &Service, slow: &[(&str, &str)], quick: &[(&str, &str)]) -> [super::Example; 2] {
    let url = ("DATABASE_URL", &*service.database_url);
    [slow, quick].map(|environment| super::Example::start(NAME, &[environment, &[url]].concat()))
}

/// How many documents are stored.
fn stored(service: &Service) -> i64 {
    sqlx::any::install_default_drivers();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let connection = AnyConnection::connect(&service.database_url).await;
        let mut connection = connection.expect("the database is there");
        sqlx::query_scalar("SELECT count(*) FROM business_documents")
            .fetch_one(&mut connection)
            .await
            .expect("the table is there")
    })
}

#[test]
fn the_turn_of_a_process_that_was_killed_is_free_within_10_seconds() {
    on_each_database(NAME, 0, &[], |service| {
        let slow = [("HANDLER_DELAY_MS", "7000")];
        let quick = [("WAIT_LIMIT_MS", "0")];
        let [mut killed, other] = pair(service, &slow, &quick);
        let id = call(&other.url, "saveSalesDocument", &json!({"new": 1})).id();
        let url = killed.url.clone();
        let body = json!({"id": id, "by": "killed"});
        let dying = thread::spawn(move || try_call(&url, "saveSalesDocument", &body));
        let save = || {
            call(
                &other.url,
                "saveSalesDocument",
                &json!({"id": id, "by": "other"}),
            )
        };
        let until = |code: u64| {
            while save().code != code {
                thread::sleep(Duration::from_millis(10));
            }
        };
        until(1205);
        killed.kill();
        let since = Instant::now();
        assert!(dying.join().expect("no panic").is_none());
        assert_eq!(save().code, 1205, "the claim outlives its process");
        until(0);
        assert!(since.elapsed() < Duration::from_secs(10));
        assert_eq!(get(&other.url, "SalesDocument", &id).record["by"], "other");
    });
}

#[test]
fn a_retry_after_a_crash_between_commit_and_answer_learns_the_truth() {
    on_each_database(NAME, 0, &[], |service| {
        for body in [json!({"temporaryUUID": "u", "n": 1}), json!({"n": 2})] {
            let [mut killed, other] = pair(service, &[], &[]);
            let before = stored(service);
            let url = killed.url.clone();
            let sent = body.clone();
            // Nobody looks at the answer: it is lost, wherever the process was when it died.
            let lost = thread::spawn(move || try_call(&url, "saveSalesDocument", &sent));
            while stored(service) == before {}
            killed.kill();
            let _ = lost.join();
            let retry = call(&other.url, "saveSalesDocument", &body);
            if body["n"] == 1 {
                retry.expect(409, 1206);
            } else {
                let id = retry.expect(200, 0).id();
                assert_eq!(call(&other.url, "saveSalesDocument", &body).id(), id);
            }
            assert_eq!(stored(service), before + 1);
        }
    });
}

#[test]
fn however_often_processes_are_killed_every_sale_happens_once() {
    const CLIENTS: usize = 6;
    const CRASHES: usize = 6;
    on_each_database(NAME, 1, &[], |service| {
        let made = AtomicUsize::new(0);
        let interrupted = AtomicUsize::new(0);
        for crash in 0..CRASHES {
            let url = ("DATABASE_URL", &*service.database_url);
            let mut killed = super::Example::start(NAME, &[url]);
            let target = made.load(Ordering::SeqCst) + 5 + 3 * crash;
            thread::scope(|scope| {
                for client in 0..CLIENTS {
                    let (url, other) = (killed.url.clone(), service.url(0));
                    let (made, interrupted) = (&made, &interrupted);
                    scope.spawn(move || {
                        for n in 0.. {
                            let mut body = json!({"sale": format!("{crash} {client} {n}")});
                            if n % 2 == 0 {
                                body["temporaryUUID"] = body["sale"].clone();
                            }
                            made.fetch_add(1, Ordering::SeqCst);
                            if let Some(call) = try_call(&url, "saveSalesDocument", &body) {
                                call.expect(200, 0);
                                continue;
                            }
                            interrupted.fetch_add(1, Ordering::SeqCst);
                            retry(other, &body);
                            return;
                        }
                    });
                }
                while made.load(Ordering::SeqCst) < target {
                    thread::yield_now();
                }
                killed.kill();
            });
        }
        assert_eq!(interrupted.into_inner(), CLIENTS * CRASHES);
        assert_eq!(stored(service), i64::try_from(made.into_inner()).unwrap());
    });
}

/// Until the client knows that its sale is stored.
fn retry(url: &str, body: &Value) {
    let call = call(url, "saveSalesDocument", body);
    let known = body.get("temporaryUUID").is_some() && call.code == 1206;
    assert!(call.is_ok() || known, "{call:?}");
}
