//! Reads: answered before the handler or after it, tagged only with a version that is certainly
//! that of the bytes, and alike whether they are 200 or 304.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::policy::Reads;
use tower_conditional::problem::Reason;
use tower_conditional::report::{Report, Untagged};
use tower_conditional::store::{Current, Intent, Version};
use tower_conditional::{ConditionalLayer, Policy, Reader, RequestBody};

use crate::support::{ScriptedStore, Seen, Site, ask, request, see};

const PATH: &str = "/notes/1";

fn stores() -> [ScriptedStore; 2] {
    [ScriptedStore::at_once(), ScriptedStore::later()]
}

fn site() -> Site {
    Site::new(&[(PATH, "text")])
}

/// A handler that tags its own answers.
fn tagged(tag: &'static str) -> Site {
    Site::marking(&[(PATH, "text")], move |_, response| {
        let tag = HeaderValue::from_static(tag);
        response.headers_mut().insert("etag", tag);
    })
}

async fn get(layer: &ConditionalLayer, site: &Site, headers: &[(&str, &str)]) -> Seen {
    ask(layer, site, request("GET", PATH, headers, "")).await
}

#[tokio::test]
async fn an_unchanged_read_does_not_reach_the_handler_unless_the_policy_says_so() {
    for store in stores() {
        let store = store.present(PATH, 5);
        for (reads, calls) in [(Reads::BeforeHandler, 0), (Reads::AfterHandler, 1)] {
            let layer = ConditionalLayer::new(store.clone()).policy(Policy::rfc9110().reads(reads));
            for (method, tag) in [
                ("GET", r#""5""#),
                ("HEAD", r#"W/"5""#),
                ("GET", r#""4", "5""#),
                ("GET", "*"),
            ] {
                let site = tagged(r#""5""#);
                let read = request(method, PATH, &[("if-none-match", tag)], "");
                let seen = ask(&layer, &site, read).await;
                assert_eq!((seen.status, seen.etag()), (304, Some(r#""5""#)), "{tag}");
                assert_eq!(seen.reason(), Some(Reason::NotModified));
                assert!(seen.body.is_empty());
                assert_eq!(site.calls().len(), calls, "{reads:?} {tag}");
            }
            let site = tagged(r#""5""#);
            let seen = get(&layer, &site, &[("if-none-match", r#""4""#)]).await;
            assert_eq!((seen.status, seen.etag()), (200, Some(r#""5""#)));
            assert_eq!(&seen.body[..], b"text");
        }
    }
}

#[tokio::test]
async fn a_read_that_wants_another_version_is_refused() {
    for (reads, calls) in [(Reads::BeforeHandler, 0), (Reads::AfterHandler, 1)] {
        let site = tagged(r#""5""#);
        let layer = ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 5))
            .policy(Policy::aip154().reads(reads));
        let seen = get(&layer, &site, &[("if-match", r#""4""#)]).await;
        assert_eq!(
            (seen.status, seen.problem().as_str()),
            (409, "/problems/version-mismatch")
        );
        assert_eq!(site.calls().len(), calls);
    }
}

#[tokio::test]
async fn a_304_carries_the_fields_of_the_200() {
    let policy = Policy::rfc9110()
        .cache_control("private, no-cache")
        .unwrap()
        .vary("accept")
        .unwrap()
        .vary("accept-language")
        .unwrap()
        .read_header(
            http::header::CONTENT_LOCATION,
            HeaderValue::from_static("/notes/1.en"),
        );
    let modified = UNIX_EPOCH + Duration::from_secs(946_684_800);
    for reads in [Reads::BeforeHandler, Reads::AfterHandler] {
        let site = tagged(r#""5""#);
        let store = ScriptedStore::at_once()
            .present(PATH, 5)
            .modified(PATH, modified);
        let layer = ConditionalLayer::new(store).policy(policy.clone().reads(reads));
        let fresh = get(&layer, &site, &[]).await;
        let same = get(&layer, &site, &[("if-none-match", r#""5""#)]).await;
        assert_eq!((fresh.status, same.status), (200, 304));
        assert_eq!(fresh.headers, same.headers, "{reads:?}");
        assert_eq!(fresh.header("cache-control"), Some("private, no-cache"));
        let vary: Vec<_> = fresh.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["accept", "accept-language"]);
        let date = (reads == Reads::BeforeHandler).then_some("Sat, 01 Jan 2000 00:00:00 GMT");
        assert_eq!(fresh.header("last-modified"), date);
    }
}

#[tokio::test]
async fn a_field_that_the_handler_sets_is_left_alone() {
    let site = Site::marking(&[(PATH, "text")], |_, response| {
        let own = HeaderValue::from_static("public");
        response.headers_mut().insert("cache-control", own);
    });
    let layer = ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 5))
        .policy(Policy::rfc9110().cache_control("private").unwrap());
    let seen = get(&layer, &site, &[]).await;
    assert_eq!(seen.headers.get_all("cache-control").iter().count(), 1);
    assert_eq!(seen.header("cache-control"), Some("public"));
}

#[tokio::test]
async fn errors_are_nobodys_representation() {
    for store in stores() {
        let layer = ConditionalLayer::new(store.present(PATH, 5))
            .policy(Policy::rfc9110().cache_control("private").unwrap());
        for status in [301, 404, 410, 500, 503] {
            let site = Site::marking(&[(PATH, "text")], move |_, response| {
                *response.status_mut() = status.try_into().unwrap();
            });
            let seen = get(&layer, &site, &[("if-none-match", r#""4""#)]).await;
            assert_eq!((seen.status, seen.etag()), (status, None));
            assert_eq!(seen.header("cache-control"), None, "{status}");
            assert_eq!(seen.header("last-modified"), None, "{status}");
        }
    }
}

#[tokio::test]
async fn a_missing_resource_is_the_handlers_404_whatever_the_conditions() {
    for store in stores() {
        let site = Site::new(&[]);
        let layer = ConditionalLayer::new(store.absent(PATH));
        for headers in [
            &[][..],
            &[("if-none-match", "*")],
            &[("if-match", r#""5""#)],
            &[("if-match", "*")],
        ] {
            let seen = get(&layer, &site, headers).await;
            assert_eq!((seen.status, seen.etag()), (404, None), "{headers:?}");
        }
        assert_eq!(site.calls().len(), 4);
    }
}

#[tokio::test]
async fn the_handlers_own_tag_wins_and_is_evaluated() {
    for store in stores() {
        let site = tagged(r#""own""#);
        let layer = ConditionalLayer::new(store.present(PATH, 5));
        let seen = get(&layer, &site, &[]).await;
        assert_eq!((seen.status, seen.etag()), (200, Some(r#""own""#)));
        let seen = get(&layer, &site, &[("if-none-match", r#""own""#)]).await;
        assert_eq!((seen.status, seen.etag()), (304, Some(r#""own""#)));
    }
}

#[tokio::test]
async fn a_version_that_the_handler_read_with_its_data_wins_and_is_evaluated() {
    let site = Site::marking(&[(PATH, "text")], |_, response| {
        let read = Report::Read(Current::new(Version::from(9)));
        response.extensions_mut().insert(read);
    });
    for layer in [
        ConditionalLayer::new(ScriptedStore::later().present(PATH, 5)),
        ConditionalLayer::new(
            ScriptedStore::at_once()
                .present(PATH, 5)
                .in_doubt(PATH, true),
        ),
        ConditionalLayer::handler(),
    ] {
        let seen = get(&layer, &site, &[]).await;
        assert_eq!((seen.status, seen.etag()), (200, Some(r#""9""#)));
        assert_eq!(seen.extensions.get::<Report>(), None);
        let seen = get(&layer, &site, &[("if-none-match", r#""9""#)]).await;
        assert_eq!((seen.status, seen.etag()), (304, Some(r#""9""#)));
    }
}

#[tokio::test]
async fn an_untagged_answer_stays_untagged() {
    let site = Site::marking(&[(PATH, "text")], |_, response| {
        response.extensions_mut().insert(Untagged);
    });
    let layer = ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 5));
    let seen = get(&layer, &site, &[]).await;
    assert_eq!((seen.status, seen.etag()), (200, None));
}

#[tokio::test]
async fn while_a_write_is_open_or_in_doubt_there_is_no_tag_and_no_304() {
    for store in stores() {
        let store = store.present(PATH, 5);
        let layer = ConditionalLayer::new(store.clone());
        for unsettle in [
            |store: ScriptedStore| store.held(PATH, Some(Intent::Write)),
            |store: ScriptedStore| store.held(PATH, None).in_doubt(PATH, true),
        ] {
            let store = unsettle(store.clone());
            for method in ["GET", "HEAD"] {
                for headers in [&[][..], &[("if-none-match", r#""5""#)]] {
                    let seen = ask(&layer, &site(), request(method, PATH, headers, "")).await;
                    assert_eq!((seen.status, seen.etag()), (200, None), "{headers:?}");
                }
            }
            // Nor does a refusal say what is current.
            let seen = get(&layer, &site(), &[("if-match", r#""4""#)]).await;
            assert_eq!((seen.status, seen.etag()), (412, None));
            drop(store);
        }
    }
}

#[tokio::test]
async fn a_read_is_tagged_only_if_nothing_happened_while_it_ran() {
    for store in stores() {
        for (meanwhile, tag) in [
            ((|_| {}) as fn(&ScriptedStore), Some(r#""5""#)),
            (|store| store.bump(PATH), None),
            (
                |store| drop(store.clone().held(PATH, Some(Intent::Write))),
                None,
            ),
            (|store| drop(store.clone().in_doubt(PATH, true)), None),
            (|store| drop(store.clone().absent(PATH)), None),
        ] {
            let store = store.clone().present(PATH, 5);
            let by = store.clone();
            let site = Site::marking(&[(PATH, "text")], move |_, _| meanwhile(&by));
            let layer = ConditionalLayer::new(store);
            let seen = get(&layer, &site, &[("if-none-match", r#""4""#)]).await;
            assert_eq!((seen.status, seen.etag()), (200, tag));
            assert_eq!(seen.header("last-modified"), None);
        }
    }
}

#[tokio::test]
async fn a_resource_that_the_store_never_saw_has_a_tag_from_its_first_read_on() {
    for store in stores() {
        let site = site();
        let layer = ConditionalLayer::new(store.clone());
        let seen = get(&layer, &site, &[]).await;
        assert_eq!((seen.status, seen.etag()), (200, Some(r#""1""#)));
        let seen = get(&layer, &site, &[("if-none-match", r#""1""#)]).await;
        assert_eq!(seen.status, 304);
        let seen = get(&layer, &site, &[("if-match", "*")]).await;
        assert_eq!((seen.status, seen.etag()), (200, Some(r#""1""#)));

        let write = request("PUT", PATH, &[("if-match", r#""1""#)], "new");
        let seen = ask(&layer, &site, write).await;
        assert_eq!((seen.status, seen.etag()), (200, Some(r#""2""#)));
    }
}

#[tokio::test]
async fn whether_an_unseen_resource_exists_is_found_out_before_a_write_that_depends_on_it() {
    let get_first = |method: &str| vec!["GET /notes/1".to_owned(), format!("{method} /notes/1")];
    let only_patch = || vec!["PATCH /notes/1".to_owned()];
    let probed = || vec!["GET /notes/1".to_owned()];
    for store in [ScriptedStore::at_once, ScriptedStore::later] {
        for (method, field, notes, status, calls) in [
            ("PUT", "if-none-match", &[(PATH, "old")][..], 412, probed()),
            ("PUT", "if-none-match", &[], 201, get_first("PUT")),
            ("PUT", "if-match", &[(PATH, "old")], 200, get_first("PUT")),
            ("PUT", "if-match", &[], 412, probed()),
            // A method that cannot create needs no look: what is missing is the handler's own 404.
            ("PATCH", "if-match", &[(PATH, "old")], 200, only_patch()),
            ("PATCH", "if-match", &[], 404, only_patch()),
            ("PATCH", "if-none-match", &[(PATH, "old")], 412, probed()),
        ] {
            let row = format!("{method} {field} {notes:?}");
            let (site, store) = (Site::new(notes), store());
            let layer = ConditionalLayer::new(store.clone()).reader(Reader::new(site.service()));
            let write = request(method, PATH, &[(field, "*")], "new");
            let seen = ask(&layer, &site, write).await;
            assert_eq!(seen.status, status, "{row}");
            assert_eq!(site.calls(), calls, "{row}");
            assert_eq!(store.claims(), 0, "{row}");
            assert_eq!(store.abandoned(), 0, "{row}");
            if status == 412 {
                let old = notes.first().map(|(_, text)| *text);
                assert_eq!(site.note(PATH).as_deref(), old, "{row}");
                assert_eq!(seen.etag(), old.map(|_| r#""1""#), "{row}");
            } else if status < 300 {
                assert_eq!(seen.etag(), Some(r#""2""#), "{row}");
            }
        }
    }
}

#[tokio::test]
async fn where_nobody_can_say_whether_it_exists_nothing_is_written() {
    let reading = |status: u16| {
        Site::marking(&[(PATH, "old")], move |method, response| {
            if method == Method::GET {
                *response.status_mut() = status.try_into().unwrap();
            }
        })
    };
    for store in stores() {
        for (reader, status) in [
            (None, 200),
            (Some(()), 302),
            (Some(()), 401),
            (Some(()), 403),
            (Some(()), 405),
        ] {
            let site = reading(status);
            let mut layer = ConditionalLayer::new(store.clone());
            if reader.is_some() {
                layer = layer.reader(Reader::new(site.service()));
            }
            for field in ["if-match", "if-none-match"] {
                let write = request("PUT", PATH, &[(field, "*")], "new");
                let seen = ask(&layer, &site, write).await;
                assert_eq!(seen.status, 500);
                assert_eq!(seen.problem(), "/problems/existence-unknown");
                assert_eq!(seen.reason(), Some(Reason::ExistenceUnknown));
                assert_eq!(seen.etag(), None);
            }
            assert_eq!(site.note(PATH).as_deref(), Some("old"));
            assert!(!site.calls().contains(&"PUT /notes/1".to_owned()));
            assert_eq!((store.claims(), store.abandoned()), (0, 0));
        }
    }
}

#[tokio::test]
async fn a_reader_that_cannot_be_asked_leaves_everything_as_it_was() {
    let store = ScriptedStore::at_once();
    let broken = service_fn(async |_: Request<String>| {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("by the script"))
    });
    let layer = ConditionalLayer::new(store.clone()).reader(Reader::new(broken));
    let site = site();
    let write = request("PUT", PATH, &[("if-none-match", "*")], "new");
    let seen = ask(&layer, &site, write).await;
    assert_eq!(seen.reason(), Some(Reason::StoreUnavailable));
    assert!(site.calls().is_empty(), "the handler ran");
    assert_eq!((store.claims(), store.abandoned()), (0, 0));
}

#[tokio::test]
async fn the_reader_is_asked_in_the_name_of_the_writer() {
    #[derive(Debug, Clone, PartialEq)]
    struct Principal(&'static str);

    #[derive(Debug, Clone)]
    struct MatchedByTheRouter;

    let (asked, seen) = tokio::sync::watch::channel(None);
    let reader = service_fn(move |request: Request<String>| {
        asked.send_replace(Some(request.into_parts().0));
        async { Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let reader = Reader::new(reader).carry::<Principal>();
    let headers = [
        ("authorization", "Bearer x"),
        ("accept", "text/plain"),
        ("if-none-match", "*"),
        ("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("content-type", "text/plain"),
        ("content-length", "3"),
        ("expect", "100-continue"),
        ("idempotency-key", "k"),
        ("range", "bytes=0-1"),
        ("transfer-encoding", "chunked"),
    ];
    let mut write = request("PUT", "/notes/1?lang=en", &headers, "new");
    write.extensions_mut().insert(Principal("ann"));
    write.extensions_mut().insert(MatchedByTheRouter);
    let layer = ConditionalLayer::new(ScriptedStore::at_once()).reader(reader);
    assert_eq!(ask(&layer, &site(), write).await.status, 412);

    let asked = seen.borrow();
    let asked = asked.as_ref().expect("the reader was asked");
    assert_eq!(
        (&asked.method, asked.uri.to_string().as_str()),
        (&Method::GET, "/notes/1?lang=en")
    );
    let names: Vec<_> = asked.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["authorization", "accept"]);
    assert_eq!(asked.extensions.get(), Some(&Principal("ann")));
    assert!(asked.extensions.get::<MatchedByTheRouter>().is_none());
}

#[tokio::test]
async fn the_handler_sees_a_range_only_of_the_version_that_the_client_has() {
    for store in stores() {
        let (asked, seen) = tokio::sync::watch::channel(None);
        let service = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
            asked.send_replace(Some(request.headers().contains_key("range")));
            async { Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())) }
        });
        let store = store.present(PATH, 5);
        let service = ConditionalLayer::new(store.clone()).layer(service);
        for (if_range, in_doubt, range) in [
            (None, false, true),
            (Some(r#""5""#), false, true),
            (Some(r#""4""#), false, false),
            (Some(r#"W/"5""#), false, false),
            (Some("nonsense"), false, false),
            (Some(r#""5""#), true, false),
        ] {
            let _ = store.clone().in_doubt(PATH, in_doubt);
            let mut headers = vec![("range", "bytes=0-1")];
            headers.extend(if_range.map(|tag| ("if-range", tag)));
            let read = request("GET", PATH, &headers, "");
            let answer = service.clone().oneshot(read).await.unwrap();
            assert_eq!(see(answer).await.status, 200);
            assert_eq!(*seen.borrow(), Some(range), "{if_range:?} {in_doubt}");
        }
    }
}
