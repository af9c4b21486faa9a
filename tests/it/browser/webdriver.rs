//! Chromium by way of chromedriver and its JSON protocol (W3C WebDriver).

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::daemon::{Daemon, is_missing};
use crate::support::folder;

/// As the protocol writes keys that are no letters.
pub(super) const TAB: char = '\u{E004}';
pub(super) const ENTER: char = '\u{E007}';
pub(super) const SHIFT: char = '\u{E008}';
pub(super) const ESCAPE: char = '\u{E00C}';
pub(super) const RIGHT: char = '\u{E014}';

/// What waits for a page ends by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser of its own, with nothing in its profile.
pub(super) struct Browser {
    url: String,
    session: String,
    driver: Daemon,
}

impl Browser {
    /// None, said aloud, where there is no Chromium.
    pub(super) fn start() -> Option<Self> {
        if is_missing(&["chromium", "chromedriver"]) {
            return None;
        }
        let mut driver = Daemon::start(folder::unique(), &["chromedriver", "--port=0"]);
        let port = driver.wait_for(|log| {
            let (_, port) = log.split_once("started successfully on port ")?;
            Some(port.split_once('.')?.0.to_owned())
        });
        let port = port.unwrap_or_else(|| panic!("chromedriver: {}", driver.log()));
        let mut browser = Self {
            url: format!("http://127.0.0.1:{port}"),
            session: String::new(),
            driver,
        };
        let profile = browser.driver.folder().join("profile");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let options = json!({ "args": arguments });
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let started = browser.ask("POST", "/session", &wanted);
        let session = started["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{session}");
        Some(browser)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("{}{path}", self.session);
        let body = match method {
            "POST" => body.to_string(),
            _ => String::new(),
        };
        let reply = send(&self.url, method, &path, &[], body.as_bytes());
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.json());
        reply.json()["value"].take()
    }

    /// Opens a page, and waits until it has loaded.
    pub(super) fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    /// A new tab; gives its name.
    pub(super) fn tab(&self) -> String {
        let tab = self.ask("POST", "/window/new", &json!({ "type": "tab" }));
        tab["handle"].as_str().expect("a name").to_owned()
    }

    /// The name of the tab that is in front.
    pub(super) fn current(&self) -> String {
        let tab = self.ask("GET", "/window", &Value::Null);
        tab.as_str().expect("a name").to_owned()
    }

    pub(super) fn switch_to(&self, tab: &str) {
        self.ask("POST", "/window", &json!({ "handle": tab }));
    }

    /// What a script returns; it may await.
    #[track_caller]
    pub(super) fn run(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; (async () => {{ {script} }})().then(done, error => done(`${{error}}`))"
        );
        self.ask(
            "POST",
            "/execute/async",
            &json!({ "script": script, "args": [] }),
        )
    }

    /// The same as text.
    #[track_caller]
    pub(super) fn text(&self, script: &str) -> String {
        let value = self.run(script);
        let text = value.as_str();
        text.unwrap_or_else(|| panic!("{script} is {value}"))
            .to_owned()
    }

    /// Waits until a script returns something true.
    #[track_caller]
    pub(super) fn until(&self, script: &str) {
        let started = Instant::now();
        while self.run(script) != Value::Bool(true) {
            let text = || self.text("return document.body.innerText");
            assert!(
                started.elapsed() < PATIENCE,
                "never: {script} in {}",
                text()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys, one after the other.
    pub(super) fn press(&self, keys: impl IntoIterator<Item = char>) {
        let strokes = keys
            .into_iter()
            .flat_map(|key| [("keyDown", key), ("keyUp", key)]);
        self.strokes(strokes);
    }

    /// Presses a key while another one is down.
    pub(super) fn press_with(&self, held: char, key: char) {
        self.strokes([
            ("keyDown", held),
            ("keyDown", key),
            ("keyUp", key),
            ("keyUp", held),
        ]);
    }

    fn strokes(&self, strokes: impl IntoIterator<Item = (&'static str, char)>) {
        let strokes: Vec<_> = strokes
            .into_iter()
            .map(|(kind, key)| json!({ "type": kind, "value": key }))
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.ask("POST", "/actions", &json!({ "actions": [keyboard] }));
    }

    /// Goes on with the tabulator until the element with this id has the focus, as somebody without
    /// a mouse does.
    #[track_caller]
    pub(super) fn tab_to(&self, what: &str) {
        for _ in 0..60 {
            if self.run(&format!("return document.activeElement.matches({what:?})"))
                == Value::Bool(true)
            {
                return;
            }
            self.press([TAB]);
        }
        panic!("the tabulator never comes to {what}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; the driver ends it otherwise.
        if !std::thread::panicking() && !self.session.is_empty() {
            self.ask("DELETE", "", &Value::Null);
        }
    }
}
