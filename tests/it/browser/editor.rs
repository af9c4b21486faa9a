//! Two tabs, a conflict, a merge by keyboard alone, and the browser's own cache.

use serde_json::json;

use super::recorder::Recorder;
use super::webdriver::{Browser, ENTER, ESCAPE, RIGHT, SHIFT, TAB};
use crate::support::client::send;
use crate::support::example::Example;

const ORDERS: &str = "/v1/partners/0b0e7a1e-93a5-4c3f-8a5e-0d6f6b6f2a11/orders";

/// A new order on the page; gives its path.
fn order(browser: &Browser, url: &str) -> String {
    browser.open(url);
    wait_for_version(browser, "Bob", 1);
    let uuid = browser.text("return location.hash.slice(1)");
    format!("{ORDERS}/{uuid}")
}

fn wait_for_version(browser: &Browser, who: &str, version: u64) {
    browser.until(&format!(
        "return document.querySelector('[data-who={who}] .version').textContent === 'version {version}'"
    ));
}

/// Goes to a field by keyboard, and writes over what it holds.
#[track_caller]
fn write(browser: &Browser, id: &str, text: &str) {
    browser.tab_to(&format!("#{id}"));
    // The tabulator selects what is there.
    browser.press(text.chars());
}

#[test]
fn whoever_comes_second_merges_by_keyboard_and_both_edits_are_there_in_the_end() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Example::start("editor", &[]);
    let path = order(&browser, &server.url);
    let page = browser.text("return location.href");

    let first = browser.current();
    let second = browser.tab();
    browser.switch_to(&second);
    browser.open(&page);
    wait_for_version(&browser, "Bob", 1);
    write(&browser, "Bob-item", "stool");
    write(&browser, "Bob-pieces", "8");

    browser.switch_to(&first);
    write(&browser, "Alice-pieces", "6");
    write(&browser, "Alice-note", "armrests");
    browser.tab_to("[data-who=Alice] [type=submit]");
    browser.press([ENTER]);
    wait_for_version(&browser, "Alice", 2);

    browser.switch_to(&second);
    browser.tab_to("[data-who=Bob] [type=submit]");
    browser.press([ENTER]);
    browser.until("return document.querySelector('#merge').open");
    let rows = browser.text(
        "return [...document.querySelectorAll('#merge fieldset')].map(set => \
         [...set.querySelectorAll('.value')].map(value => value.textContent).join('|')).join(' ')",
    );
    assert_eq!(rows, "chair|chair|stool 4|6|8 none|armrests|none");
    // The focus is where a decision is needed, not where the dialog begins; nobody has taken it yet.
    let focus = "return document.activeElement.getAttribute('aria-label')";
    assert_eq!(browser.text(focus), "Theirs: 6");
    let open = "return document.querySelectorAll('#merge fieldset.conflict input:checked').length";
    assert_eq!(browser.run(open), json!(0));
    browser.press([ENTER]);
    assert_eq!(
        browser.run("return document.querySelector('#merge').open"),
        json!(true)
    );
    // An arrow chooses mine, Enter saves.
    browser.press([RIGHT]);
    assert_eq!(browser.text(focus), "Mine: 8");
    browser.press([ENTER]);
    wait_for_version(&browser, "Bob", 3);

    let stored = send(&server.url, "GET", &path, &[], b"").expect(200).json();
    for (member, value) in [
        ("item", json!("stool")),
        ("pieces", json!(8)),
        ("contact", json!("reception")),
        ("note", json!("armrests")),
        ("version", json!(3)),
    ] {
        assert_eq!(stored[member], value, "{member} of {stored}");
    }
}

#[test]
fn a_merge_can_be_left_and_nothing_is_lost_or_saved() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Example::start("editor", &[]);
    let path = order(&browser, &server.url);
    let patch = [("if-match", "\"1\""), ("content-type", "application/json")];
    send(&server.url, "PATCH", &path, &patch, br#"{"item": "bench"}"#).expect(200);

    write(&browser, "Alice-item", "stool");
    browser.press([ENTER]);
    browser.until("return document.querySelector('#merge').open");
    // The focus does not leave the dialog, whichever way it goes.
    for _ in 0..8 {
        browser.press([TAB]);
        let inside = "const at = document.activeElement; return at === document.body || !!at.closest('#merge')";
        assert_eq!(browser.run(inside), json!(true));
    }
    browser.press_with(SHIFT, TAB);
    browser.press([ESCAPE]);
    browser.until("return !document.querySelector('#merge').open");
    browser.until("return document.activeElement.matches('[data-who=Alice] [type=submit]')");
    assert_eq!(
        browser.text("return document.querySelector('#Alice-item').value"),
        "stool"
    );
    let status =
        browser.text("return document.querySelector('[data-who=Alice] .status').textContent");
    assert!(status.contains("Nothing was saved"), "{status}");
    let stored = send(&server.url, "GET", &path, &[], b"").expect(200);
    assert_eq!(
        (stored.json()["item"].as_str(), &*stored.etag()),
        (Some("bench"), "\"2\"")
    );
}

