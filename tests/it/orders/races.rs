//! Many at once, on two processes of one database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::service::{Database, NOBODY, SELLER, Service, ask, on_each};

fn two(database: &Database, environment: &[(&str, &str)]) -> [Service; 2] {
    [database.start(environment), database.start(environment)]
}

/// 64 who want to write: what each was sent, and was answered.
async fn burst(
    services: &[Service; 2],
    method: &'static str,
    path: &str,
    field: impl Fn(usize) -> (&'static str, String),
) -> Vec<(String, super::service::Answer)> {
    let mut calls = JoinSet::new();
    for caller in 0..64 {
        let address = services[caller % 2].address();
        let path = path.to_owned();
        let (name, value) = field(caller);
        calls.spawn(async move {
            let body = json!({ "by": caller }).to_string();
            let answer = ask(address, method, &path, &[(name, &value)], &body).await;
            (value, answer.expect("an answer"))
        });
    }
    calls.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_with_one_version_one_writes_and_all_others_see_what_it_wrote() {
    on_each(async |database| {
        let services = two(database, &[("HANDLER_DELAY_MS", "30")]);
        let path = services[0].order("{}").await;
        for version in 1..=3 {
            let tag = format!("\"{version}\"");
            let answers = burst(&services, "PATCH", &path, |_| ("if-match", tag.clone())).await;
            let winners: Vec<_> = answers
                .iter()
                .filter(|(_, answer)| answer.status == 200)
                .collect();
            assert_eq!(winners.len(), 1);
            winners[0].1.assert_version(200, version + 1);
            for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != 200) {
                assert_eq!(answer.assert_stale(&version.to_string()), version + 1);
                assert_eq!(answer.json()["currentResource"], winners[0].1.json());
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_409_speaks_of_one_state_while_the_versions_move() {
    on_each(async |database| {
        let services = two(database, &[]);
        let path = services[0].order("{}").await;
        let staff = database.connect().await;
        let goes_on = AtomicBool::new(true);
        // Somebody moves the version all the time; the others guess what comes.
        let moves = async {
            while goes_on.load(Ordering::Relaxed) {
                let moved = sqlx::query("UPDATE orders SET version = 1")
                    .execute(&staff)
                    .await;
                moved.expect("an edit");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let guesses = async {
            let mut stale = 0;
            for _ in 0..4 {
                let read = services[0].get(&path).await.json();
                let version = read["version"].as_i64().expect("a version");
                let guess = |caller| {
                    let guess = version + i64::try_from(caller).expect("few") / 2;
                    ("if-match", format!("\"{guess}\""))
                };
                for (sent, answer) in burst(&services, "PATCH", &path, guess).await {
                    if answer.status == 409 {
                        answer.assert_stale(sent.trim_matches('"'));
                        stale += 1;
                    } else {
                        assert_eq!(answer.status, 200, "{answer:?}");
                    }
                }
            }
            goes_on.store(false, Ordering::Relaxed);
            stale
        };
        let (stale, ()) = tokio::join!(guesses, moves);
        assert!(stale > 64, "only {stale} were stale");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_who_create_one_creates() {
    on_each(async |database| {
        let services = two(database, &[("HANDLER_DELAY_MS", "30")]);
        let path = format!("{SELLER}/orders/{NOBODY}");
        let answers = burst(&services, "PUT", &path, |_| {
            ("if-none-match", "*".to_owned())
        })
        .await;
        let created = answers
            .iter()
            .filter(|(_, answer)| answer.status == 201)
            .count();
        assert_eq!(created, 1);
        for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != 201) {
            answer.assert_problem(412, "precondition-failed");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sigterm_lets_requests_finish_and_idle_connections_go() {
    on_each(async |database| {
        let mut service = database.start(&[("HANDLER_DELAY_MS", "600")]);
        let path = service.order("{}").await;
        let idle = tokio::net::TcpStream::connect(service.address())
            .await
            .expect("it serves");
        let (address, order) = (service.address(), path.clone());
        let write = tokio::spawn(async move {
            ask(address, "PATCH", &order, &[("if-match", "\"1\"")], "{}").await
        });
        // There is no event for "the handler has begun"; its delay is three times as long.
        tokio::time::sleep(Duration::from_millis(200)).await;
        service.example.terminate();
        let write = write.await.expect("no panic").expect("an answer");
        write.assert_version(200, 2);
        let ended = tokio::task::spawn_blocking(move || service.example.wait()).await;
        assert_eq!(ended.expect("no panic").code(), Some(0));
        drop(idle);
    })
    .await;
}
