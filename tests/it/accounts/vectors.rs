//! The conformance vectors over TCP against `accounts`, as far as they apply: its tags are its own,
//! so that of an account stands in for the tag that a vector speaks of, and whether a handler ran
//! shows in what became of the account.

use std::time::UNIX_EPOCH;

use http::header::{IF_MODIFIED_SINCE, IF_RANGE, IF_UNMODIFIED_SINCE};
use sqlx::{Connection, SqliteConnection};
use tower_conditional::store::State;

use self::vector::Vector;
use crate::support::client::{Reply, send, try_send_bytes};
use crate::support::service::Service;

#[allow(dead_code, reason = "the conformance tests need more of it")]
#[path = "../../conformance/vector.rs"]
mod vector;

#[test]
fn the_vectors_hold_over_tcp_where_they_apply() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let vectors = vector::read_all(folder.as_ref());
    let service = Service::on_sqlite("accounts", 1, &[]);
    let mut complaints = Vec::new();
    let mut count = 0;
    for vector in vectors.iter().filter(|vector| applies(vector)) {
        count += 1;
        if let Err(complaint) = check(&service, vector, count) {
            complaints.push(format!("{} {}: {complaint}", vector.id, vector.strictness));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(count > 120, "only {count} apply");
}

fn applies(vector: &Vector) -> bool {
    let is_there = match &vector.before {
        State::Absent => false,
        State::Present(current) if !current.weak => match &current.version {
            Some(version) if !version.as_bytes().is_empty() => {
                // An account always has a date.
                let dates = [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];
                let asks = |(name, _): &(String, _)| dates.iter().any(|date| date == name.as_str());
                if current.last_modified.is_none() && vector.lines.iter().any(asks) {
                    return false;
                }
                true
            }
            _ => return false,
        },
        _ => return false,
    };
    let method = vector.method.as_str();
    let statuses: &[u16] = match (is_there, method) {
        (true, "GET" | "HEAD" | "PUT" | "PATCH") | (false, "PUT") => &[200, 201, 204],
        (true, "DELETE") => &[200, 204],
        (false, "GET" | "HEAD" | "PATCH" | "DELETE") => &[404],
        _ => return false,
    };
    statuses.contains(&vector.handler.status.as_u16())
        && vector.handler.headers.is_empty()
        && !vector.handler.honours_range
        && vector.outer_status.is_none()
        && !vector.route.required
        && vector.route.conflict_status == 412
        && !vector.needs.iter().any(|need| need == "replay-detection")
}

/// Runs one vector on an account of its own.
fn check(service: &Service, vector: &Vector, number: usize) -> Result<(), String> {
    let path = format!("/accounts/6b1f0a52-7d0e-4c53-9a59-{number:012}");
    let tag = prepare(service, vector, &path);
    let get = || service.send("GET", &path, &[], "");
    let before = get();

    let lines = vector.lines.iter().map(|(name, value)| {
        let value = match (&tag, &vector.before) {
            (Some(tag), State::Present(current)) => {
                let version = current
                    .version
                    .as_ref()
                    .map_or(&b""[..], |it| it.as_bytes());
                replace(value, &[b"\"", version, b"\""].concat(), tag.as_bytes())
            }
            _ => value.clone(),
        };
        (name.as_str(), value)
    });
    let mut lines: Vec<_> = lines.collect();
    if !vector.body.is_empty() {
        lines.retain(|(name, _)| *name != "content-type");
        lines.push(("content-type", b"application/json".to_vec()));
    }
    let lines: Vec<_> = lines
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let body = if vector.body.is_empty() {
        ""
    } else {
        r#"{"note":"changed"}"#
    };
    let method = vector.method.as_str();
    let got = try_send_bytes(service.url(0), method, &path, &lines, body.as_bytes());
    let got = got.map_err(|error| error.to_string())?;
    let after = get();

    let wanted = [&[vector.expect.status], &*vector.expect.also_ok].concat();
    if !wanted
        .iter()
        .any(|status| class(status.as_u16()) == class(got.status))
    {
        return Err(format!("{}, not {wanted:?}", got.status));
    }
    let changed = (before.status, before.field("etag")) != (after.status, after.field("etag"));
    match vector.expect.handler_ran {
        Some(false) if changed => return Err("it was written to".to_owned()),
        // A handler that says 404 leaves no trace.
        Some(true)
            if !changed
                && (tag.is_some() || method == "PUT")
                && !["GET", "HEAD"].contains(&method) =>
        {
            return Err("it was not written to".to_owned());
        }
        _ => {}
    }
    if vector.expect.body_empty && !got.body.is_empty() {
        return Err(format!("{} bytes of content", got.body.len()));
    }
    check_tag(vector, &got, &after)
}

/// Brings about the state that the vector starts from: the tag of what is there.
fn prepare(service: &Service, vector: &Vector, path: &str) -> Option<String> {
    let State::Present(current) = &vector.before else {
        return None;
    };
    let json = [("content-type", "application/json")];
    let created = send(service.url(0), "PUT", path, &json, br#"{"note":"first"}"#).expect(201);
    if let Some(modified) = current.last_modified {
        let since_1970 = modified
            .duration_since(UNIX_EPOCH)
            .expect("later than that");
        let millis = i64::try_from(since_1970.as_millis()).expect("sooner than that");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        runtime.block_on(async {
            let mut connection = SqliteConnection::connect(&service.database_url)
                .await
                .expect("the file is there");
            sqlx::query("UPDATE accounts SET modified = $1 WHERE id = $2")
                .bind(millis)
                .bind(path.trim_start_matches("/accounts/"))
                .execute(&mut connection)
                .await
                .expect("the row is there");
        });
    }
    Some(created.etag())
}

fn check_tag(vector: &Vector, got: &Reply, after: &Reply) -> Result<(), String> {
    // The rest describes the recommended answer.
    if class(got.status) != class(vector.expect.status.as_u16()) {
        return Ok(());
    }
    match (&vector.expect.etag, got.field("etag")) {
        (Some(None), Some(tag)) => Err(format!("a tag: {tag}")),
        (Some(Some(_)), None) => Err("no tag".to_owned()),
        // Of a write the new one, of anything else the old one: that which is current.
        (Some(Some(_)), sent) if sent != after.field("etag") => Err(format!("tag {sent:?}")),
        _ => Ok(()),
    }
}

/// What a handler answers a success with is its own business.
fn class(status: u16) -> u16 {
    if [201, 204].contains(&status) {
        200
    } else {
        status
    }
}

fn replace(value: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}
