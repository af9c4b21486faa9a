//! Resources that are set once, revoked, and set again.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::policy::CurrentResource;
use tower_conditional::problem::Reason;
use tower_conditional::report::{Expected, Report, Representation};
use tower_conditional::store::{Condition, Current, Version};
use tower_conditional::{
    ClaimStore, ConditionalLayer, MemoryStore, Policy, Reader, RequestBody, ResourceKey,
};

use crate::support::{ScriptedStore, Seen, json, request, see, until};

const SET: &str = "/orders/5/pickup";
const REVOKE: &str = "/orders/5/pickup/revoke";

type Content = Full<Bytes>;

fn status(status: StatusCode, body: &str) -> Response<Content> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

/// One milestone behind the layer, whose handlers do as they are told.
#[derive(Clone)]
struct Milestone {
    set: ConditionalLayer,
    unset: ConditionalLayer,
    there: Arc<Mutex<Option<String>>>,
    turns: Arc<Semaphore>,
}

impl Milestone {
    fn new(store: &(impl ClaimStore + Clone), with_reader: bool) -> Self {
        let there = Arc::new(Mutex::new(None::<String>));
        let read = Arc::clone(&there);
        let reader = Reader::new(service_fn(move |_: Request<String>| {
            let answer = match &*read.lock().unwrap() {
                Some(text) => status(StatusCode::OK, text),
                None => status(StatusCode::NOT_FOUND, ""),
            };
            async move { Ok::<_, Infallible>(answer) }
        }));
        let layer = |policy: Policy| {
            let policy = policy.current_resource(CurrentResource::Read);
            let layer = ConditionalLayer::new(store.clone())
                .policy(policy)
                .key(|_| Some(ResourceKey::new(SET)));
            if with_reader {
                layer.reader(reader.clone())
            } else {
                layer
            }
        };
        Self {
            set: layer(Policy::aip154().set_once("milestone-already-set")),
            unset: layer(Policy::aip154().unset("milestone-not-set")),
            there,
            turns: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    async fn ask(&self, request: Request<Content>) -> Seen {
        let revokes = request.method() == Method::DELETE || request.uri().path() == REVOKE;
        let layer = if revokes { &self.unset } else { &self.set };
        let (there, turns) = (Arc::clone(&self.there), Arc::clone(&self.turns));
        let handler = service_fn(move |request: Request<RequestBody<Content>>| {
            let (there, turns) = (Arc::clone(&there), Arc::clone(&turns));
            async move {
                let by = request.headers()["x-by"].to_str().unwrap();
                turns.acquire().await.unwrap().forget();
                let mut there = there.lock().unwrap();
                Ok::<_, Infallible>(if revokes {
                    assert!(there.take().is_some(), "revoked twice");
                    status(StatusCode::OK, "{}")
                } else {
                    assert!(there.is_none(), "set twice");
                    let text = there.insert(format!(r#"{{"by":"{by}"}}"#));
                    status(StatusCode::CREATED, text)
                })
            }
        });
        see(layer.layer(handler).oneshot(request).await.unwrap()).await
    }

    async fn set(&self, by: &str) -> Seen {
        self.ask(request("POST", SET, &[("x-by", by)], "")).await
    }

    async fn revoke(&self) -> Seen {
        self.ask(request("POST", REVOKE, &[("x-by", "")], "")).await
    }
}

#[track_caller]
fn assert_set(seen: &Seen) {
    assert_eq!(seen.problem(), "/problems/milestone-already-set");
    assert_eq!(json(&seen.body)["title"], "Milestone Already Set");
    assert_eq!(
        (seen.status, seen.reason()),
        (409, Some(Reason::AlreadySet))
    );
}

#[track_caller]
fn assert_not_set(seen: &Seen) {
    assert_eq!(seen.problem(), "/problems/milestone-not-set");
    assert_eq!(json(&seen.body)["title"], "Milestone Not Set");
    assert_eq!((seen.status, seen.reason()), (409, Some(Reason::NotSet)));
    assert_eq!(
        (seen.etag(), json(&seen.body).get("currentResource")),
        (None, None)
    );
}

/// All wait while the first is in its handler: whoever goes on after it was there before it wrote.
async fn one_of_many(milestone: Milestone, all_wait: impl FnMut() -> bool) {
    let free = milestone.turns.available_permits();
    milestone.turns.forget_permits(free);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..64 {
        let milestone = milestone.clone();
        clients.spawn(async move { milestone.set(&client.to_string()).await });
    }
    until(all_wait).await;
    milestone.turns.add_permits(64);
    let (won, lost): (Vec<_>, Vec<_>) = clients
        .join_all()
        .await
        .into_iter()
        .partition(|seen| seen.status == 201);
    assert_eq!((won.len(), lost.len()), (1, 63));
    let tag = won[0].etag().expect("a version was made");
    for seen in lost {
        assert_set(&seen);
        assert_eq!(seen.etag(), Some(tag));
        assert_eq!(json(&seen.body)["currentResource"], json(&won[0].body));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_sets_and_the_others_see_what_it_set() {
    let store = MemoryStore::new();
    let milestone = Milestone::new(&store, true);
    one_of_many(milestone, || store.stats().waiting == 63).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_knows_needs_nobody_to_ask() {
    let store = ScriptedStore::at_once().absent(SET);
    let milestone = Milestone::new(&store, true);
    let waits = || {
        let asked = store.asked();
        asked
            .iter()
            .filter(|step| **step == crate::support::Step::Claim)
            .count()
            == 64
    };
    one_of_many(milestone, waits).await;
}

#[tokio::test]
async fn what_was_revoked_is_set_again_with_a_version_of_its_own() {
    for with_reader in [true, false] {
        let store = MemoryStore::new();
        let milestone = Milestone::new(&store, with_reader);
        if !with_reader {
            // Somebody has to know of it first.
            let seen = milestone.set("nobody").await;
            assert_eq!(seen.problem(), "/problems/existence-unknown");
            let seen = milestone.revoke().await;
            assert_eq!(seen.problem(), "/problems/existence-unknown");
            continue;
        }
        assert_not_set(&milestone.revoke().await);
        let mut tags = Vec::new();
        for by in ["ann", "bob", "cy"] {
            let set = milestone.set(by).await;
            assert_eq!(set.status, 201);
            let again = milestone.set("again").await;
            assert_set(&again);
            assert_eq!(json(&again.body)["currentResource"]["by"], by);
            assert_eq!(again.etag(), set.etag());
            tags.push(set.etag().unwrap().to_owned());
            let revoked = milestone.revoke().await;
            assert_eq!((revoked.status, revoked.etag()), (200, None));
            assert_not_set(&milestone.revoke().await);
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 3, "{tags:?}");
    }
}

#[tokio::test]
async fn no_method_needs_an_if_match_to_set() {
    for method in ["POST", "PUT", "PATCH"] {
        let milestone = Milestone::new(&ScriptedStore::at_once().absent(SET), false);
        let write = || request(method, SET, &[("x-by", "ann")], "");
        assert_eq!(milestone.ask(write()).await.status, 201, "{method}");
        assert_set(&milestone.ask(write()).await);
    }
}

#[tokio::test]
async fn a_delete_revokes_too() {
    let milestone = Milestone::new(&ScriptedStore::later().absent(SET), true);
    let delete = |tag: &str| request("DELETE", SET, &[("x-by", ""), ("if-match", tag)], "");
    assert_not_set(&milestone.ask(delete(r#""1""#)).await);
    let tag = milestone.set("ann").await.etag().unwrap().to_owned();
    let stale = milestone.ask(delete(r#""0""#)).await;
    assert_eq!(stale.problem(), "/problems/version-mismatch");
    assert_eq!(milestone.ask(delete(&tag)).await.status, 200);
    assert_not_set(&milestone.ask(delete(&tag)).await);
}

/// What a reader says of a resource of which the store was never told, and what becomes of a write
/// that depends on it.
#[tokio::test]
async fn a_reader_that_fails_may_do_better_and_one_that_says_nothing_will_not() {
    for (says, set, unset) in [
        (Some(200), 409, 200),
        (Some(404), 201, 409),
        (Some(410), 201, 409),
        (Some(500), 503, 503),
        (Some(502), 503, 503),
        (Some(408), 503, 503),
        (Some(429), 503, 503),
        (None, 503, 503),
        (Some(401), 500, 500),
        (Some(403), 500, 500),
        (Some(302), 500, 500),
        (Some(405), 500, 500),
    ] {
        let reader = Reader::new(service_fn(move |_: Request<String>| {
            let code = says.ok_or("the pool is empty");
            let answer = code.map(|code| status(StatusCode::from_u16(code).unwrap(), ""));
            async move { answer }
        }));
        for (policy, expected) in [
            (Policy::aip154().set_once("a"), set),
            (Policy::aip154().unset("b"), unset),
        ] {
            let store = ScriptedStore::at_once();
            let layer = ConditionalLayer::new(store.clone());
            let layer = layer.policy(policy).reader(reader.clone());
            let handler = service_fn(async |_: Request<RequestBody<Content>>| {
                Ok::<_, Infallible>(status(StatusCode::CREATED, ""))
            });
            let handler = handler.map_response(move |mut response: Response<Content>| {
                if expected == 200 {
                    *response.status_mut() = StatusCode::OK;
                }
                response
            });
            let write = request("POST", SET, &[], "");
            let seen = see(layer.layer(handler).oneshot(write).await.unwrap()).await;
            assert_eq!(seen.status, expected, "{says:?}");
            let (reason, retry) = match expected {
                503 => (Some(Reason::StoreUnavailable), Some("1")),
                500 => (Some(Reason::ExistenceUnknown), None),
                409 => (seen.reason(), None),
                _ => (None, None),
            };
            assert_eq!(seen.reason(), reason, "{says:?}");
            assert_eq!(seen.header("retry-after"), retry, "{says:?}");
            assert_eq!((store.claims(), store.abandoned()), (0, 0), "{says:?}");
        }
    }
}

/// In handler mode the handler is told what the route wants, and its conflict has the same answer.
#[tokio::test]
async fn a_handler_that_compares_is_told_what_the_route_wants() {
    let told = |headers: &'static [(&'static str, &'static str)],
                policy: Policy,
                report: Report| async move {
        let expected = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&expected);
        let handler = service_fn(move |request: Request<RequestBody<Content>>| {
            *seen.lock().unwrap() = request.extensions().get::<Expected>().cloned();
            let mut response = status(StatusCode::CREATED, "");
            response.extensions_mut().insert(report.clone());
            async move { Ok::<_, Infallible>(response) }
        });
        let service = ConditionalLayer::handler().policy(policy).layer(handler);
        let answer = service.oneshot(request("POST", SET, headers, "")).await;
        let expected = expected.lock().unwrap().take().unwrap();
        (see(answer.unwrap()).await, expected)
    };
    let set = || Policy::aip154().set_once("milestone-already-set");
    let unset = || Policy::aip154().unset("milestone-not-set");
    let current = Current::new(Version::from(7));
    let there = Some(Representation::json(current.clone(), r#"{"by":"ann"}"#));

    let conflict = Report::Conflict {
        current: there.clone(),
    };
    let (seen, expected) = told(&[], set(), conflict.clone()).await;
    assert_eq!(expected.if_none_match, Condition::Absent);
    assert_eq!(expected.if_match, Condition::Unconditional);
    assert!(!expected.is_unconditional());
    assert_set(&seen);
    assert_eq!(json(&seen.body)["currentResource"]["by"], "ann");
    assert_eq!(seen.etag(), Some(r#""7""#));

    let (seen, expected) = told(&[], unset(), Report::Conflict { current: None }).await;
    assert_eq!(expected.if_match, Condition::Exists);
    assert_eq!(expected.if_none_match, Condition::Unconditional);
    assert_not_set(&seen);

    // "Nothing is set" of something that is there would be nonsense.
    let (seen, _) = told(&[], unset(), conflict.clone()).await;
    assert_not_set(&seen);

    // What the client asks for comes on top.
    let (seen, expected) = told(&[("if-match", r#""5""#)], unset(), conflict).await;
    assert_eq!(expected.if_match, Condition::AnyOf(vec![Version::from(5)]));
    assert_eq!(seen.problem(), "/problems/version-mismatch");

    let (seen, _) = told(&[], set(), Report::Wrote(current)).await;
    assert_eq!((seen.status, seen.etag()), (201, Some(r#""7""#)));
}
