//! Contributions: who is believed, and that none is lost.

use std::collections::BTreeMap;
use std::thread;

use serde_json::{Value, json};

use super::{check_record, new_model, new_record};
use crate::support::client::{self, Reply};
use crate::support::service::{Service, on_each_database};

pub(super) const EMPTY: &str =
    r#"{"source":"s","confidence":1,"observedAt":"2024-05-01T12:00:00Z","data":{}}"#;

fn contribution(confidence: f64, observed_at: &str, data: &Value) -> String {
    let body = json!({
        "source": "test",
        "confidence": confidence,
        "observedAt": observed_at,
        "data": data,
    });
    body.to_string()
}

#[track_caller]
fn contribute(service: &Service, record: &str, body: &str) -> Reply {
    let path = format!("{record}/contributions");
    let answer = service.send("POST", &path, &[], body).expect(200);
    check_record(&answer);
    answer
}

#[test]
fn ties_are_broken_as_the_contract_says() {
    const EARLY: &str = "2024-05-01T12:00:00Z";
    const LATE: &str = "2024-05-01T14:00:01+02:00";
    const LATE_TOO: &str = "2024-05-01T12:00:01.000Z";
    let rows = [
        // (policy, first, second, which counts)
        ("most_recent", (0.9, EARLY), (0.1, LATE), 2),
        ("most_recent", (0.1, LATE), (0.9, EARLY), 1),
        ("most_recent", (0.1, LATE), (0.9, LATE_TOO), 2),
        ("most_recent", (0.9, LATE), (0.1, LATE_TOO), 1),
        ("most_recent", (0.5, LATE), (0.5, LATE_TOO), 1),
        ("highest_confidence", (0.9, EARLY), (0.1, LATE), 1),
        ("highest_confidence", (0.1, LATE), (0.9, EARLY), 2),
        ("highest_confidence", (0.5, EARLY), (0.5, LATE), 2),
        ("highest_confidence", (0.5, LATE), (0.5, EARLY), 1),
        ("highest_confidence", (0.5, LATE), (0.5, LATE_TOO), 1),
    ];
    on_each_database("records", 1, &[], |service| {
        for (policy, first, second, expected) in rows {
            let model = new_model(service, &json!({"f": policy}));
            let record = new_record(service, &model, &json!({}));
            contribute(
                service,
                &record,
                &contribution(first.0, first.1, &json!({"f": 1})),
            );
            let body = contribution(second.0, second.1, &json!({"f": 2}));
            let answer = contribute(service, &record, &body);
            let row = format!("{policy} {first:?} {second:?}");
            assert_eq!(answer.json()["data"]["f"], expected, "{row}");
            assert_eq!(answer.etag(), format!("\"{}\"", expected + 1), "{row}");
        }
    });
}

#[test]
fn a_value_that_is_equal_moves_nothing() {
    on_each_database("records", 1, &[], |service| {
        let record = new_record(service, "", &json!({}));
        let first = contribution(0.5, "2024-05-01T12:00:00Z", &json!({"f": 1}));
        let first = contribute(service, &record, &first);
        let second = r#"{"source":"s","confidence":0.6,"observedAt":"2024-05-02T12:00:00Z","data":{"f":1.0}}"#;
        let second = contribute(service, &record, second);
        assert_eq!(second.etag(), first.etag());
        assert_eq!(second.body, first.body, "the old bytes");
        let read = service.send("GET", &record, &[], "");
        assert_eq!((read.etag(), read.body), (first.etag(), first.body));
    });
}

#[test]
fn what_was_set_directly_is_believed_with_confidence_one_from_now_on() {
    on_each_database("records", 1, &[], |service| {
        let model = new_model(service, &json!({"sure": "highest_confidence"}));
        for method in ["POST", "PUT", "PATCH"] {
            let set = json!({"sure": "set", "recent": "set"});
            let record = match method {
                "POST" => new_record(service, &model, &set),
                _ => {
                    let record = new_record(service, &model, &json!({}));
                    // What was claimed for a time to come does not come back.
                    let claim = json!({"sure": "claimed", "recent": "claimed"});
                    contribute(
                        service,
                        &record,
                        &contribution(1.0, "2999-01-01T00:00:00Z", &claim),
                    );
                    let body = json!({"data": set}).to_string();
                    service.send(method, &record, &[], &body).expect(200);
                    record
                }
            };
            let claims = json!({"sure": "claimed", "recent": "claimed"});
            let past = contribution(1.0, "2024-05-01T12:00:00Z", &claims);
            let data = contribute(service, &record, &past).json()["data"].clone();
            assert_eq!(data, json!({"sure": "set", "recent": "set"}), "{method}");
            let unsure = contribution(0.9, "2998-01-01T00:00:00Z", &claims);
            let data = contribute(service, &record, &unsure).json()["data"].clone();
            assert_eq!(
                data,
                json!({"sure": "set", "recent": "claimed"}),
                "{method}"
            );
            let sure = contribution(1.0, "2998-01-01T00:00:00Z", &claims);
            let data = contribute(service, &record, &sure).json()["data"].clone();
            assert_eq!(
                data,
                json!({"sure": "claimed", "recent": "claimed"}),
                "{method}"
            );
        }
    });
}

