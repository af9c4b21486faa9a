//! Writes that got no answer: sent again as they were, and looked at before anything else is sent.

use std::error::Error;

use serde_json::{Value, json};
use tower::Layer;
use tower_conditional::client::{Change, ClientLayer, ErrorKind, Outcome};

use super::script::{Script, Turn, answer, note, problem, quick, resource};

fn count(current: &Value) -> Change {
    Change::Patch(json!({"count": current["count"].as_i64().unwrap_or(0) + 1}))
}

fn close(_: &Value) -> Change {
    Change::Patch(json!({"closed": true}))
}

fn read(version: u32) -> Turn {
    resource(
        &format!("\"{version}\""),
        &format!(r#"{{"count":{version}}}"#),
    )
}

fn silences() -> [Turn; 5] {
    [
        Turn::Break,
        Turn::Silence,
        answer(408, &[], ""),
        answer(503, &[], ""),
        problem(500, "outcome-unknown", "", ""),
    ]
}

async fn run(
    layer: &ClientLayer,
    change: fn(&Value) -> Change,
    turns: Vec<Turn>,
) -> (Result<Outcome, ErrorKind>, Script) {
    let script = Script::new(turns);
    let updated = layer.layer(script.clone()).update(note(), change).await;
    let outcome = updated.map(|updated| updated.outcome());
    (outcome.map_err(|error| error.kind()), script)
}

#[tokio::test]
async fn the_same_write_is_sent_again_with_the_same_key() {
    for silence in silences() {
        let turns = vec![read(1), silence, answer(204, &[], "")];
        let (outcome, script) = run(&quick(), count, turns).await;
        assert_eq!(outcome, Ok(Outcome::Applied));
        let sent = script.asked();
        for name in ["idempotency-key", "if-match"] {
            assert!(sent[1].field(name).is_some(), "{name}");
            assert_eq!(sent[1].field(name), sent[2].field(name), "{name}");
        }
        assert_eq!(sent[1].content, sent[2].content);
    }
}

#[tokio::test]
async fn a_refusal_after_silence_may_be_its_own_doing() {
    for silence in silences() {
        let turns = vec![read(1), silence, answer(412, &[], ""), read(2)];
        let (outcome, script) = run(&quick(), count, turns).await;
        assert_eq!(outcome, Err(ErrorKind::InDoubt), "{}", script.methods());
        assert_eq!(script.methods(), "GET PATCH PATCH GET");
    }
}

#[tokio::test]
async fn unless_keys_are_honoured() {
    for silence in silences() {
        let turns = vec![
            read(1),
            silence,
            answer(412, &[], ""),
            read(2),
            answer(204, &[], ""),
        ];
        let (outcome, script) = run(&quick().keys_honoured(), count, turns).await;
        assert_eq!(outcome, Ok(Outcome::Applied));
        let sent = script.asked();
        assert_eq!(sent[4].json(), json!({"count": 3}));
        assert_ne!(
            sent[4].field("idempotency-key"),
            sent[2].field("idempotency-key")
        );
    }
}

#[tokio::test]
async fn what_is_there_already_is_found() {
    for keys in [quick(), quick().keys_honoured()] {
        let closed = resource("\"3\"", r#"{"count":3,"closed":true}"#);
        let turns = vec![read(1), Turn::Break, answer(412, &[], ""), closed];
        let honoured = format!("{keys:?}").contains("keys_honoured: true");
        let (outcome, _) = run(&keys, close, turns).await;
        let expected = if honoured {
            Outcome::Unchanged
        } else {
            Outcome::Found
        };
        assert_eq!(outcome, Ok(expected));
    }
}

#[tokio::test]
async fn what_has_not_happened_is_sent_again() {
    // The refusal came from where the last change had not arrived.
    let turns = vec![
        read(1),
        Turn::Break,
        answer(412, &[], ""),
        read(1),
        answer(204, &[], ""),
    ];
    let (outcome, script) = run(&quick(), count, turns).await;
    assert_eq!(outcome, Ok(Outcome::Applied));
    assert_eq!(script.methods(), "GET PATCH PATCH GET PATCH");
}

#[tokio::test]
async fn a_server_that_does_not_know_is_not_believed_even_with_keys() {
    let unknown = || problem(409, "outcome-unknown", "", "");
    for layer in [quick(), quick().keys_honoured()] {
        // Another version: it may be ours.
        let turns = vec![read(1), unknown(), read(2)];
        let (outcome, _) = run(&layer, count, turns).await;
        assert_eq!(outcome, Err(ErrorKind::InDoubt));
        // The same version: it has not happened. A refusal of the next try proves nothing about
        // the first.
        let turns = vec![read(1), unknown(), read(1), answer(412, &[], ""), read(2)];
        let (outcome, _) = run(&layer, count, turns).await;
        assert_eq!(outcome, Err(ErrorKind::InDoubt));
        let turns = vec![read(1), unknown(), read(1), answer(204, &[], "")];
        let (outcome, script) = run(&layer, count, turns).await;
        assert_eq!(outcome, Ok(Outcome::Applied));
        let key = |at: usize| {
            script.asked()[at]
                .field("idempotency-key")
                .unwrap()
                .to_owned()
        };
        assert_ne!(key(1), key(3));
    }
}

#[tokio::test]
async fn a_key_whose_answer_is_lost_has_been_carried_out() {
    let turns = vec![
        read(1),
        Turn::Break,
        problem(409, "result-not-stored", "", ""),
    ];
    let script = Script::new(turns);
    let updated = quick().layer(script).update(note(), count).await.unwrap();
    assert_eq!(updated.outcome(), Outcome::Applied);
    assert!(updated.answer().is_none());
}

#[tokio::test]
async fn whatever_ends_it_doubt_is_what_is_told() {
    // Even where keys are honoured: who refuses for these reasons often stands in front of who knows
    // the key.
    for last in [
        answer(400, &[], ""),
        answer(401, &[], ""),
        answer(403, &[], ""),
        answer(404, &[], ""),
        answer(413, &[], ""),
        answer(428, &[], ""),
        answer(429, &[("retry-after", "3600")], ""),
    ] {
        for layer in [quick(), quick().keys_honoured()] {
            let turns = vec![read(1), Turn::Break, last.clone()];
            let (outcome, _) = run(&layer, count, turns).await;
            assert_eq!(outcome, Err(ErrorKind::InDoubt));
        }
    }
}

#[tokio::test]
async fn silence_up_to_the_last_request_keeps_its_cause() {
    let turns = [read(1), Turn::Break, Turn::Break, Turn::Silence];
    let script = Script::new(turns);
    let layer = quick().requests(4).keys_honoured();
    let error = layer.layer(script).update(note(), count).await.unwrap_err();
    assert_eq!((error.kind(), error.requests()), (ErrorKind::InDoubt, 4));
    let source = error.source().expect("the cause is kept");
    assert_eq!(source.to_string(), "no answer within 50ms");
}
