//! The conflict document: in one answer all that a client needs to merge and try again, of one
//! state, or less.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::routing::{get_service, put_service};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::policy::{CurrentResource, IfMatch, Reads};
use tower_conditional::problem::{Problem, Reason};
use tower_conditional::report::{Report, Representation};
use tower_conditional::store::{Current, Intent, Version};
use tower_conditional::{ConditionalLayer, MemoryStore, Policy, Reader};

use crate::support::{Failure, ScriptedStore, Seen, Site, Step, ask, json, request, see};

const PATH: &str = "/notes/1";
const SEVEN: &str = r#"{"version":7,"text":"theirs"}"#;

type Answer = Response<Full<Bytes>>;

fn policy() -> Policy {
    Policy::aip154().current_resource(CurrentResource::Read)
}

fn site() -> Site {
    Site::new(&[(PATH, "old")])
}

/// A handler that finds out for itself, and says so.
fn conflicting(current: Option<Representation>) -> Site {
    Site::marking(&[(PATH, "old")], move |_, response| {
        let current = current.clone();
        response
            .extensions_mut()
            .insert(Report::Conflict { current });
    })
}

fn pair(version: u64, body: &str) -> Option<Representation> {
    let current = Current::new(Version::from(version));
    Some(Representation::json(current, body.to_owned()))
}

fn reader(answer: impl Fn(&Request<String>) -> Answer + Clone + Send + Sync + 'static) -> Reader {
    Reader::new(service_fn(move |request: Request<String>| {
        let answer = answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    }))
}

fn answer(content_type: &'static str, body: &str) -> Answer {
    let mut response = Response::new(Full::from(body.to_owned()));
    let value = HeaderValue::from_static(content_type);
    response.headers_mut().insert("content-type", value);
    response
}

fn found(body: &str) -> Answer {
    answer("application/json", body)
}

