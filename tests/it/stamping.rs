//! A write is stamped with the version that this write made, and with nothing else; what is not the
//! representation of the resource is not stamped at all.

use http::{HeaderValue, Method, StatusCode};
use tower_conditional::problem::Reason;
use tower_conditional::report::{Report, Untagged};
use tower_conditional::store::{Current, Outcome, Version};
use tower_conditional::{ConditionalLayer, Policy};

use crate::support::{ScriptedStore, Seen, Site, ask, request};

const PATH: &str = "/notes/1";

fn stores() -> [ScriptedStore; 2] {
    [ScriptedStore::at_once(), ScriptedStore::later()].map(|store| store.present(PATH, 5))
}

fn wrote(version: u64) -> Report {
    Report::Wrote(Current::new(Version::from(version)))
}

async fn write(layer: &ConditionalLayer, site: &Site, method: &str) -> Seen {
    let write = request(method, PATH, &[("if-match", r#""5""#)], "new");
    ask(layer, site, write).await
}

/// A handler whose every answer has this status and carries this report.
fn answering(status: u16, report: Option<Report>) -> Site {
    Site::marking(&[(PATH, "old")], move |_, response| {
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(report) = &report {
            response.extensions_mut().insert(report.clone());
        }
    })
}

#[tokio::test]
async fn a_write_is_stamped_with_its_own_version_even_if_the_next_one_follows_at_once() {
    for store in stores() {
        let layer = ConditionalLayer::new(store.clone().chased());
        let seen = write(&layer, &Site::new(&[(PATH, "old")]), "PUT").await;
        assert_eq!((seen.status, seen.etag()), (200, Some(r#""6""#)));
        assert_eq!(store.version(PATH), Some(7));
    }
}

#[tokio::test]
async fn what_is_stamped_depends_on_method_and_status() {
    for (method, status, tag, version) in [
        ("PUT", 200, true, Some(6)),
        ("PUT", 201, true, Some(6)),
        ("PUT", 204, true, Some(6)),
        ("PATCH", 200, true, Some(6)),
        ("POST", 200, true, Some(6)),
        ("POST", 204, true, Some(6)),
        // The 201 of a POST is about another resource.
        ("POST", 201, false, Some(6)),
        ("DELETE", 200, false, None),
        ("DELETE", 204, false, None),
        ("PUT", 202, false, Some(6)),
        ("DELETE", 202, false, Some(6)),
        ("PUT", 303, false, Some(6)),
        ("PUT", 307, false, Some(6)),
        ("PUT", 400, false, Some(5)),
        ("PUT", 404, false, Some(5)),
        ("PUT", 409, false, Some(5)),
        ("PUT", 412, false, Some(5)),
        ("PUT", 500, false, Some(6)),
        ("PUT", 503, false, Some(6)),
    ] {
        for store in stores() {
            let layer = ConditionalLayer::new(store.clone());
            let seen = write(&layer, &answering(status, None), method).await;
            let tag = tag.then_some(r#""6""#);
            assert_eq!((seen.status, seen.etag()), (status, tag), "{method}");
            assert_eq!(
                seen.reason(),
                None,
                "{method} {status}: the handler's own answer"
            );
            assert_eq!(store.version(PATH), version, "{method} {status}");
            assert_eq!((store.claims(), store.abandoned()), (0, 0));
        }
    }
}

#[tokio::test]
async fn a_handlers_own_tag_wins() {
    let site = Site::marking(&[(PATH, "old")], |_, response| {
        let own = HeaderValue::from_static(r#""own""#);
        response.headers_mut().insert("etag", own);
    });
    for store in stores() {
        let layer = ConditionalLayer::new(store);
        assert_eq!(write(&layer, &site, "PUT").await.etag(), Some(r#""own""#));
    }
}

#[tokio::test]
async fn a_reported_version_wins() {
    for store in stores() {
        let layer = ConditionalLayer::new(store.clone());
        let seen = write(&layer, &answering(200, Some(wrote(9))), "PUT").await;
        assert_eq!((seen.status, seen.etag()), (200, Some(r#""9""#)));
        assert_eq!(seen.extensions.get::<Report>(), None);
        assert_eq!(store.version(PATH), Some(6), "and the write is settled");
    }
}

#[tokio::test]
async fn an_untagged_write_stays_untagged() {
    let site = Site::marking(&[(PATH, "old")], |_, response| {
        response.extensions_mut().insert(Untagged);
        response.extensions_mut().insert(wrote(6));
    });
    for layer in [
        ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 5)),
        ConditionalLayer::handler(),
    ] {
        let seen = write(&layer, &site, "PUT").await;
        assert_eq!((seen.status, seen.etag()), (200, None));
    }
}

#[tokio::test]
async fn a_report_says_what_became_of_the_resource_whatever_the_status() {
    for (report, status, version, tag) in [
        (Report::Unchanged, 200, Some(5), Some(r#""5""#)),
        (Report::Deleted, 200, None, None),
        (wrote(6), 404, Some(6), None),
        (Report::Unchanged, 500, Some(5), None),
    ] {
        for store in stores() {
            let layer = ConditionalLayer::new(store.clone());
            let site = answering(status, Some(report.clone()));
            let seen = write(&layer, &site, "PUT").await;
            assert_eq!((seen.status, seen.etag()), (status, tag), "{report:?}");
            assert_eq!(store.version(PATH), version, "{report:?}");
            assert_eq!(store.is_absent(PATH), version.is_none(), "{report:?}");
        }
    }
}

#[tokio::test]
async fn the_policy_may_know_better_what_a_status_means() {
    let policy = Policy::rfc9110().outcome(|response| match response.status().as_u16() {
        200 => Outcome::Unchanged,
        _ => Outcome::Written,
    });
    for (status, version) in [(200, 5), (404, 6)] {
        for store in stores() {
            let layer = ConditionalLayer::new(store.clone()).policy(policy.clone());
            write(&layer, &answering(status, None), "PUT").await;
            assert_eq!(store.version(PATH), Some(version), "{status}");
        }
    }
}

#[tokio::test]
async fn in_handler_mode_the_reported_version_is_the_stamp() {
    for (method, status, tag) in [
        ("PUT", 200, true),
        ("PUT", 201, true),
        // The handler says which version it made, so it is that of what it created.
        ("POST", 201, true),
        ("PATCH", 204, true),
        ("PUT", 202, false),
        ("DELETE", 200, false),
        ("PUT", 303, false),
        ("PUT", 500, false),
    ] {
        let layer = ConditionalLayer::handler();
        let seen = write(&layer, &answering(status, Some(wrote(9))), method).await;
        let tag = tag.then_some(r#""9""#);
        assert_eq!((seen.status, seen.etag()), (status, tag), "{method}");
        assert_eq!(seen.extensions.get::<Report>(), None);
    }
}

#[tokio::test]
async fn a_handler_that_succeeds_without_a_word_of_versions_is_a_bug() {
    let silent = |status| answering(status, None);
    let read = |status| answering(status, Some(Report::Read(Current::new(Version::from(5)))));
    for (site, status) in [
        (silent(200), 500),
        (silent(201), 500),
        (silent(204), 500),
        (silent(303), 500),
        (read(200), 500),
        (silent(404), 404),
        (silent(503), 503),
        (answering(200, Some(Report::Deleted)), 200),
        (answering(200, Some(Report::Unchanged)), 200),
    ] {
        let seen = write(&ConditionalLayer::handler(), &site, "PUT").await;
        assert_eq!((seen.status, seen.etag()), (status, None));
        let enforced = seen.reason() != Some(Reason::NotEnforced);
        assert_eq!(enforced, seen.problem().is_empty());
        if status == 500 {
            assert_eq!(seen.problem(), "/problems/precondition-not-enforced");
            assert_eq!(seen.header("cache-control"), Some("no-store"));
        }
    }
}

#[tokio::test]
async fn a_handler_is_told_what_the_client_expects() {
    use tower_conditional::report::Expected;
    use tower_conditional::store::Condition;

    let versions = |tags: &[u64]| tags.iter().copied().map(Version::from).collect::<Vec<_>>();
    for (headers, if_match, if_none_match) in [
        (
            &[("if-match", r#""5", "6""#)][..],
            Condition::AnyOf(versions(&[5, 6])),
            Condition::Unconditional,
        ),
        (
            &[("if-match", r#"W/"5""#)],
            Condition::AnyOf(vec![]),
            Condition::Unconditional,
        ),
        (
            &[("if-match", "*")],
            Condition::Exists,
            Condition::Unconditional,
        ),
        (
            &[("if-none-match", "*")],
            Condition::Unconditional,
            Condition::Absent,
        ),
    ] {
        let (told, seen) = tokio::sync::watch::channel(None);
        let service = tower::service_fn(
            move |request: http::Request<tower_conditional::RequestBody<_>>| {
                told.send_replace(request.extensions().get::<Expected>().cloned());
                let _: http_body_util::Full<bytes::Bytes> = http_body_util::Full::default();
                async {
                    let body = http_body_util::Full::<bytes::Bytes>::default();
                    Ok::<_, std::convert::Infallible>(http::Response::new(body))
                }
            },
        );
        let service = tower::Layer::layer(&ConditionalLayer::handler(), service);
        let write = request(Method::PUT.as_str(), PATH, headers, "new");
        tower::ServiceExt::oneshot(service, write).await.unwrap();
        let expected = seen.borrow().clone().expect("the handler was told");
        assert_eq!(expected.if_match, if_match);
        assert_eq!(expected.if_none_match, if_none_match);
    }
}
