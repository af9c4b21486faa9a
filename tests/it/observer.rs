//! The observer: exactly one event for each request that was answered, with what is true of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::HeaderName;
use http::{Method, StatusCode};
use tokio::sync::Barrier;
use tower::{Layer, ServiceExt};
use tower_conditional::observe::{Event, Mode};
use tower_conditional::policy::{Busy, IfMatch, Reads};
use tower_conditional::problem::Reason;
use tower_conditional::report::{Report, Representation};
use tower_conditional::store::{Current, Intent, Version};
use tower_conditional::{ConditionalLayer, MemoryStore, Policy, Runtime};

use crate::support::{Failure, ScriptedStore, Site, Step, ask, request, until};

const PATH: &str = "/notes/1";

#[derive(Debug, Clone, PartialEq)]
struct Heard {
    key: String,
    method: Method,
    mode: Mode,
    base: Option<Version>,
    new: Option<Version>,
    actor: Option<String>,
    status: u16,
    reason: Option<Reason>,
    unprotected: bool,
    waited: Duration,
}

type Log = Arc<Mutex<Vec<Heard>>>;

fn heard(layer: ConditionalLayer) -> (ConditionalLayer, Log) {
    let log = Log::default();
    let events = Arc::clone(&log);
    let layer = layer
        .observer(move |event: &Event<'_>| {
            events.lock().unwrap().push(Heard {
                key: event.key.to_string(),
                method: event.method.clone(),
                mode: event.mode,
                base: event.base.cloned(),
                new: event.new.cloned(),
                actor: event.actor.map(str::to_owned),
                status: event.status.as_u16(),
                reason: event.reason,
                unprotected: event.unprotected,
                waited: event.waited,
            });
        })
        .actor(|parts| {
            let name = parts.headers.get(HeaderName::from_static("x-user"))?;
            Some(name.to_str().ok()?.into())
        });
    (layer, log)
}

fn version(version: u64) -> Option<Version> {
    Some(Version::from(version))
}

fn reporting(report: Option<Report>, status: u16) -> Site {
    Site::marking(&[(PATH, "old")], move |_, response| {
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(report) = report.clone() {
            response.extensions_mut().insert(report);
        }
    })
}

