//! What a compressing proxy makes of a tag, and what each policy makes of that.

use std::process::Command;

use super::notes::{Notes, long};
use super::servers::Proxy;
use crate::support::Threaded;
use crate::support::client::{Reply, send};
use crate::support::folder::Folder;

/// Each proxy in front of a service of its own.
fn on_each(test: impl Fn(&Proxy, &Notes)) {
    for start in [Proxy::compressing_nginx, Proxy::compressing_apache] {
        let notes = Notes::default();
        let service = Threaded::start(notes.app());
        if let Some(proxy) = start(&service.url) {
            test(&proxy, &notes);
        }
    }
}

/// A read as browsers make it.
#[track_caller]
fn compressed(proxy: &Proxy, path: &str) -> Reply {
    let reply = send(&proxy.url, "GET", path, &[("accept-encoding", "gzip")], b"").expect(200);
    assert_eq!(
        reply.field("content-encoding"),
        Some("gzip"),
        "{}",
        proxy.name
    );
    reply
}

#[test]
fn a_proxy_that_compresses_marks_the_tag() {
    on_each(|proxy, _| {
        let plain = send(&proxy.url, "GET", "/strict", &[], b"")
            .expect(200)
            .etag();
        let marked = match proxy.name {
            "nginx" => format!("W/{plain}"),
            _ => format!("{}-gzip\"", plain.trim_end_matches('"')),
        };
        assert_eq!(
            compressed(proxy, "/strict").etag(),
            marked,
            "{}",
            proxy.name
        );
    });
}

#[test]
fn a_write_with_the_tag_that_the_client_was_given_succeeds_if_the_policy_is_tolerant() {
    on_each(|proxy, notes| {
        let given = compressed(proxy, "/tolerant").etag();
        let fields = [("if-match", &*given)];
        let text = long("second");
        send(&proxy.url, "PUT", "/tolerant", &fields, text.as_bytes()).expect(204);
        assert_eq!(notes.text("/tolerant"), Some(text));
        // Tolerant of marks, not of time.
        let stale = send(&proxy.url, "PUT", "/tolerant", &fields, b"third");
        stale.expect_problem(412, "precondition-failed");
        assert_eq!(notes.writes(), 1, "{}", proxy.name);
    });
}

#[test]
fn a_write_with_the_tag_that_the_client_was_given_fails_closed_if_the_policy_is_strict() {
    on_each(|proxy, notes| {
        let given = compressed(proxy, "/strict").etag();
        let refused = send(
            &proxy.url,
            "PUT",
            "/strict",
            &[("if-match", &given)],
            b"second",
        );
        let refused = refused.expect_problem(412, "precondition-failed");
        assert_eq!(notes.text("/strict"), Some(long("first")));
        assert_eq!(notes.writes(), 0, "{}", proxy.name);
        // The way out: refusals are not compressed here, so the tag in them is the real one.
        let fields = [("if-match", &*refused.etag())];
        send(&proxy.url, "PUT", "/strict", &fields, b"second").expect(204);
    });
}

#[test]
fn an_unchanged_read_is_304_where_the_mark_can_be_seen_through() {
    on_each(|proxy, _| {
        for (path, status) in [
            ("/tolerant", 304),
            // A weak tag matches a read under every policy; a suffix makes another tag.
            ("/strict", if proxy.name == "nginx" { 304 } else { 200 }),
        ] {
            let given = compressed(proxy, path).etag();
            let fields = [("if-none-match", &*given), ("accept-encoding", "gzip")];
            let again = send(&proxy.url, "GET", path, &fields, b"");
            assert_eq!(again.status, status, "{} {path}", proxy.name);
        }
    });
}

#[test]
fn curl_keeps_a_tag_and_compares_it() {
    on_each(|proxy, notes| {
        let folder = Folder::new();
        let url = format!("{}/tolerant", proxy.url);
        let curl = |arguments: &[&str]| {
            let output = Command::new("curl")
                .args([
                    "--silent",
                    "--show-error",
                    "--compressed",
                    "--write-out",
                    "\n%{http_code}",
                ])
                .args(arguments)
                .arg(&url)
                .current_dir(folder.path())
                .output()
                .expect("curl is installed");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let (body, status) = text.rsplit_once('\n').expect("a status");
            (status.to_owned(), body.to_owned())
        };
        let read = curl(&["--etag-save", "tag"]);
        assert_eq!(read, ("200".to_owned(), long("first")), "{}", proxy.name);
        let unchanged = curl(&["--etag-compare", "tag"]);
        assert_eq!(
            unchanged,
            ("304".to_owned(), String::new()),
            "{}",
            proxy.name
        );
        let tag = std::fs::read_to_string(folder.path().join("tag")).expect("curl wrote it");
        let condition = format!("If-Match: {}", tag.trim());
        for status in ["204", "412"] {
            let (written, _) = curl(&["-X", "PUT", "-H", &condition, "-d", "second"]);
            assert_eq!(written, status, "{}", proxy.name);
        }
        assert_eq!(notes.writes(), 1);
        let (changed, text) = curl(&["--etag-compare", "tag"]);
        assert_eq!((&*changed, &*text), ("200", "second"), "{}", proxy.name);
    });
}
