//! `save`: an edit of what was read, brought together with what others have made of it since.

use serde_json::json;
use tower_conditional::client::{Document, ErrorKind, Outcome};
use tower_conditional::merge::Merged;

use super::script::{Script, Turn, answer, client_of, note, problem, resource};

const BASE: &str = r#"{"to":"Bonn","pieces":4,"version":1}"#;

/// Saves `mine` after one read, of which the server's further answers are `turns`.
async fn base(turns: impl IntoIterator<Item = Turn>) -> (Document, Script) {
    let read = [resource("\"1\"", BASE)].into_iter();
    let script = Script::new(read.chain(turns));
    let base = client_of(&script).read(note()).await.unwrap();
    (base, script)
}

fn conflict(tag: &str, current: &str) -> Turn {
    let current = format!(r#","currentResource":{current}"#);
    problem(412, "precondition-failed", tag, &current)
}

#[tokio::test]
async fn an_edit_of_what_is_current_is_written_as_it_is() {
    let (base, script) = base([answer(204, &[("etag", "\"2\"")], "")]).await;
    let mine = json!({"to": "Bonn", "pieces": 5, "version": 1});
    let updated = client_of(&script).save(&base, &mine).await.unwrap();
    assert_eq!(
        (updated.outcome(), updated.requests()),
        (Outcome::Applied, 1)
    );
    let sent = &script.asked()[1];
    assert_eq!(
        (&*sent.method, sent.field("if-match")),
        ("PUT", Some("\"1\""))
    );
    assert_eq!(sent.field("content-type"), Some("application/json"));
    assert_eq!(sent.json(), mine);
}

#[tokio::test]
async fn edits_of_different_members_are_both_there_in_the_end() {
    let theirs = r#"{"to":"Berlin","pieces":4,"version":2}"#;
    let (base, script) = base([conflict("\"2\"", theirs), answer(204, &[], "")]).await;
    let mine = json!({"to": "Bonn", "pieces": 5, "version": 1});
    let updated = client_of(&script).save(&base, &mine).await.unwrap();
    assert_eq!(updated.conflicts(), 1);
    let sent = &script.asked()[2];
    assert_eq!(sent.field("if-match"), Some("\"2\""));
    assert_eq!(
        sent.json(),
        json!({"to": "Berlin", "pieces": 5, "version": 2})
    );
}

#[tokio::test]
async fn edits_of_one_member_are_an_error_that_names_it() {
    let theirs = r#"{"to":"Berlin","pieces":7,"version":2}"#;
    let (base, script) = base([conflict("\"2\"", theirs)]).await;
    let mine = json!({"to": "Hamburg", "pieces": 5, "version": 1});
    let error = client_of(&script).save(&base, &mine).await.unwrap_err();
    assert_eq!((error.kind(), error.requests()), (ErrorKind::Unmerged, 1));
    let pointers: Vec<_> = error.conflicts().iter().map(|it| &*it.pointer).collect();
    assert_eq!(pointers, ["/pieces", "/to"]);
    let to = &error.conflicts()[1];
    assert_eq!(to.base, Some(json!("Bonn")));
    assert_eq!(to.current, Some(json!("Berlin")));
    assert_eq!(to.mine, Some(json!("Hamburg")));
    let told = "somebody else has changed the same fields: /pieces, /to, after 1 request(s)";
    assert_eq!(error.to_string(), told);
    assert_eq!(script.methods(), "GET PUT", "nothing was written over");
}

#[tokio::test]
async fn a_merge_of_ones_own_decides_what_is_written() {
    let theirs = r#"{"to":"Berlin","pieces":7,"version":2}"#;
    let (base, script) = base([conflict("\"2\"", theirs), answer(204, &[], "")]).await;
    let mine = json!({"to": "Bonn", "pieces": 5, "version": 1});
    let sum = |base: &serde_json::Value, current: &serde_json::Value, mine: &serde_json::Value| {
        let number = |it: &serde_json::Value| it["pieces"].as_i64().unwrap();
        let mut document = current.clone();
        document["pieces"] = (number(current) + number(mine) - number(base)).into();
        Merged {
            document,
            conflicts: Vec::new(),
        }
    };
    client_of(&script)
        .save_with(&base, &mine, sum)
        .await
        .unwrap();
    assert_eq!(
        script.asked()[2].json(),
        json!({"to": "Berlin", "pieces": 8, "version": 2})
    );
}

#[tokio::test]
async fn an_edit_that_changes_nothing_sends_nothing() {
    let (base, script) = base([]).await;
    let updated = client_of(&script).save(&base, base.value()).await.unwrap();
    assert_eq!(
        (updated.outcome(), updated.requests()),
        (Outcome::Unchanged, 0)
    );
}

#[tokio::test]
async fn an_edit_that_got_no_answer_is_found_if_it_is_there() {
    let written = r#"{"to":"Berlin","pieces":5,"version":3}"#;
    let (base, script) = base([Turn::Break, conflict("\"3\"", written)]).await;
    let mine = json!({"to": "Bonn", "pieces": 5, "version": 1});
    let updated = client_of(&script).save(&base, &mine).await.unwrap();
    assert_eq!(updated.outcome(), Outcome::Found);
    assert_eq!(script.methods(), "GET PUT PUT");
}

#[tokio::test]
async fn an_edit_that_got_no_answer_and_is_contradicted_is_in_doubt() {
    // Somebody may have seen it and changed it again.
    let theirs = r#"{"to":"Bonn","pieces":9,"version":3}"#;
    let (base, script) = base([Turn::Break, conflict("\"3\"", theirs)]).await;
    let mine = json!({"to": "Bonn", "pieces": 5, "version": 1});
    let error = client_of(&script).save(&base, &mine).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InDoubt);
}
