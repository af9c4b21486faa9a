//! One vector, out of JSON. The format is told in `tests/vectors/README.md`.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use tower_conditional::HttpDate;
use tower_conditional::store::{Current, State, Version};

/// Field lines, as bytes.
pub(crate) type Lines = Vec<(String, Vec<u8>)>;

pub(crate) struct Vector {
    pub(crate) id: String,
    /// Area and topic.
    pub(crate) subject: String,
    pub(crate) strictness: String,
    pub(crate) needs: Vec<String>,
    pub(crate) before: State,
    /// What a write leaves behind, where that is not what was there before.
    pub(crate) after: Option<State>,
    pub(crate) route: Route,
    pub(crate) method: Method,
    pub(crate) lines: Lines,
    pub(crate) body: &'static str,
    pub(crate) handler: Handler,
    pub(crate) outer_status: Option<StatusCode>,
    pub(crate) expect: Expect,
}

pub(crate) struct Route {
    pub(crate) required: bool,
    pub(crate) conflict_status: StatusCode,
    pub(crate) missing_status: StatusCode,
}

#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) honours_range: bool,
}

pub(crate) struct Expect {
    pub(crate) status: StatusCode,
    pub(crate) also_ok: Vec<StatusCode>,
    /// `None`: not checked.
    pub(crate) handler_ran: Option<bool>,
    /// Outer `None`: not checked; inner `None`: no line.
    pub(crate) etag: Option<Option<Vec<u8>>>,
    pub(crate) etag_forbidden: Vec<Vec<u8>>,
    pub(crate) body_empty: bool,
    pub(crate) range_removed: Option<bool>,
    pub(crate) headers_present: Lines,
    pub(crate) headers_contain: Lines,
    pub(crate) headers_absent: Vec<String>,
    pub(crate) headers_forbidden: Lines,
}

/// Every vector of every JSON file in `folder`, in the order of their names.
pub(crate) fn read_all(folder: &Path) -> Vec<Vector> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a folder that opens can be read").path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let vectors = files.iter().flat_map(|file| {
        let text = fs::read(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let json = serde_json::from_slice::<Value>(&text)
            .unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let vectors = json
            .as_array()
            .unwrap_or_else(|| panic!("{file:?}: no list"));
        vectors.iter().map(Vector::of).collect::<Vec<_>>()
    });
    vectors.collect()
}

impl Vector {
    fn of(json: &Value) -> Self {
        let resource = &json["resource"];
        let policy = &json["policy"];
        let request = &json["request"];
        let method = Method::from_bytes(text(&request["method"]).as_bytes());
        let method = method.expect("vectors have methods that a request can have");
        let body = match method.as_str() {
            "PUT" | "POST" | "PATCH" => r#"{"note":"changed"}"#,
            _ => "",
        };
        Self {
            id: text(&json["id"]).to_owned(),
            subject: format!("{}/{}", text(&json["area"]), text(&json["topic"])),
            strictness: text(&json["strictness"]).to_owned(),
            needs: texts(&json["needs"]),
            before: state_before(resource),
            after: resource.get("new_etag").map(state_after),
            route: Route {
                required: text(&policy["if_match"]) == "required",
                conflict_status: status(&policy["conflict_status"]),
                missing_status: status(&policy["missing_status"]),
            },
            body: request.get("body").map_or(body, |body| {
                let body = body
                    .as_str()
                    .map_or_else(|| body.to_string(), ToOwned::to_owned);
                // A vector lives as long as the process.
                Box::leak(body.into_boxed_str())
            }),
            method,
            lines: lines(&request["headers"]),
            handler: Handler {
                status: status(&json["handler_status"]),
                headers: lines(&json["handler_headers"])
                    .iter()
                    .map(|(name, value)| (header_name(name), header_value(value)))
                    .collect(),
                honours_range: json["handler_honours_range"] == true,
            },
            outer_status: json.get("outer_status").map(status),
            expect: Expect::of(&json["expect"]),
        }
    }
}

impl Expect {
    fn of(json: &Value) -> Self {
        Self {
            status: status(&json["status"]),
            also_ok: list(&json["also_ok"]).iter().map(status).collect(),
            handler_ran: json["handler_ran"].as_bool(),
            etag: json.get("etag").map(|tag| tag.as_str().map(bytes)),
            etag_forbidden: texts(&json["etag_forbidden"])
                .iter()
                .map(|tag| bytes(tag))
                .collect(),
            body_empty: json["body_empty"] == true,
            range_removed: json["range_removed"].as_bool(),
            headers_present: lines(&json["headers_present"]),
            headers_contain: lines(&json["headers_contain"]),
            headers_absent: texts(&json["headers_absent"]),
            headers_forbidden: lines(&json["headers_forbidden"]),
        }
    }
}

fn state_before(resource: &Value) -> State {
    if resource["exists"] != true {
        return State::Absent;
    }
    let mut current = match resource["etag"].as_str() {
        Some(tag) => Current::new(version(&bytes(tag))),
        None => Current::unversioned(),
    };
    if resource["weak"] == true {
        current = current.weak();
    }
    if let Some(date) = resource["last_modified"].as_str() {
        current = current.modified(time(date, resource["last_modified_ns"].as_u64()));
    }
    State::Present(current)
}

fn state_after(new_etag: &Value) -> State {
    State::Present(match new_etag.as_str().map(bytes) {
        None => Current::unversioned(),
        Some(tag) => match tag.strip_prefix(b"W/") {
            Some(tag) => Current::new(version(tag)).weak(),
            None => Current::new(version(&tag)),
        },
    })
}

/// The version in a quoted tag.
fn version(quoted: &[u8]) -> Version {
    let opaque = quoted
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .expect("the tag of a resource has quotes");
    Version::new(opaque).expect("the tag of a resource is one")
}

fn time(date: &str, nanoseconds: Option<u64>) -> SystemTime {
    let date = HttpDate::parse(date.as_bytes()).expect("a resource has a valid date");
    date.to_system_time() + Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Each character of a vector stands for one byte.
fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|char| u8::try_from(char).expect("vectors have no characters above U+00FF"))
        .collect()
}

pub(crate) fn header_name(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).expect("vectors have valid field names")
}

pub(crate) fn header_value(value: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(value).expect("vectors have valid field values")
}

fn lines(json: &Value) -> Lines {
    list(json)
        .iter()
        .map(|pair| (text(&pair[0]).to_owned(), bytes(text(&pair[1]))))
        .collect()
}

fn texts(json: &Value) -> Vec<String> {
    list(json)
        .iter()
        .map(|item| text(item).to_owned())
        .collect()
}

fn list(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

#[track_caller]
fn text(json: &Value) -> &str {
    json.as_str()
        .unwrap_or_else(|| panic!("not a text: {json}"))
}

#[track_caller]
fn status(json: &Value) -> StatusCode {
    json.as_u64()
        .and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok())
        .unwrap_or_else(|| panic!("not a status: {json}"))
}