/// What a request is told of: base, new, status, reason.
type Told = (Option<u64>, Option<u64>, u16, Option<Reason>);
/// Method, condition, what the handler does, what is told.
type Row = (&'static str, (&'static str, &'static str), Site, Told);

async fn assert_told(layer: ConditionalLayer, mode: Mode, row: Row) {
    let (method, (name, value), site, (base, new, status, reason)) = row;
    let (layer, log) = heard(layer);
    let headers = [(name, value), ("x-user", "ann")];
    let seen = ask(&layer, &site, request(method, PATH, &headers, "new")).await;
    let mut log = log.lock().unwrap();
    for event in log.iter_mut() {
        event.waited = Duration::ZERO;
    }
    let expected = Heard {
        key: PATH.to_owned(),
        method: method.parse().unwrap(),
        mode,
        base: base.map(Version::from),
        new: new.map(Version::from),
        actor: Some("ann".to_owned()),
        status,
        reason,
        unprotected: false,
        waited: Duration::ZERO,
    };
    assert_eq!(*log, [expected], "{method} {name}: {value}");
    assert_eq!((seen.status, seen.reason()), (status, reason));
}

#[tokio::test]
async fn each_way_through_the_claim_mode_is_one_event() {
    let site = || Site::new(&[(PATH, "old")]);
    let conflict = || Report::Conflict {
        current: Some(Representation::json(Current::from(9), "{}")),
    };
    let five = ("if-match", r#""5""#);
    let seven = ("if-match", r#""7""#);
    let none = ("x-none", "");
    for later in [false, true] {
        let rows: [Row; 14] = [
            ("GET", none, site(), (Some(7), None, 200, None)),
            (
                "GET",
                ("if-none-match", r#""7""#),
                site(),
                (Some(7), None, 304, Some(Reason::NotModified)),
            ),
            (
                "GET",
                ("if-none-match", r#""5""#),
                site(),
                (Some(7), None, 200, None),
            ),
            (
                "GET",
                none,
                reporting(None, 404),
                (Some(7), None, 404, None),
            ),
            (
                "GET",
                five,
                site(),
                (Some(7), None, 412, Some(Reason::Stale)),
            ),
            ("PUT", seven, site(), (Some(7), Some(8), 200, None)),
            ("DELETE", seven, site(), (Some(7), None, 204, None)),
            (
                "PUT",
                five,
                site(),
                (Some(7), None, 412, Some(Reason::Stale)),
            ),
            (
                "PUT",
                none,
                site(),
                (None, None, 428, Some(Reason::Missing)),
            ),
            (
                "PUT",
                seven,
                reporting(None, 422),
                (Some(7), None, 422, None),
            ),
            (
                "PUT",
                seven,
                reporting(None, 500),
                (Some(7), Some(8), 500, None),
            ),
            (
                "PUT",
                seven,
                reporting(Some(Report::Unchanged), 200),
                (Some(7), None, 200, None),
            ),
            (
                "PUT",
                seven,
                reporting(Some(Report::Wrote(Current::from(11))), 200),
                (Some(7), Some(11), 200, None),
            ),
            (
                "PUT",
                seven,
                reporting(Some(conflict()), 200),
                (Some(9), None, 412, Some(Reason::Stale)),
            ),
        ];
        for row in rows {
            let store = if later {
                ScriptedStore::later()
            } else {
                ScriptedStore::at_once()
            };
            let layer = ConditionalLayer::new(store.present(PATH, 7));
            assert_told(layer, Mode::Claim, row).await;
        }
    }
}

#[tokio::test]
async fn each_failure_is_one_event() {
    let seven = ("if-match", r#""7""#);
    let site = || Site::new(&[(PATH, "old")]);
    let store = || ScriptedStore::later().present(PATH, 7);
    let put = |told| ("PUT", seven, site(), told);
    for (store, policy, told) in [
        (
            store().failing(Step::Claim, Failure::Unknown),
            Policy::rfc9110(),
            (None, None, 503, Some(Reason::StoreUnavailable)),
        ),
        (
            store().held(PATH, Some(Intent::Delete)),
            Policy::rfc9110().busy(Busy::Refuse),
            (None, None, 503, Some(Reason::DeleteInProgress)),
        ),
        (
            store().failing(Step::Settle, Failure::Fenced),
            Policy::rfc9110(),
            (Some(7), None, 500, Some(Reason::OutcomeUnknown)),
        ),
        (
            store().failing(Step::Settle, Failure::Unknown),
            Policy::rfc9110(),
            (Some(7), None, 200, None),
        ),
        (
            store(),
            Policy::rfc9110().request_body(tower_conditional::policy::RequestBodies::Buffer(1)),
            (None, None, 413, Some(Reason::ContentTooLarge)),
        ),
    ] {
        let layer = ConditionalLayer::new(store).policy(policy);
        assert_told(layer, Mode::Claim, put(told)).await;
    }
    // The version goes down with the handler that panics.
    let panics = Site::marking(&[(PATH, "old")], |_, _| panic!("on purpose"));
    let told = (None, None, 500, Some(Reason::OutcomeUnknown));
    let layer = ConditionalLayer::new(store());
    assert_told(layer, Mode::Claim, ("PUT", seven, panics, told)).await;
    let create = ("if-none-match", "*");
    // What it would be, if it is there.
    let told = (Some(1), None, 500, Some(Reason::ExistenceUnknown));
    let layer = ConditionalLayer::new(ScriptedStore::later());
    assert_told(layer, Mode::Claim, ("PUT", create, site(), told)).await;
}

#[tokio::test]
async fn each_way_through_the_handler_mode_is_one_event() {
    let seven = ("if-match", r#""7""#);
    let wrote = || Some(Report::Wrote(Current::from(8)));
    let conflict = |current: Option<u64>| {
        let current = current.map(|it| Representation::json(Current::from(it), "{}"));
        Some(Report::Conflict { current })
    };
    let rows = || -> Vec<(Row, Option<u64>)> {
        vec![
            (
                (
                    "PUT",
                    seven,
                    reporting(wrote(), 200),
                    (None, Some(8), 200, None),
                ),
                Some(7),
            ),
            (
                (
                    "PUT",
                    seven,
                    reporting(Some(Report::Unchanged), 200),
                    (None, None, 200, None),
                ),
                Some(7),
            ),
            (
                (
                    "DELETE",
                    seven,
                    reporting(Some(Report::Deleted), 204),
                    (None, None, 204, None),
                ),
                Some(7),
            ),
            (
                ("PUT", seven, reporting(None, 422), (None, None, 422, None)),
                Some(7),
            ),
            (
                (
                    "PUT",
                    seven,
                    reporting(None, 200),
                    (None, None, 500, Some(Reason::NotEnforced)),
                ),
                Some(7),
            ),
            (
                (
                    "PUT",
                    seven,
                    reporting(conflict(Some(9)), 200),
                    (Some(9), None, 412, Some(Reason::Stale)),
                ),
                Some(9),
            ),
            (
                (
                    "PUT",
                    seven,
                    reporting(conflict(None), 200),
                    (None, None, 412, Some(Reason::Stale)),
                ),
                Some(7),
            ),
            (
                (
                    "PUT",
                    ("if-none-match", "x"),
                    reporting(None, 200),
                    (None, None, 428, Some(Reason::Missing)),
                ),
                Some(7),
            ),
        ]
    };
    for (row, _) in rows() {
        assert_told(ConditionalLayer::handler(), Mode::Handler, row).await;
    }
    // With a store that is asked first, the base is known.
    for (mut row, base) in rows() {
        row.3.0 = base;
        if row.3.3 == Some(Reason::Missing) {
            row.3 = (Some(7), None, 428, Some(Reason::Missing));
        }
        let store = ScriptedStore::later().present(PATH, 7);
        let layer = ConditionalLayer::handler_with(store);
        let layer = layer.policy(Policy::rfc9110().existence_first(true));
        assert_told(layer, Mode::Handler, row).await;
    }
    for (value, status, reason) in [
        (r#""6""#, 200, None),
        (r#""7""#, 304, Some(Reason::NotModified)),
    ] {
        let read = reporting(Some(Report::Read(Current::from(7))), 200);
        let row = (
            "GET",
            ("if-none-match", value),
            read,
            (Some(7), None, status, reason),
        );
        let layer = ConditionalLayer::handler();
        let layer = layer.policy(Policy::rfc9110().reads(Reads::AfterHandler));
        assert_told(layer, Mode::Handler, row).await;
    }
}

#[tokio::test]
async fn a_write_that_is_only_warned_of_is_told_as_unprotected() {
    for (if_match, sent, unprotected) in [
        (IfMatch::Warn, false, true),
        (IfMatch::Warn, true, false),
        (IfMatch::Optional, false, false),
    ] {
        for layer in [
            ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 7)),
            ConditionalLayer::handler(),
        ] {
            let (layer, log) = heard(layer.policy(Policy::rfc9110().if_match(if_match)));
            let headers = if sent {
                &[("if-match", r#""7""#)][..]
            } else {
                &[]
            };
            let site = reporting(Some(Report::Wrote(Current::from(8))), 200);
            ask(&layer, &site, request("PUT", PATH, headers, "new")).await;
            let log = log.lock().unwrap();
            assert_eq!(log.len(), 1);
            assert_eq!((log[0].unprotected, &log[0].actor), (unprotected, &None));
        }
    }
}

#[tokio::test]
async fn a_write_that_waited_is_told_for_how_long_also_if_in_vain() {
    // Long enough to be told from nothing; no matter how long it really takes.
    let wait = Duration::from_millis(50);
    let store = MemoryStore::new();
    let site = Site::new(&[(PATH, "old")]);
    site.hold_writes();
    let policy = Policy::rfc9110().if_match(IfMatch::Optional);
    let (layer, log) = heard(ConditionalLayer::new(store.clone()).policy(policy.clone()));
    let start = |layer: &ConditionalLayer| {
        let service = layer.layer(site.service());
        tokio::spawn(service.oneshot(request("PUT", PATH, &[], "new")))
    };
    let first = start(&layer);
    site.write_began().await;
    let second = start(&layer);
    until(|| store.stats().waiting == 1).await;
    let (impatient, vain) =
        heard(ConditionalLayer::new(store.clone()).policy(policy.busy(Busy::Wait(wait))));
    let seen = ask(&impatient, &site, request("PUT", PATH, &[], "new")).await;
    assert_eq!(seen.reason(), Some(Reason::Busy));
    site.let_through(2);
    for write in [first, second] {
        assert_eq!(write.await.unwrap().unwrap().status(), 200);
    }
    let (log, vain) = (log.lock().unwrap(), vain.lock().unwrap());
    assert_eq!((log.len(), vain.len()), (2, 1));
    assert!(vain[0].waited >= wait, "{vain:?}");
    // The second has waited for as long as the impatient one, and longer.
    assert!(log[1].waited >= wait, "{log:?}");
    assert!(log[0].waited < log[1].waited, "{log:?}");
}

#[tokio::test]
async fn a_detached_write_is_told_although_its_client_has_left() {
    let store = ScriptedStore::later().present(PATH, 7);
    let site = Site::new(&[(PATH, "old")]);
    site.hold_writes();
    let (layer, log) = heard(ConditionalLayer::new(store.clone()));
    let write = request("PUT", PATH, &[("if-match", r#""7""#)], "new");
    let client = tokio::spawn(layer.layer(site.service()).oneshot(write));
    site.write_began().await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    assert!(log.lock().unwrap().is_empty());
    site.let_through(1);
    until(|| store.claims() == 0 && !log.lock().unwrap().is_empty()).await;
    let log = log.lock().unwrap();
    assert_eq!((log.len(), log[0].status), (1, 200));
    assert_eq!((&log[0].base, &log[0].new), (&version(7), &version(8)));
}

#[tokio::test]
async fn what_passes_through_or_gets_no_answer_is_no_event() {
    let store = ScriptedStore::later().present(PATH, 7);
    let layer = ConditionalLayer::with_runtime(store.clone(), Runtime::inline());
    let (layer, log) = heard(layer);
    let site = Site::new(&[(PATH, "old")]);
    for method in ["OPTIONS", "QUERY"] {
        ask(&layer, &site, request(method, PATH, &[], "")).await;
    }
    let no_key = layer.clone().key(|_| None);
    ask(&no_key, &site, request("PUT", PATH, &[], "")).await;
    let failing = tower::service_fn(async |_: http::Request<_>| {
        let _: tower_conditional::RequestBody<http_body_util::Full<bytes::Bytes>>;
        Err::<http::Response<String>, _>("broken")
    });
    let write = request("PUT", PATH, &[("if-match", r#""7""#)], "new");
    let answer = layer.layer(failing).oneshot(write).await;
    assert_eq!(answer.err(), Some("broken"));
    assert!(log.lock().unwrap().is_empty());
    assert_eq!(store.abandoned(), 1);
}

/// As many events as requests, whoever wins.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_event_is_lost_or_told_twice_under_load() {
    const WRITES: usize = 64;
    let (layer, log) = heard(ConditionalLayer::new(MemoryStore::new()));
    let site = Site::new(&[(PATH, "old")]);
    let read = ask(&layer, &site, request("GET", PATH, &[], "")).await;
    let tag = read.etag().unwrap().to_owned();
    log.lock().unwrap().clear();
    let together = Arc::new(Barrier::new(WRITES));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITES {
        let (service, tag) = (layer.layer(site.service()), tag.clone());
        let together = Arc::clone(&together);
        writers.spawn(async move {
            together.wait().await;
            let write = request("PUT", PATH, &[("if-match", &tag)], "new");
            service.oneshot(write).await.unwrap().status().as_u16()
        });
    }
    let mut answered = writers.join_all().await;
    let mut told: Vec<_> = log
        .lock()
        .unwrap()
        .iter()
        .map(|event| event.status)
        .collect();
    answered.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, answered);
    assert_eq!(answered.iter().filter(|status| **status == 200).count(), 1);
}
