//! The layer's own answers: alike whoever noticed, changeable by the application, and the same
//! reason in the extensions either way.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tower_conditional::policy::{CurrentResource, IfMatch};
use tower_conditional::problem::Reason;
use tower_conditional::report::{Report, Representation};
use tower_conditional::store::{Current, Version};
use tower_conditional::{ConditionalLayer, Policy};

use crate::support::{ScriptedStore, Seen, Site, ask, json, request};

const PATH: &str = "/notes/1";

fn site() -> Site {
    Site::new(&[(PATH, "old")])
}

fn layer(policy: Policy) -> ConditionalLayer {
    ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 7)).policy(policy)
}

async fn stale(layer: &ConditionalLayer, headers: &[(&str, &str)]) -> Seen {
    let mut all = vec![("if-match", r#""5""#)];
    all.extend(headers);
    ask(layer, &site(), request("PUT", PATH, &all, "new")).await
}

#[tokio::test]
async fn a_stale_write_is_told_what_it_expected_and_what_is_current() {
    let seen = stale(&layer(Policy::aip154()), &[("x-request-id", "r-1")]).await;
    assert_eq!(
        seen.body,
        concat!(
            r#"{"type":"/problems/version-mismatch","title":"Version Mismatch","status":409,"#,
            r#""detail":"If-Match version 5 does not match current version 7.","#,
            r#""traceId":"r-1"}"#
        )
    );
    assert_eq!(seen.etag(), Some(r#""7""#));
    assert_eq!(
        seen.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(seen.header("cache-control"), Some("no-store"));
    assert_eq!(seen.extensions.get(), Some(&Reason::Stale));
}

#[tokio::test]
async fn the_detail_quotes_what_was_sent() {
    for (sent, quoted) in [
        (r#""abc""#, "version abc"),
        (r#""05""#, "version 05"),
        (r#"W/"5""#, r#"version W/"5""#),
        (r#""4", "5""#, "version 4, 5"),
    ] {
        let write = request("PUT", PATH, &[("if-match", sent)], "new");
        let seen = ask(&layer(Policy::aip154()), &site(), write).await;
        let detail = format!("If-Match {quoted} does not match current version 7.");
        assert_eq!(json(&seen.body)["detail"], detail);
    }
}

#[tokio::test]
async fn the_trace_id_is_the_requests_own_if_it_can_be_read() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let layer = layer(Policy::rfc9110());
    for (headers, id) in [
        (
            &[("x-request-id", "r-1"), ("traceparent", PARENT)][..],
            "r-1",
        ),
        (&[("traceparent", PARENT)], TRACE),
        (&[("x-request-id", " "), ("traceparent", PARENT)], TRACE),
    ] {
        assert_eq!(json(&stale(&layer, headers).await.body)["traceId"], id);
    }
    let mut generated = Vec::new();
    for headers in [&[][..], &[("traceparent", "00-zz")]] {
        let body = json(&stale(&layer, headers).await.body);
        generated.push(body["traceId"].as_str().unwrap().to_owned());
    }
    assert!(generated.iter().all(|id| id.len() == 32), "{generated:?}");
    assert_ne!(generated[0], generated[1]);
}

#[tokio::test]
async fn problem_types_start_as_the_policy_says() {
    let policy = Policy::aip154().problem_base("https://errors.example/");
    let seen = stale(&layer(policy), &[]).await;
    assert_eq!(seen.problem(), "https://errors.example/version-mismatch");
}

#[tokio::test]
async fn an_application_can_write_the_answers_itself() {
    let policy = Policy::rfc9110().render(|problem| {
        let body = format!("{:?} {}", problem.reason(), problem.trace_id());
        Response::builder()
            .status(StatusCode::IM_A_TEAPOT)
            .header("content-type", "text/plain")
            .header("cache-control", "public")
            .body(Bytes::from(body))
            .unwrap()
    });
    let seen = stale(&layer(policy), &[("x-request-id", "r-1")]).await;
    assert_eq!(
        (seen.status, &seen.body[..]),
        (418, &b"Some(Stale) r-1"[..])
    );
    assert_eq!(seen.header("content-type"), Some("text/plain"));
    // What no body can change: it must not be cached, it says what is current and why.
    assert_eq!(seen.header("cache-control"), Some("no-store"));
    assert_eq!(seen.headers.get_all("cache-control").iter().count(), 1);
    assert_eq!(seen.etag(), Some(r#""7""#));
    assert_eq!(seen.reason(), Some(Reason::Stale));
}

const MODIFIED: Duration = Duration::from_secs(946_684_800);

/// Conditions that are false of version 7, modified in 2000.
const FALSE: [&[(&str, &str)]; 6] = [
    &[("if-match", r#""5""#)],
    &[("if-match", r#"W/"7""#)],
    &[("if-none-match", "*")],
    &[("if-none-match", r#""7""#)],
    &[("if-match", r#""7""#), ("if-none-match", "*")],
    &[("if-unmodified-since", "Fri, 01 Jan 1999 00:00:00 GMT")],
];

/// A handler that sees the conflict itself, when the layer saw none.
fn seeing_a_conflict() -> Site {
    Site::marking(&[(PATH, "old")], |_, response| {
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        let field = HeaderValue::from_static("of the handler");
        response.headers_mut().insert("x-own", field);
        let current = Current::new(Version::from(7)).modified(UNIX_EPOCH + MODIFIED);
        let current = Some(Representation::json(current, "{}"));
        response
            .extensions_mut()
            .insert(Report::Conflict { current });
    })
}

#[tokio::test]
async fn a_late_conflict_has_the_answer_of_an_early_one() {
    let optional = [Policy::rfc9110(), Policy::aip154()].map(|policy| {
        policy
            .if_match(IfMatch::Optional)
            .current_resource(CurrentResource::Omit)
    });
    for policy in optional {
        for conditions in FALSE {
            let store = ScriptedStore::at_once()
                .present(PATH, 7)
                .modified(PATH, UNIX_EPOCH + MODIFIED);
            let mut headers = conditions.to_vec();
            headers.push(("x-request-id", "r-1"));
            let ask = async |layer: ConditionalLayer, site: &Site| {
                let layer = layer.policy(policy.clone());
                ask(&layer, site, request("PUT", PATH, &headers, "new")).await
            };
            let early_site = site();
            let early = ask(ConditionalLayer::new(store), &early_site).await;
            assert!([409, 412].contains(&early.status), "{conditions:?}");
            assert!(early_site.calls().is_empty(), "the handler ran");

            let late = ask(ConditionalLayer::handler(), &seeing_a_conflict()).await;
            assert_alike(&early, &late, conditions);
        }
    }
}

#[tokio::test]
async fn a_conflict_that_a_guarded_handler_reports_has_the_answer_of_an_early_one() {
    // The row moved behind the layer's back: its store still believes in version 5.
    let store = ScriptedStore::later().present(PATH, 5);
    let policy = Policy::aip154().current_resource(CurrentResource::Omit);
    let late = ConditionalLayer::new(store.clone()).policy(policy);
    let headers = [("if-match", r#""5""#), ("x-request-id", "r-1")];
    let write = || request("PUT", PATH, &headers, "new");
    let late = ask(&late, &seeing_a_conflict(), write()).await;
    let early = ask(&layer(Policy::aip154()), &site(), write()).await;
    assert_alike(&early, &late, &headers);
    assert_eq!((store.version(PATH), store.claims()), (Some(5), 0));
}

#[tokio::test]
async fn a_conflict_never_says_that_a_version_does_not_match_itself() {
    for sent in [r#""7""#, "*"] {
        let write = request("PUT", PATH, &[("if-match", sent)], "new");
        let seen = ask(&ConditionalLayer::handler(), &seeing_a_conflict(), write).await;
        assert_eq!((seen.status, seen.etag()), (412, None));
        let detail = json(&seen.body)["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.ends_with("does not match the current version."),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn a_conflict_without_a_current_representation_says_no_more_than_it_knows() {
    let site = Site::marking(&[], |_, response| {
        let conflict = Report::Conflict { current: None };
        response.extensions_mut().insert(conflict);
    });
    for (field, sent, reason) in [
        ("if-match", r#""5""#, Reason::Stale),
        ("if-none-match", "*", Reason::Exists),
    ] {
        let write = request("PUT", PATH, &[(field, sent)], "new");
        let seen = ask(&ConditionalLayer::handler(), &site, write).await;
        assert_eq!((seen.status, seen.etag()), (412, None));
        assert_eq!(seen.reason(), Some(reason));
    }
}

#[track_caller]
fn assert_alike(early: &Seen, late: &Seen, conditions: &[(&str, &str)]) {
    assert_eq!(late.status, early.status, "{conditions:?}");
    assert_eq!(late.headers, early.headers, "{conditions:?}");
    assert_eq!(late.body, early.body, "{conditions:?}");
    assert_eq!(late.reason(), early.reason(), "{conditions:?}");
    assert_eq!(late.extensions.get::<Report>(), None, "{conditions:?}");
}

/// The handler does not run, what it would have written is not there, and the header holds no more
/// than it has to: nothing of the request's own, whose map of fields is used again.
#[tokio::test]
async fn without_documents_the_status_and_the_header_say_it_all() {
    let layer = layer(Policy::aip154().without_documents());
    let none = &[][..];
    for (method, headers, status, tag, reason) in [
        (
            "PUT",
            &[("if-match", r#""5""#)][..],
            409,
            Some(r#""7""#),
            Reason::Stale,
        ),
        ("PUT", none, 400, None, Reason::Missing),
        (
            "PUT",
            &[("if-match", "5")],
            400,
            None,
            Reason::MalformedIfMatch,
        ),
        (
            "PUT",
            &[("if-none-match", "*")],
            412,
            Some(r#""7""#),
            Reason::Exists,
        ),
        (
            "GET",
            &[("if-match", r#""5""#)],
            409,
            Some(r#""7""#),
            Reason::Stale,
        ),
    ] {
        let site = site();
        let mut all = vec![("x-request-id", "r-1"), ("accept", "*/*")];
        all.extend(headers);
        let seen = ask(&layer, &site, request(method, PATH, &all, "new")).await;
        assert_eq!((seen.status, seen.etag()), (status, tag), "{reason:?}");
        assert_eq!(seen.reason(), Some(reason));
        assert!(seen.body.is_empty(), "{reason:?}");
        assert!(seen.extensions.get::<Reason>().is_none(), "{reason:?}");
        let mut names: Vec<_> = seen.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let expected = match tag {
            Some(_) => &["cache-control", "etag"][..],
            None => &["cache-control"],
        };
        assert_eq!(names, expected, "{reason:?}");
        assert_eq!(site.calls().len(), 0, "the handler ran: {reason:?}");
    }
}
