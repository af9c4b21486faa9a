//! The example `sales_documents`, as its clients see it: over sockets, as processes of their own, in
//! memory, on SQLite and on PostgreSQL.

mod crashes;
mod races;
mod rows;
mod turns;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Reply, send, try_send};
use crate::support::example::Example;
use crate::support::service::{Service, on_each_database};

const NAME: &str = "sales_documents";
const JSON: (&str, &str) = ("content-type", "application/json");

/// What a call came to.
#[derive(Debug, Clone)]
struct Called {
    status: u16,
    code: u64,
    /// Null if there is none.
    record: Value,
    reply: Reply,
    /// How long it took.
    took: Duration,
}

impl Called {
    /// Reads the envelope, which is the same for all answers of a function.
    #[track_caller]
    fn read(function: &str, reply: Reply, took: Duration) -> Self {
        assert_eq!(reply.field("content-type"), Some("application/json"));
        let answer = reply.json();
        let code = answer["status"]["errorCode"].as_u64().expect("a code");
        let word = if code == 0 { "ok" } else { "error" };
        let status = json!({"request": function, "responseStatus": word, "errorCode": code});
        assert_eq!(answer["status"], status, "{answer}");
        assert_eq!(answer.as_object().map(|answer| answer.len()), Some(2));
        let records = answer["records"].as_array().expect("records");
        assert_eq!(records.len(), usize::from(code == 0), "{answer}");
        assert_eq!(reply.status == 200, code == 0, "{answer}");
        Self {
            status: reply.status,
            code,
            record: records.first().cloned().unwrap_or_default(),
            reply,
            took,
        }
    }

    fn is_ok(&self) -> bool {
        self.code == 0
    }

    #[track_caller]
    fn id(&self) -> Value {
        assert!(self.record["id"].is_string(), "{self:?}");
        self.record["id"].clone()
    }

    #[track_caller]
    fn expect(self, status: u16, code: u64) -> Self {
        assert_eq!((self.status, self.code), (status, code), "{self:?}");
        self
    }
}

#[track_caller]
fn call(url: &str, function: &str, body: &Value) -> Called {
    let started = Instant::now();
    let path = format!("/api/{function}");
    let reply = send(url, "POST", &path, &[JSON], body.to_string().as_bytes());
    Called::read(function, reply, started.elapsed())
}

/// The same to a process that may be killed; None if there was no answer.
fn try_call(url: &str, function: &str, body: &Value) -> Option<Called> {
    let started = Instant::now();
    let path = format!("/api/{function}");
    let reply = try_send(url, "POST", &path, &[JSON], body.to_string().as_bytes()).ok()?;
    Some(Called::read(function, reply, started.elapsed()))
}

/// Reads a document of a kind such as `SalesDocument`.
#[track_caller]
fn get(url: &str, kind: &str, id: &Value) -> Called {
    let function = format!("get{kind}");
    let id = id.as_str().expect("an id");
    let path = format!("/api/{function}?id={id}");
    let started = Instant::now();
    Called::read(
        &function,
        send(url, "GET", &path, &[], b""),
        started.elapsed(),
    )
}

/// All of these at the same moment, in turn to each of the processes.
fn at_once(urls: &[&str], function: &str, bodies: &[Value]) -> Vec<Called> {
    let barrier = Barrier::new(bodies.len());
    thread::scope(|scope| {
        let calls: Vec<_> = bodies
            .iter()
            .zip(urls.iter().cycle())
            .map(|(body, url)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    call(url, function, body)
                })
            })
            .collect();
        let calls = calls.into_iter();
        calls.map(|call| call.join().expect("an answer")).collect()
    })
}

/// Runs a test with one process, in memory and on each database.
fn alone(environment: &[(&str, &str)], test: impl Fn(&str)) {
    test(&Example::start(NAME, environment).url);
    on_each_database(NAME, 1, environment, |service| test(service.url(0)));
}

/// Runs a test with two processes on one database, for each database.
fn together(environment: &[(&str, &str)], test: impl Fn(&[&str])) {
    on_each_database(NAME, 2, environment, |service: &Service| {
        test(&[service.url(0), service.url(1)]);
    });
}
