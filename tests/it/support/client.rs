//! A client that sees everything: one connection for each request, bytes in and bytes out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    #[track_caller]
    pub(crate) fn etag(&self) -> String {
        let tag = self.field("etag");
        tag.unwrap_or_else(|| panic!("no tag: {self:?}")).to_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn text(&self, member: &str) -> String {
        let json = self.json();
        let text = json[member].as_str();
        text.unwrap_or_else(|| panic!("no {member}: {json}"))
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{:?} {body}", self.fields);
        self
    }

    /// A problem document with this status and type.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, type_name: &str) -> Self {
        let reply = self.expect(status);
        assert_eq!(
            reply.field("content-type"),
            Some("application/problem+json")
        );
        let problem = reply.json();
        let kind = problem["type"].as_str().unwrap_or_default();
        assert!(
            kind.ends_with(&format!("/problems/{type_name}")),
            "{problem}"
        );
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["title", "detail", "traceId"] {
            assert!(problem[member].is_string(), "{member}: {problem}");
        }
        reply
    }
}

/// Sends a request to `http://HOST:PORT`, with these lines in its header and this body.
#[track_caller]
pub(crate) fn send(
    url: &str,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    try_send(url, method, path, fields, body)
        .unwrap_or_else(|error| panic!("{method} {url}{path}: {error}"))
}

/// The same with a server that may be killed.
pub(crate) fn try_send(
    url: &str,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Reply> {
    let lines = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    try_send_bytes(url, method, path, &lines.collect::<Vec<_>>(), body)
}

/// The same, with whatever bytes as values.
pub(crate) fn try_send_bytes(
    url: &str,
    method: &str,
    path: &str,
    lines: &[(&str, &[u8])],
    body: &[u8],
) -> std::io::Result<Reply> {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    if !body.is_empty() || ["POST", "PUT", "PATCH"].contains(&method) {
        head += &format!("content-length: {}\r\n", body.len());
    }
    let mut request = head.into_bytes();
    for (name, value) in lines {
        request.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    stream.write_all(&[&request, &b"\r\n"[..], body].concat())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let mut whole = None;
    // To the end of the connection; not every server closes one when it is told to.
    while whole.is_none_or(|length| answer.len() < length) {
        match stream.read(&mut buffer)? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
        whole = whole.or_else(|| length(&answer));
    }
    read(&answer).ok_or_else(|| {
        std::io::Error::other(format!("half of an answer: {}", answer.escape_ascii()))
    })
}

/// How long an answer is, header and body, if it says so.
fn length(answer: &[u8]) -> Option<usize> {
    let reply = read(answer)?;
    let content: usize = reply.field("content-length")?.parse().ok()?;
    Some(answer.len() - reply.body.len() + content)
}

fn read(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (&answer[..end], &answer[end + 4..]);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.get(9..12)?.parse().ok()?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields: Vec<_> = fields
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Some(Reply {
        status,
        fields,
        body: body.to_vec(),
    })
}
