//! What happened, held against what a vector expects.

use std::fmt;

use http::{HeaderMap, StatusCode};

use crate::vector::{Lines, Vector};

/// What a vector got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The fields that the handler saw, for each time that it ran.
    pub(crate) calls: Vec<HeaderMap>,
}

impl Got {
    /// The handler ran where it must not.
    pub(crate) fn is_fail_open(&self, vector: &Vector) -> bool {
        vector.expect.handler_ran == Some(false) && !self.calls.is_empty()
    }

    /// What is wrong; nothing, if the vector passes.
    pub(crate) fn complaints(&self, vector: &Vector) -> Vec<String> {
        let expect = &vector.expect;
        let mut complaints = Vec::new();
        let mut check = |right: bool, wrong: String| {
            if !right {
                complaints.push(wrong);
            }
        };

        let recommended = self.status == expect.status;
        check(
            recommended || expect.also_ok.contains(&self.status),
            format!("status {}", self.status.as_u16()),
        );
        if let Some(expected) = expect.handler_ran {
            let calls = self.calls.len();
            check(
                calls == usize::from(expected),
                format!("the handler ran {calls} times"),
            );
        }
        let tags: Vec<_> = self.headers.get_all("etag").iter().collect();
        for forbidden in &expect.etag_forbidden {
            let sent = tags.iter().any(|tag| tag.as_bytes() == forbidden);
            check(!sent, format!("etag {}", shown(forbidden)));
        }
        match (expect.range_removed, self.calls.first()) {
            (Some(true), Some(seen)) => check(
                !seen.contains_key("range") || self.status == StatusCode::OK,
                "the handler saw the range".to_owned(),
            ),
            (Some(false), seen) => check(
                seen.is_some_and(|seen| seen.contains_key("range")),
                "the handler did not see the range".to_owned(),
            ),
            _ => {}
        }
        // The rest describes the recommended answer.
        if !recommended {
            return complaints;
        }
        if let Some(expected) = &expect.etag {
            let right = match (expected, tags.as_slice()) {
                (None, []) => true,
                (Some(expected), [tag]) => tag.as_bytes() == expected,
                _ => false,
            };
            check(right, format!("etag {tags:?}"));
        }
        check(
            !expect.body_empty || self.body.is_empty(),
            format!("a body of {} bytes", self.body.len()),
        );
        for (name, value) in &expect.headers_present {
            let right = self
                .joined(name)
                .is_some_and(|joined| value == b"*" || joined == *value);
            check(right, format!("{name} is not {}", shown(value)));
        }
        for (name, part) in &expect.headers_contain {
            let right = self
                .joined(name)
                .is_some_and(|joined| contains(&joined, part));
            check(right, format!("{name} without {}", shown(part)));
        }
        for name in &expect.headers_absent {
            check(!self.headers.contains_key(name), format!("{name} is there"));
        }
        for (name, value) in &expect.headers_forbidden {
            let mut lines = self.headers.get_all(name).iter();
            let right = lines.all(|line| line.as_bytes() != value);
            check(right, format!("{name} is {}", shown(value)));
        }
        complaints
    }

    /// All lines of a field as one value.
    fn joined(&self, name: &str) -> Option<Vec<u8>> {
        let lines: Vec<_> = self.headers.get_all(name).iter().collect();
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        (!lines.is_empty()).then(|| lines.join(&b", "[..]))
    }
}

fn contains(joined: &[u8], part: &[u8]) -> bool {
    joined
        .windows(part.len().max(1))
        .any(|window| window == part)
}

/// Request, expected and got, as they stand below a failure.
pub(crate) struct Report<'a> {
    pub(crate) vector: &'a Vector,
    pub(crate) got: &'a Got,
    pub(crate) complaints: &'a [String],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            vector,
            got,
            complaints,
        } = self;
        let expect = &vector.expect;
        let statuses: Vec<_> = std::iter::once(&expect.status)
            .chain(&expect.also_ok)
            .map(StatusCode::as_str)
            .collect();
        let ran = match expect.handler_ran {
            None => "may run",
            Some(false) => "must not run",
            Some(true) => "runs once",
        };
        let etag = expect.etag.as_ref().map(|tag| match tag {
            None => "no etag".to_owned(),
            Some(tag) => format!("etag {}", shown(tag)),
        });
        writeln!(
            f,
            "  request:  {} {}",
            vector.method,
            printed(&vector.lines)
        )?;
        writeln!(f, "  resource: {:?}", vector.before)?;
        writeln!(
            f,
            "  expected: {}, the handler {ran}, {}",
            statuses.join(" or "),
            etag.as_deref().unwrap_or("any etag")
        )?;
        writeln!(
            f,
            "  got:      {}, the handler ran {} times, {:?}",
            got.status.as_u16(),
            got.calls.len(),
            got.headers
        )?;
        write!(f, "  wrong:    {}", complaints.join("; "))
    }
}

/// Bytes as text, with the quotes of entity-tags as they are.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\\"", "\"")
}

fn printed(lines: &Lines) -> String {
    let lines = lines
        .iter()
        .map(|(name, value)| format!("[{name}: {}]", shown(value)));
    lines.collect::<Vec<_>>().join(" ")
}
