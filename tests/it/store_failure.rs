//! A store that fails: writes and reads that depend on it are 503, plain reads go on untagged, and
//! what was claimed is settled or abandoned.

use tower_conditional::problem::Reason;
use tower_conditional::{ConditionalLayer, Policy};

use crate::support::{Failure, ScriptedStore, Seen, Site, Step, ask, request};

const PATH: &str = "/notes/1";
const FAILURES: [Failure; 2] = [Failure::NotApplied, Failure::Unknown];

fn stores() -> [ScriptedStore; 2] {
    [ScriptedStore::at_once(), ScriptedStore::later()].map(|store| store.present(PATH, 5))
}

fn site() -> Site {
    Site::new(&[(PATH, "old")])
}

#[track_caller]
fn assert_unavailable(seen: &Seen) {
    assert_eq!(seen.status, 503);
    assert_eq!(seen.problem(), "/problems/store-unavailable");
    assert_eq!(seen.reason(), Some(Reason::StoreUnavailable));
    assert_eq!(seen.header("retry-after"), Some("1"));
    assert_eq!(seen.header("cache-control"), Some("no-store"));
    assert_eq!(seen.etag(), None);
}

#[tokio::test]
async fn a_write_is_503_and_its_handler_does_not_run() {
    for step in [Step::Current, Step::Claim] {
        for failure in FAILURES {
            for store in stores() {
                let store = store.failing(Step::Claim, failure).failing(step, failure);
                let site = site();
                let layer = ConditionalLayer::new(store.clone());
                for (method, headers) in [
                    ("PUT", &[("if-match", r#""5""#)][..]),
                    ("PUT", &[("if-match", r#""4""#), ("x", "y")]),
                    ("DELETE", &[("if-match", "*")]),
                    ("PUT", &[("if-none-match", "*")]),
                    ("POST", &[]),
                ] {
                    // What is known to be stale may be said so; what cannot be known is 503.
                    let known = step == Step::Claim;
                    let stale = known && headers[..].iter().any(|(_, value)| *value == r#""4""#);
                    let exists = known && headers.iter().any(|(name, _)| *name == "if-none-match");
                    let seen = ask(&layer, &site, request(method, PATH, headers, "new")).await;
                    if (stale || exists) && seen.status == 412 {
                        continue;
                    }
                    assert_unavailable(&seen);
                }
                assert!(site.calls().is_empty(), "the handler ran");
                assert_eq!(store.version(PATH), Some(5));
            }
        }
    }
}

#[tokio::test]
async fn a_long_upload_is_503_before_it_is_read() {
    for store in stores() {
        let layer = ConditionalLayer::new(store.failing(Step::Current, Failure::NotApplied));
        let (_frames, body) = crate::support::Frames::channel();
        let service = tower::Layer::layer(&layer, site().service());
        let write = request("PUT", PATH, &[("if-match", r#""5""#)], "").map(|_| body);
        let answer = tower::ServiceExt::oneshot(service, write);
        let answer = crate::support::in_time(answer).await.unwrap();
        assert_unavailable(&crate::support::see(answer).await);
    }
}

#[tokio::test]
async fn a_write_that_is_refused_anyway_needs_no_store() {
    for store in stores() {
        let layer = ConditionalLayer::new(store.failing(Step::Current, Failure::NotApplied));
        let seen = ask(&layer, &site(), request("PUT", PATH, &[], "new")).await;
        assert_eq!(seen.status, 428);
    }
}

#[tokio::test]
async fn a_read_that_depends_on_the_version_is_503() {
    for failure in FAILURES {
        for store in stores() {
            let site = site();
            let layer = ConditionalLayer::new(store.failing(Step::Current, failure));
            for headers in [
                ("if-match", r#""5""#),
                ("if-match", "nonsense"),
                ("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT"),
            ] {
                for method in ["GET", "HEAD"] {
                    let seen = ask(&layer, &site, request(method, PATH, &[headers], "")).await;
                    assert_unavailable(&seen);
                }
            }
            assert!(site.calls().is_empty(), "the handler ran");
        }
    }
}

#[tokio::test]
async fn a_plain_read_goes_on_untagged() {
    for failure in FAILURES {
        for store in stores() {
            let site = site();
            let layer = ConditionalLayer::new(store.failing(Step::Current, failure))
                .policy(Policy::rfc9110().cache_control("private").unwrap());
            for headers in [
                &[][..],
                &[("if-none-match", r#""5""#)],
                &[("if-none-match", "nonsense")],
                &[("if-modified-since", "Sat, 01 Jan 2000 00:00:00 GMT")],
            ] {
                let seen = ask(&layer, &site, request("GET", PATH, headers, "")).await;
                assert_eq!((seen.status, seen.etag()), (200, None), "{headers:?}");
                assert_eq!(&seen.body[..], b"old");
                assert_eq!(seen.header("cache-control"), Some("private"));
            }
            assert_eq!(site.calls().len(), 4);
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_after_the_handler_leaves_the_read_untagged() {
    for store in stores() {
        let failing = store.clone();
        let site = Site::marking(&[(PATH, "old")], move |_, _| {
            let _ = failing.clone().failing(Step::Current, Failure::Unknown);
        });
        let layer = ConditionalLayer::new(store);
        let seen = ask(&layer, &site, request("GET", PATH, &[], "")).await;
        assert_eq!((seen.status, seen.etag()), (200, None));
    }
}

#[tokio::test]
async fn a_handler_that_ran_keeps_its_answer_where_settling_fails() {
    for failure in FAILURES {
        for store in stores() {
            let store = store.failing(Step::Settle, failure);
            let site = site();
            let layer = ConditionalLayer::new(store.clone());
            let write = request("PUT", PATH, &[("if-match", r#""5""#)], "new");
            let seen = ask(&layer, &site, write).await;
            assert_eq!((seen.status, &seen.body[..]), (200, &b"new"[..]));
            // Nobody knows which version it made.
            assert_eq!(seen.etag(), None);
            assert_eq!((store.abandoned(), store.claims()), (1, 0));

            store.recover();
            let again = request("PUT", PATH, &[("if-match", r#""5""#)], "newer");
            assert_eq!(ask(&layer, &site, again).await.status, 412);
            assert_eq!(site.note(PATH).as_deref(), Some("new"));
        }
    }
}

#[tokio::test]
async fn a_write_that_outlived_its_claim_is_an_unknown_outcome() {
    for store in stores() {
        let store = store.failing(Step::Settle, Failure::Fenced);
        let layer = ConditionalLayer::new(store);
        let write = request("PUT", PATH, &[("if-match", r#""5""#)], "new");
        let seen = ask(&layer, &site(), write).await;
        assert_eq!(seen.status, 500);
        assert_eq!(seen.problem(), "/problems/outcome-unknown");
        assert_eq!(seen.reason(), Some(Reason::OutcomeUnknown));
        assert_eq!(seen.etag(), None);
    }
}

#[tokio::test]
async fn a_handler_that_panics_leaves_no_claim_and_no_old_tag() {
    for store in stores() {
        let site = Site::marking(&[(PATH, "old")], |method, _| {
            assert!(method == http::Method::GET, "a bug in the handler");
        });
        let layer = ConditionalLayer::new(store.clone());
        let write = request("PUT", PATH, &[("if-match", r#""5""#)], "new");
        let seen = ask(&layer, &site, write).await;
        assert_eq!(seen.problem(), "/problems/outcome-unknown");
        assert_eq!((store.abandoned(), store.claims()), (1, 0));
        assert_eq!(store.version(PATH), Some(6));
    }
}