async fn stale(layer: ConditionalLayer, site: &Site) -> Seen {
    ask(
        &layer,
        site,
        request("PUT", PATH, &[("if-match", r#""5""#)], "new"),
    )
    .await
}

/// 409, and everything in it is of version 7.
#[track_caller]
fn assert_shows_seven(seen: &Seen, what: &str) {
    let body = json(&seen.body);
    assert_eq!(seen.problem(), "/problems/version-mismatch", "{what}");
    assert_eq!(seen.etag(), Some(r#""7""#), "{what}");
    let detail = "If-Match version 5 does not match current version 7.";
    assert_eq!(body["detail"], detail, "{what}");
    assert_eq!(body["currentResource"]["version"], 7, "{what}: {body}");
}

/// Where a conflict is noticed: by the store before or under the claim, or by the handler.
fn noticed() -> Vec<(&'static str, ConditionalLayer, Site)> {
    let known = || ScriptedStore::at_once().present(PATH, 7);
    let late = || ScriptedStore::later().present(PATH, 7);
    let behind = ScriptedStore::later().present(PATH, 5);
    let first = policy().existence_first(true);
    let of = |layer: ConditionalLayer| layer.policy(policy());
    vec![
        ("store at once", of(ConditionalLayer::new(known())), site()),
        ("store later", of(ConditionalLayer::new(late())), site()),
        (
            "handler under a claim",
            of(ConditionalLayer::new(behind)),
            conflicting(None),
        ),
        (
            "handler",
            of(ConditionalLayer::handler()),
            conflicting(None),
        ),
        (
            "handler, with a store at once",
            ConditionalLayer::handler_with(known()).policy(first.clone()),
            conflicting(None),
        ),
        (
            "handler, with a store later",
            ConditionalLayer::handler_with(late()).policy(first),
            conflicting(None),
        ),
    ]
}

#[tokio::test]
async fn the_handlers_own_pair_is_shown_as_it_is() {
    for from in [CurrentResource::Reported, CurrentResource::Read] {
        let policy = Policy::aip154().current_resource(from);
        let layer = ConditionalLayer::handler().policy(policy);
        let layer = layer.reader(reader(|_| panic!("the pair is there already")));
        let seen = stale(layer, &conflicting(pair(7, SEVEN))).await;
        assert_shows_seven(&seen, "own pair");
        let text = String::from_utf8(seen.body.to_vec()).unwrap();
        assert!(text.contains(SEVEN), "{text}");
    }
}

#[tokio::test]
async fn a_reader_whose_answer_has_a_version_is_believed_wherever_the_conflict_was_noticed() {
    for reported in [true, false] {
        for (what, layer, site) in noticed() {
            let layer = layer.reader(reader(move |_| {
                let mut response = found(SEVEN);
                if reported {
                    let read = Report::Read(Current::new(Version::from(7)));
                    response.extensions_mut().insert(read);
                } else {
                    let tag = HeaderValue::from_static(r#""7""#);
                    response.headers_mut().insert("etag", tag);
                }
                response
            }));
            assert_shows_seven(&stale(layer, &site).await, what);
        }
    }
}

#[tokio::test]
async fn a_reader_whose_answer_has_none_needs_a_store_that_does_not_move() {
    for (what, layer, site) in noticed() {
        let seen = stale(layer.reader(reader(|_| found(SEVEN))), &site).await;
        if ["handler", "handler under a claim"].contains(&what) {
            // Nobody knows, or nobody but a store that believes in the version that was sent.
            let body = json(&seen.body);
            assert_eq!(body.get("currentResource"), None, "{what}: {body}");
            let detail = "If-Match version 5 does not match the current version.";
            assert_eq!((seen.etag(), &body["detail"]), (None, &detail.into()));
        } else {
            assert_shows_seven(&seen, what);
        }
    }
}

#[tokio::test]
async fn a_resource_that_moves_is_read_three_times_and_then_left_out() {
    for (moves, shown) in [(0, Some(7)), (1, Some(8)), (2, Some(9)), (3, None)] {
        for store in [ScriptedStore::at_once(), ScriptedStore::later()] {
            let store = store.present(PATH, 7);
            let reads = Arc::new(AtomicUsize::new(0));
            let (moving, counted) = (store.clone(), Arc::clone(&reads));
            let layer = ConditionalLayer::new(store).policy(policy());
            let layer = layer.reader(reader(move |_| {
                let version = 7 + counted.load(Ordering::Relaxed);
                if counted.fetch_add(1, Ordering::Relaxed) < moves {
                    moving.bump(PATH);
                }
                found(&format!(r#"{{"version":{version}}}"#))
            }));
            let seen = stale(layer, &site()).await;
            let body = json(&seen.body);
            let resource = body.get("currentResource").map(|it| &it["version"]);
            assert_eq!(resource, shown.map(|it| it.into()).as_ref(), "{moves}");
            // What is not shown is at least what it was refused for.
            let named = shown.unwrap_or(7);
            assert_eq!(seen.etag(), Some(&*format!("\"{named}\"")), "{moves}");
            let detail = format!("If-Match version 5 does not match current version {named}.");
            assert_eq!(body["detail"], detail);
            assert_eq!(reads.load(Ordering::Relaxed), (moves + 1).min(3));
        }
    }
}

#[tokio::test]
async fn a_version_in_doubt_is_not_shown() {
    let store = ScriptedStore::later().present(PATH, 7);
    let doubting = store.clone();
    let layer = ConditionalLayer::new(store).policy(policy());
    let layer = layer.reader(reader(move |_| {
        let _ = doubting.clone().in_doubt(PATH, true);
        found(SEVEN)
    }));
    let body = json(&stale(layer, &site()).await.body);
    assert_eq!(body.get("currentResource"), None, "{body}");
}

#[derive(Clone, Debug, PartialEq)]
struct Principal(&'static str);
#[derive(Clone, Debug)]
struct Other;

#[tokio::test]
async fn the_reader_gets_who_asks_and_nothing_of_what_was_written() {
    let got = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&got);
    let reader = reader(move |request| {
        let principal = request.extensions().get::<Principal>().cloned();
        assert!(request.extensions().get::<Other>().is_none());
        assert_eq!(request.method(), http::Method::GET);
        assert_eq!(request.uri().path(), PATH);
        let headers = request.headers().clone();
        log.lock().unwrap().push((principal, headers));
        found(SEVEN)
    })
    .carry::<Principal>();
    let store = ScriptedStore::at_once().present(PATH, 7);
    let layer = ConditionalLayer::new(store).policy(policy()).reader(reader);
    let sent = [
        ("if-match", r#""5""#),
        ("if-unmodified-since", "Fri, 01 Jan 1999 00:00:00 GMT"),
        ("range", "bytes=0-1"),
        ("content-type", "text/csv"),
        ("content-length", "3"),
        ("content-digest", "sha-256=:x:"),
        ("expect", "100-continue"),
        ("idempotency-key", "k"),
        ("trailer", "x-checksum"),
        ("transfer-encoding", "chunked"),
        ("accept", "text/csv"),
        ("accept-encoding", "gzip"),
        ("authorization", "Bearer a"),
        ("cookie", "a=b"),
        ("x-tenant", "acme"),
    ];
    let mut write = request("PUT", PATH, &sent, "new");
    write.extensions_mut().insert(Principal("ann"));
    write.extensions_mut().insert(Other);
    assert_shows_seven(&ask(&layer, &site(), write).await, "carried");
    let mut expected = HeaderMap::new();
    for (name, value) in [
        ("accept", "application/json"),
        ("authorization", "Bearer a"),
        ("cookie", "a=b"),
        ("x-tenant", "acme"),
    ] {
        expected.insert(name, HeaderValue::from_static(value));
    }
    let got = got.lock().unwrap();
    assert_eq!(*got, [(Some(Principal("ann")), expected)]);
}

#[tokio::test]
async fn what_a_reader_does_not_give_as_json_is_left_out() {
    fn with_status(status: StatusCode) -> Answer {
        let mut response = found(SEVEN);
        *response.status_mut() = status;
        response
    }
    let answers: [(&str, fn() -> Answer); 9] = [
        ("401", || with_status(StatusCode::UNAUTHORIZED)),
        ("403", || with_status(StatusCode::FORBIDDEN)),
        ("404", || with_status(StatusCode::NOT_FOUND)),
        ("500", || with_status(StatusCode::INTERNAL_SERVER_ERROR)),
        ("206", || with_status(StatusCode::PARTIAL_CONTENT)),
        ("HTML", || answer("text/html", SEVEN)),
        ("no type", || Response::new(Full::from(SEVEN))),
        ("broken JSON", || found(r#"{"version":7"#)),
        ("nothing", || found("")),
    ];
    for (what, give) in answers {
        for (noticed, layer, site) in noticed() {
            let layer = layer.reader(reader(move |_| {
                let mut response = give();
                let tag = HeaderValue::from_static(r#""8""#);
                response.headers_mut().insert("etag", tag);
                response
            }));
            let seen = stale(layer, &site).await;
            let body = json(&seen.body);
            assert_eq!(seen.status, 409, "{what}, {noticed}");
            assert_eq!(body.get("currentResource"), None, "{what}, {noticed}");
            assert_eq!(seen.header("content-location"), None, "{what}, {noticed}");
            assert!(seen.etag().is_none_or(|tag| tag == r#""7""#), "{what}");
        }
    }
    let failing = Reader::new(service_fn(async |_: Request<String>| {
        Err::<Answer, _>("the pool is empty")
    }));
    let store = ScriptedStore::at_once().present(PATH, 7);
    let layer = ConditionalLayer::new(store).policy(policy());
    let body = json(&stale(layer.reader(failing), &site()).await.body);
    assert_eq!(body.get("currentResource"), None, "{body}");
}

#[tokio::test]
async fn a_current_resource_is_shown_up_to_its_limit_and_then_its_place() {
    const LIMIT: usize = 64 * 1024;
    let padded = |length: usize| {
        let (start, end) = (r#"{"version":7,"text":""#, r#""}"#);
        format!(
            "{start}{}{end}",
            "x".repeat(length - start.len() - end.len())
        )
    };
    for (length, fits) in [(LIMIT, true), (LIMIT + 1, false)] {
        let body = padded(length);
        assert_eq!(body.len(), length);
        let read = body.clone();
        let layer = ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 7));
        let layer = layer.policy(policy()).reader(reader(move |_| found(&read)));
        let by_reader = stale(layer, &site()).await;
        // Without a reader, too.
        let layer = ConditionalLayer::handler().policy(Policy::aip154());
        let by_handler = stale(layer, &conflicting(pair(7, &body))).await;
        let behind = ScriptedStore::later().present(PATH, 5);
        let layer = ConditionalLayer::new(behind).policy(Policy::aip154());
        let under_claim = stale(layer, &conflicting(pair(7, &body))).await;
        for seen in [by_reader, by_handler, under_claim] {
            if fits {
                assert_shows_seven(&seen, "at the limit");
                assert_eq!(seen.header("content-location"), None);
            } else {
                let document = json(&seen.body);
                assert_eq!(document.get("currentResource"), None, "{length}");
                assert_eq!(seen.header("content-location"), Some(PATH));
                assert_eq!(seen.etag(), Some(r#""7""#));
            }
        }
    }
}

#[tokio::test]
async fn the_place_of_a_long_resource_is_the_one_that_the_client_knows() {
    let policy = Policy::aip154().current_resource_limit(3);
    let layer = ConditionalLayer::handler().policy(policy);
    let site = conflicting(pair(7, SEVEN));
    let inner = Router::new().route("/notes/{id}", put_service(site.service()));
    let app = Router::new().nest("/v1", inner.route_layer(layer));
    let write = request("PUT", "/v1/notes/1?x=1", &[("if-match", r#""5""#)], "new");
    let response = app.oneshot(write.map(axum::body::Body::new)).await.unwrap();
    assert_eq!(response.headers()["content-location"], "/v1/notes/1");
}

#[tokio::test]
async fn what_is_redacted_appears_nowhere() {
    let policy = policy().redact(|resource| {
        resource.as_object_mut().unwrap().remove("margin");
    });
    let secret = r#"{"margin":"s3cret","version":7,"margin":"s3cret"}"#;
    let layer = ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 7));
    let read = layer.reader(reader(move |_| found(secret)));
    let by_reader = stale(read.policy(policy.clone()), &site()).await;
    let layer = ConditionalLayer::handler().policy(policy.clone());
    let by_handler = stale(layer, &conflicting(pair(7, secret))).await;
    for seen in [by_reader, by_handler] {
        assert_shows_seven(&seen, "redacted");
        let all = format!("{:?} {:?}", seen.headers, seen.body);
        assert!(!all.contains("margin") && !all.contains("s3cret"), "{all}");
    }
    for body in ["", r#"{"margin":"s3cret""#, "s3cret"] {
        let layer = ConditionalLayer::handler().policy(policy.clone());
        let seen = stale(layer, &conflicting(pair(7, body))).await;
        let document = json(&seen.body);
        assert_eq!(document.get("currentResource"), None, "{document}");
        assert!(!document.to_string().contains("s3cret"), "{document}");
        assert_eq!(seen.etag(), Some(r#""7""#));
    }
}

#[tokio::test]
async fn nothing_is_shown_where_the_route_does_not_want_it() {
    let policy = Policy::aip154().current_resource(CurrentResource::Omit);
    let layer = ConditionalLayer::handler().policy(policy);
    let layer = layer.reader(reader(|_| panic!("nobody asked")));
    let seen = stale(layer, &conflicting(pair(7, SEVEN))).await;
    assert_eq!(json(&seen.body).get("currentResource"), None);
    assert_eq!(seen.etag(), Some(r#""7""#));
}

/// A reader of an older copy, and one of a newer state of which the refusal would not be true.
#[tokio::test]
async fn what_would_not_have_been_refused_is_not_shown() {
    let versioned = |version: u64| {
        reader(move |_| {
            let mut response = found(&format!(r#"{{"version":{version}}}"#));
            let tag = HeaderValue::try_from(format!("\"{version}\"")).unwrap();
            response.headers_mut().insert("etag", tag);
            response
        })
    };
    for (field, sent, read) in [("if-match", r#""5""#, 5), ("if-none-match", r#""7""#, 8)] {
        let store = ScriptedStore::at_once().present(PATH, 7);
        let policy = policy().if_match(IfMatch::Optional);
        let layer = ConditionalLayer::new(store).policy(policy);
        let write = request("PUT", PATH, &[(field, sent)], "new");
        let seen = ask(&layer.reader(versioned(read)), &site(), write).await;
        let body = json(&seen.body);
        assert_eq!(body.get("currentResource"), None, "{body}");
        assert_eq!(seen.etag(), Some(r#""7""#), "{body}");
    }
    let layer = ConditionalLayer::handler().policy(policy());
    let seen = stale(layer.reader(versioned(5)), &conflicting(None)).await;
    let body = json(&seen.body);
    assert_eq!(body.get("currentResource"), None, "{body}");
    assert_eq!(seen.etag(), None, "{body}");
}

#[tokio::test]
async fn no_text_says_that_a_version_does_not_match_itself() {
    let ask_with = async |layer: &ConditionalLayer, method: &str, sent: &str| {
        let headers = [("if-match", sent)];
        let seen = ask(layer, &site(), request(method, PATH, &headers, "new")).await;
        assert_eq!(seen.status, 412, "{sent}");
        json(&seen.body)["detail"].as_str().unwrap().to_owned()
    };
    // The condition is false because it cannot be read, whatever is in it.
    let layer = ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 5));
    let detail = ask_with(&layer, "PUT", r#""5", junk"#).await;
    assert!(detail.starts_with("If-Match is false: it cannot be read"));
    // The tag is weak, and no weak tag is matched.
    let weak = Report::Conflict {
        current: Some(Representation::json(Current::from(5).weak(), "{}")),
    };
    let site = Site::marking(&[], move |_, response| {
        response.extensions_mut().insert(weak.clone());
    });
    let write = request("PUT", PATH, &[("if-match", r#""5""#)], "new");
    let seen = ask(&ConditionalLayer::handler(), &site, write).await;
    let detail = r#"If-Match version 5 does not match current version W/"5"."#;
    assert_eq!(json(&seen.body)["detail"], detail);
    // The handler reads a newer row than the store knew.
    let newer = Site::marking(&[(PATH, "new")], |_, response| {
        let tag = HeaderValue::from_static(r#""6""#);
        response.headers_mut().insert("etag", tag);
    });
    for reads in [Reads::BeforeHandler, Reads::AfterHandler] {
        let store = ScriptedStore::at_once().present(PATH, 5);
        let layer = ConditionalLayer::new(store).policy(Policy::rfc9110().reads(reads));
        let read = request("GET", PATH, &[("if-match", r#""5""#)], "");
        let seen = ask(&layer, &newer, read).await;
        let detail = "If-Match version 5 does not match current version 6.";
        assert_eq!(json(&seen.body)["detail"], detail, "{reads:?}");
        assert_eq!(seen.etag(), Some(r#""6""#), "{reads:?}");
    }
}

#[tokio::test]
async fn a_conflict_without_a_condition_speaks_of_none() {
    let policy = Policy::aip154().if_match(IfMatch::Optional);
    let layer = ConditionalLayer::handler().policy(policy);
    let write = request("PUT", PATH, &[], "new");
    let seen = ask(&layer, &conflicting(pair(7, SEVEN)), write).await;
    let body = json(&seen.body);
    assert_eq!(
        body["detail"],
        "The resource was changed by another request."
    );
    assert_eq!(body["currentResource"]["version"], 7);
    assert_eq!(seen.etag(), Some(r#""7""#));
}

#[tokio::test]
async fn a_date_that_is_too_old_is_answered_with_what_is_current() {
    let modified = UNIX_EPOCH + Duration::from_secs(946_684_800);
    let store = ScriptedStore::at_once()
        .present(PATH, 7)
        .modified(PATH, modified);
    for date in [None, Some("Sat, 01 Jan 2000 00:00:00 GMT")] {
        let policy = policy().if_match(IfMatch::Optional);
        let layer = ConditionalLayer::new(store.clone()).policy(policy);
        let layer = layer.reader(reader(move |_| {
            let mut response = found(SEVEN);
            let tag = HeaderValue::from_static(r#""7""#);
            response.headers_mut().insert("etag", tag);
            if let Some(date) = date {
                let date = HeaderValue::from_static(date);
                response.headers_mut().insert("last-modified", date);
            }
            response
        }));
        let headers = [("if-unmodified-since", "Fri, 01 Jan 1999 00:00:00 GMT")];
        let seen = ask(&layer, &site(), request("PUT", PATH, &headers, "new")).await;
        assert_eq!(
            json(&seen.body)["currentResource"]["version"],
            7,
            "{date:?}"
        );
    }
}

#[tokio::test]
async fn problems_can_be_given_other_types_titles_and_members() {
    let policy = policy().problems(|problem| match problem.reason() {
        Some(Reason::Stale) => problem
            .with_type("order-changed", "Order Changed")
            .with_member("help", r#""https://example.com/help""#),
        // Without a thought of what was in it.
        _ => Problem::new(StatusCode::IM_A_TEAPOT, "own", "Own"),
    });
    let store = ScriptedStore::at_once().present(PATH, 7);
    let layer = ConditionalLayer::new(store.clone()).policy(policy);
    let layer = layer.reader(reader(|_| found(SEVEN)));
    let seen = stale(layer.clone(), &site()).await;
    let body = json(&seen.body);
    assert_eq!(seen.problem(), "/problems/order-changed");
    assert_eq!(body["title"], "Order Changed");
    assert_eq!(body["help"], "https://example.com/help");
    assert_eq!(body["currentResource"]["version"], 7);
    assert_eq!(seen.reason(), Some(Reason::Stale));

    let _ = store.failing(Step::Claim, Failure::NotApplied);
    let write = request("PUT", PATH, &[("if-match", r#""7""#)], "new");
    let seen = ask(&layer, &site(), write).await;
    assert_eq!(
        (seen.status, seen.reason()),
        (418, Some(Reason::StoreUnavailable))
    );
    assert_eq!(seen.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_busy_resource_is_not_read() {
    let store = ScriptedStore::at_once().present(PATH, 7);
    let policy = policy().busy(tower_conditional::policy::Busy::Refuse);
    let layer = ConditionalLayer::new(store.held(PATH, Some(Intent::Write))).policy(policy);
    let layer = layer.reader(reader(|_| panic!("there is no conflict")));
    let seen = stale(layer, &site()).await;
    assert_eq!(seen.problem(), "/problems/resource-busy");
}

/// Writers that lose all the time, and are told of a state that there was.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_tag_text_and_resource_name_one_state() {
    const WRITERS: usize = 16;
    const ROUNDS: usize = 40;
    let site = Site::marking(&[(PATH, "\"start\"")], |_, response| {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert("content-type", json);
    });
    let store = MemoryStore::new();
    let reads = ConditionalLayer::new(store.clone()).layer(site.service());
    let app = Router::new()
        .route("/notes/{id}", get_service(reads.clone()))
        .route(
            "/notes/{id}",
            put_service(
                ConditionalLayer::new(store)
                    .policy(policy())
                    .reader(Reader::new(reads))
                    .layer(site.service()),
            ),
        );
    /// What each tag was said to name: by whom it was made, and by whoever was refused.
    #[derive(Default)]
    struct Said(HashMap<String, Vec<serde_json::Value>>);
    let said = Arc::new(Mutex::new(Said::default()));
    let first = {
        let read = request("GET", PATH, &[], "").map(axum::body::Body::new);
        let seen = see(app.clone().oneshot(read).await.unwrap()).await;
        seen.etag().unwrap().to_owned()
    };
    let mut writers = tokio::task::JoinSet::new();
    let conflicts = Arc::new(AtomicUsize::new(0));
    for writer in 0..WRITERS {
        let (app, said, mut tag) = (app.clone(), Arc::clone(&said), first.clone());
        let conflicts = Arc::clone(&conflicts);
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let text = format!("\"{writer}.{round}\"");
                let write = request("PUT", PATH, &[("if-match", &tag)], &text);
                let write = write.map(axum::body::Body::new);
                let seen = see(app.clone().oneshot(write).await.unwrap()).await;
                let new = seen.etag().expect("always a tag").to_owned();
                let body = json(&seen.body);
                let shown = match seen.status {
                    200 => Some(body),
                    409 => {
                        let detail = format!(
                            "If-Match version {} does not match current version {}.",
                            tag.trim_matches('"'),
                            new.trim_matches('"')
                        );
                        assert_eq!(body["detail"], detail);
                        assert_ne!(tag, new, "{body}");
                        body.get("currentResource").cloned()
                    }
                    other => panic!("{other}: {body}"),
                };
                if seen.status == 409 && shown.is_some() {
                    conflicts.fetch_add(1, Ordering::Relaxed);
                }
                let mut said = said.lock().unwrap();
                said.0.entry(new.clone()).or_default().extend(shown);
                tag = new;
            }
        });
    }
    writers.join_all().await;
    for (tag, named) in &said.lock().unwrap().0 {
        assert!(
            named.windows(2).all(|two| two[0] == two[1]),
            "{tag}: {named:?}"
        );
    }
    let conflicts = conflicts.load(Ordering::Relaxed);
    assert!(
        conflicts > 50,
        "only {conflicts} conflicts: it did not race"
    );
}
