//! The observers of the other layers: each tells of what it decided itself.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::idempotency::{
    IdempotencyLayer, IdempotencyPolicy, KeyUse, MemoryIdempotencyStore,
};
use tower_conditional::observe::{Event, Mode};
use tower_conditional::store::Intent;
use tower_conditional::{ConditionalLayer, MemoryStore, RequestBody, ResourceKey, SequenceLayer};

use crate::support::{Failure, ScriptedStore, Site, Step, request};

type Told = (Mode, &'static str, u16, Option<String>);
type Log = Arc<Mutex<Vec<Told>>>;

fn listen(log: &Log) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
    let log = Arc::clone(log);
    move |event| {
        let route = event.route.map(str::to_owned);
        let told = (event.mode, event.outcome(), event.status.as_u16(), route);
        log.lock().expect("no panic").push(told);
    }
}

fn take(log: &Log) -> Vec<Told> {
    std::mem::take(&mut *log.lock().expect("no panic"))
}

#[tokio::test]
async fn keys_are_told_by_what_became_of_them() {
    let log = Log::default();
    let policy = IdempotencyPolicy::new().key_use(KeyUse::Required);
    let layer = IdempotencyLayer::new(MemoryIdempotencyStore::new(), |parts| {
        let user = parts.headers.get("x-user")?;
        Some(user.to_str().ok()?.to_owned())
    })
    .policy(policy.request_limit(8))
    .observer(listen(&log))
    .route(|_| Some("payments".into()));
    let handler = service_fn(async |request: Request<RequestBody<Full<Bytes>>>| {
        let mut response = Response::new(Full::from("done"));
        if request.headers().contains_key("x-refuse") {
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        }
        Ok::<_, Infallible>(response)
    });
    let ann = ("x-user", "ann");
    let key = ("idempotency-key", "1");
    for (headers, body, outcome, status) in [
        (&[ann][..], "{}", "key_missing", 400),
        (&[ann, ("idempotency-key", "")], "{}", "key_malformed", 400),
        (&[key], "{}", "identity_missing", 400),
        (&[ann, key], "{ too long }", "content_too_large", 413),
        (&[ann, key, ("x-refuse", "")], "{}", "handled", 422),
        (&[ann, key], "{}", "handled", 200),
        (&[ann, key], "{}", "replayed", 200),
        (&[ann, key], "[]", "key_reused", 422),
    ] {
        let request = request("POST", "/payments", headers, body);
        let answer = layer.layer(handler).oneshot(request).await;
        assert_eq!(answer.expect("no error").status(), status);
        let told = (
            Mode::Idempotency,
            outcome,
            status,
            Some("payments".to_owned()),
        );
        assert_eq!(take(&log), [told], "{headers:?}");
    }
    let read = layer
        .layer(handler)
        .oneshot(request("GET", "/payments", &[], ""));
    read.await.expect("no error");
    assert!(take(&log).is_empty(), "what passes through is no event");
}

#[tokio::test]
async fn one_layer_within_the_other_each_tells_of_itself() {
    let log = Log::default();
    let site = Site::new(&[("/notes/1", "old")]);
    let store = ScriptedStore::at_once().present("/notes/1", 5);
    let conditional = ConditionalLayer::new(store).observer(listen(&log));
    let keys = IdempotencyLayer::new(MemoryIdempotencyStore::new(), |_| Some("ann".to_owned()));
    let keys = keys.observer(listen(&log));
    let send = async |tag: &str, key: &str| {
        let headers = [("if-match", tag), ("idempotency-key", key)];
        let service = keys.layer(conditional.layer(site.service()));
        let answer = service
            .oneshot(request("PUT", "/notes/1", &headers, "new"))
            .await;
        assert!(answer.is_ok());
        take(&log)
    };
    assert_eq!(
        send("\"4\"", "1").await,
        [
            (Mode::Claim, "stale", 412, None),
            (Mode::Idempotency, "handled", 412, None)
        ]
    );
    assert_eq!(
        send("\"5\"", "1").await,
        [
            (Mode::Claim, "handled", 200, None),
            (Mode::Idempotency, "handled", 200, None)
        ]
    );
    assert_eq!(
        send("\"5\"", "1").await,
        [(Mode::Idempotency, "replayed", 200, None)]
    );
}

#[tokio::test]
async fn a_sequence_tells_of_turns_and_of_those_who_got_none() {
    let log = Log::default();
    let store = ScriptedStore::later();
    let layer = SequenceLayer::new(store.clone(), |parts, _| {
        (parts.uri.path() != "/none").then(|| ResourceKey::new("1"))
    })
    .wait(Duration::ZERO)
    .request_limit(8)
    .observer(listen(&log));
    let send = async |method: &str, path: &str, body: &str| {
        let site = Site::new(&[]);
        let answer = layer
            .layer(site.service())
            .oneshot(request(method, path, &[], body));
        answer.await.expect("no error");
        take(&log)
    };
    assert_eq!(
        send("PUT", "/a", "new").await,
        [(Mode::Sequence, "handled", 201, None)]
    );
    assert_eq!(
        send("PUT", "/a", "much too long").await,
        [(Mode::Sequence, "content_too_large", 413, None)]
    );
    assert!(send("PUT", "/none", "new").await.is_empty());
    assert!(send("GET", "/a", "").await.is_empty());
    let key = ResourceKey::new("1").scoped("sequence").to_string();
    let store = store.held(&key, Some(Intent::Delete));
    assert_eq!(
        send("PUT", "/a", "new").await,
        [(Mode::Sequence, "busy", 503, None)]
    );
    assert_eq!(
        send("DELETE", "/a", "").await,
        [(Mode::Sequence, "delete_in_progress", 409, None)]
    );
    let store = store
        .held(&key, None)
        .failing(Step::Claim, Failure::NotApplied);
    assert_eq!(
        send("PUT", "/a", "new").await,
        [(Mode::Sequence, "store_unavailable", 503, None)]
    );
    store.recover();
    assert_eq!(
        send("PUT", "/a", "new").await,
        [(Mode::Sequence, "handled", 201, None)]
    );
}

#[tokio::test]
async fn a_turn_is_told_with_the_wait_for_it() {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&waits);
    let site = Site::new(&[]);
    let layer = SequenceLayer::new(MemoryStore::new(), |_, _| Some(ResourceKey::new("1")))
        .observer(move |event: &Event<'_>| heard.lock().expect("no panic").push(event.waited));
    site.hold_writes();
    let send = || {
        let service = layer.layer(site.service());
        tokio::spawn(service.oneshot(request("PUT", "/a", &[], "new")))
    };
    let first = send();
    site.write_began().await;
    let second = send();
    // Long enough to be told from nothing.
    tokio::time::sleep(Duration::from_millis(30)).await;
    site.let_through(2);
    for answer in [first, second] {
        assert!(answer.await.expect("no panic").is_ok());
    }
    let waits = waits.lock().expect("no panic");
    assert_eq!(waits.len(), 2);
    assert!(waits[0] < waits[1], "{waits:?}");
}