#[test]
fn a_field_that_was_not_changed_is_as_contestable_as_before() {
    on_each_database("records", 1, &[], |service| {
        let record = new_record(service, "", &json!({}));
        let old = contribution(0.5, "2020-01-01T00:00:00Z", &json!({"f": 1}));
        contribute(service, &record, &old);
        let put = r#"{"data":{"f":1.0,"g":2}}"#;
        service.send("PUT", &record, &[], put).expect(200);
        let newer = contribution(0.5, "2021-01-01T00:00:00Z", &json!({"f": 5, "g": 5}));
        let data = contribute(service, &record, &newer).json()["data"].clone();
        assert_eq!(data, json!({"f": 5, "g": 2}));
    });
}

#[test]
fn a_model_may_change_its_mind() {
    on_each_database("records", 1, &[], |service| {
        let model = new_model(service, &json!({"f": "highest_confidence"}));
        let record = new_record(service, &model, &json!({}));
        let sure = contribution(0.9, "2020-01-01T00:00:00Z", &json!({"f": "sure"}));
        contribute(service, &record, &sure);
        let recent = contribution(0.1, "2024-01-01T00:00:00Z", &json!({"f": "recent"}));
        let before = contribute(service, &record, &recent);
        assert_eq!(before.json()["data"]["f"], "sure");

        let model = format!("/models/{model}");
        let change = r#"{"policies":{"f":"most_recent"}}"#;
        service.send("PATCH", &model, &[], change).expect(200);
        let read = service.send("GET", &record, &[], "");
        assert_eq!(
            (read.etag(), read.body),
            (before.etag(), before.body.clone())
        );
        let older = contribution(1.0, "2019-01-01T00:00:00Z", &json!({"f": "older"}));
        let after = contribute(service, &record, &older);
        assert_eq!(after.json()["data"]["f"], "recent");
        assert_ne!(after.etag(), before.etag());
    });
}

#[test]
fn what_is_no_contribution_is_refused() {
    let service = Service::on_sqlite("records", 1, &[]);
    let record = new_record(&service, "", &json!({}));
    let path = format!("{record}/contributions");
    for (member, values) in [
        (
            "observedAt",
            [
                json!(null),
                json!("yesterday"),
                json!(1_714_564_800),
                json!("2024-02-30T00:00:00Z"),
            ],
        ),
        (
            "confidence",
            [json!(null), json!("0.5"), json!(1.1), json!(-0.1)],
        ),
        ("data", [json!(null), json!([]), json!("x"), json!(1)]),
    ] {
        let mut body: Value = serde_json::from_str(EMPTY).expect("JSON");
        for value in values {
            body[member] = value;
            let refused = service.send("POST", &path, &[], &body.to_string());
            refused.expect_problem(400, "invalid-contribution");
        }
        body.as_object_mut().expect("an object").remove(member);
        let refused = service.send("POST", &path, &[], &body.to_string());
        refused.expect_problem(400, "invalid-contribution");
    }
    service
        .send("POST", &path, &[], "{")
        .expect_problem(400, "bad-json");
    assert_eq!(service.send("GET", &record, &[], "").etag(), "\"1\"");
}

/// Sixteen writers over two processes, a hundred contributions each. Every one is later than all
/// others that its writer made; which of two writers is later is drawn by lot.
#[test]
fn no_contribution_is_lost_under_load() {
    const WRITERS: usize = 16;
    const EACH: usize = 100;
    on_each_database("records", 2, &[], |service| {
        let record = new_record(service, "", &json!({}));
        let path = format!("{record}/contributions");
        // Writers meet in the field "all", and have one of their own.
        let answers: Vec<_> = thread::scope(|scope| {
            let writers = (0..WRITERS).map(|writer| {
                let path = &path;
                scope.spawn(move || {
                    let mut answers = Vec::new();
                    for round in 0..EACH {
                        let number = round * WRITERS + (writer * 7 + round * 5) % WRITERS;
                        let observed_at = format!("2024-05-01T12:00:00.{number:04}Z");
                        let own = format!("own{writer}");
                        let data = json!({"all": number, own: round / 2});
                        let body = contribution(0.5, &observed_at, &data);
                        let json = [("content-type", "application/json")];
                        let url = service.url(writer + round);
                        let answer = client::send(url, "POST", path, &json, body.as_bytes());
                        answers.push(answer.expect(200));
                    }
                    answers
                })
            });
            let writers: Vec<_> = writers.collect();
            writers
                .into_iter()
                .flat_map(|writer| writer.join().expect("no panic"))
                .collect()
        });

        // What each version was: one state, whoever was told of it.
        let mut states = BTreeMap::from([(1, json!({}))]);
        for answer in &answers {
            check_record(answer);
            let version: u32 = answer.etag().trim_matches('"').parse().expect("a number");
            let data = answer.json()["data"].clone();
            let known = states.entry(version).or_insert_with(|| data.clone());
            assert_eq!(*known, data, "version {version}");
        }
        let versions: Vec<_> = states.keys().copied().collect();
        let last = *versions.last().expect("there are some");
        assert_eq!(
            versions,
            (1..=last).collect::<Vec<_>>(),
            "no version is missing"
        );
        for (before, after) in states.values().zip(states.values().skip(1)) {
            assert_ne!(before, after, "a version moved, and no value");
            let all = |state: &Value| state["all"].as_u64().unwrap_or_default();
            assert!(all(after) >= all(before), "an earlier observation won");
        }
        let end = service.send("GET", &record, &[], "");
        assert_eq!(end.etag(), format!("\"{last}\""));
        let end = end.json()["data"].clone();
        assert_eq!(end["all"], WRITERS * EACH - 1);
        for writer in 0..WRITERS {
            assert_eq!(end[format!("own{writer}")], EACH / 2 - 1);
        }
        let late = answers.len() - versions.len();
        assert!(late > 0, "no observation came late: they did not race");
    });
}