#[test]
fn a_save_whose_answer_got_lost_is_the_same_save_when_it_is_tried_again() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Example::start("editor", &[]);
    let path = order(&browser, &server.url);
    // The answer to the next write comes, and is thrown away.
    browser.run(
        "const real = window.fetch; window.fetch = async (path, request) => { \
         const answer = await real(path, request); \
         if (request.method !== 'PATCH') { return answer; } \
         window.fetch = real; throw new TypeError('lost'); }",
    );
    write(&browser, "Alice-pieces", "6");
    browser.press([ENTER]);
    browser.until("return document.querySelector('[data-who=Alice] .status').textContent.startsWith('No answer')");
    browser.press([ENTER]);
    wait_for_version(&browser, "Alice", 2);
    let log = browser.text("return document.querySelector('#log').innerText");
    assert!(log.contains("Idempotency-Replayed: true"), "{log}");
    let trail = send(&server.url, "GET", &format!("{path}/revisions"), &[], b"").expect(200);
    assert_eq!(
        trail.json()["items"].as_array().map(Vec::len),
        Some(2),
        "{:?}",
        trail.json()
    );
}

#[test]
fn the_browsers_own_cache_asks_with_the_tag_and_is_told_304() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Example::start("editor", &[]);
    let recorder = Recorder::start(&server.url);
    let path = order(&browser, &recorder.url);
    let read = format!(
        "return await fetch({path:?}).then(answer => answer.status + ' ' + answer.headers.get('etag'))"
    );
    // The panes have read it; a script that says nothing of conditions gets what the cache has.
    assert_eq!(browser.text(&read), "200 \"1\"");
    let reads = |status: u16| {
        let exchanges = recorder.exchanges();
        let get = format!("get {path} ");
        let reads = exchanges
            .iter()
            .filter(|(head, got)| head.starts_with(&get) && *got == status);
        reads.map(|(head, _)| head.clone()).collect::<Vec<_>>()
    };
    let unchanged = reads(304);
    assert!(!unchanged.is_empty(), "{:?}", recorder.exchanges());
    for head in &unchanged {
        assert!(head.contains("if-none-match: \"1\""), "{head}");
    }
    assert_eq!(reads(200).len(), 1, "the content came more than once");

    let patch = [("if-match", "\"1\""), ("content-type", "application/json")];
    send(&server.url, "PATCH", &path, &patch, br#"{"item": "bench"}"#).expect(200);
    assert_eq!(browser.text(&read), "200 \"2\"", "an old copy");
    assert_eq!(reads(200).len(), 2);
}

#[test]
fn a_merge_that_is_overtaken_is_merged_again() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = Example::start("editor", &[]);
    let path = order(&browser, &server.url);
    let patch = |tag: &str, change: &[u8]| {
        let fields = [("if-match", tag), ("content-type", "application/json")];
        send(&server.url, "PATCH", &path, &fields, change).expect(200);
    };
    patch("\"1\"", br#"{"contact": "Carol"}"#);
    write(&browser, "Alice-item", "stool");
    browser.press([ENTER]);
    let asks = |version: u64| {
        browser.until(&format!(
            "return document.querySelector('#merge').open && \
             document.querySelector('#merge-text').textContent.includes('version {version} was saved')"
        ));
    };
    asks(2);
    // While she looks at it, somebody saves once more.
    patch("\"2\"", br#"{"note": "blue"}"#);
    browser.press([ENTER]);
    asks(3);
    browser.press([ENTER]);
    wait_for_version(&browser, "Alice", 4);
    let stored = send(&server.url, "GET", &path, &[], b"").expect(200).json();
    for (member, value) in [("item", "stool"), ("contact", "Carol"), ("note", "blue")] {
        assert_eq!(stored[member], value, "{member} of {stored}");
    }
}
