//! Metrics: one count for each request, under names and labels that are documented.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::put;
use http::Request;
use tower::ServiceExt as _;
use tower_conditional::observe::Metered;
use tower_conditional::policy::{Busy, IfMatch};
use tower_conditional::store::Intent;
use tower_conditional::{ConditionalLayer, MemoryStore, Policy};

use super::recorder::Recorded;
use crate::support::{Failure, ScriptedStore, Site, Step, ask, request};

const PATH: &str = "/notes/1";
const GUIDE: &str = include_str!("../../../src/docs/operations.md");

fn metered(layer: ConditionalLayer) -> ConditionalLayer {
    layer
        .observer(Metered::new())
        .route(|_| Some("notes".into()))
}

fn requests(method: &str, outcome: &str) -> String {
    format!(
        "conditional_requests_total{{route=notes,method={method},mode=claim,outcome={outcome}}}"
    )
}

#[tokio::test]
async fn each_request_is_counted_once_by_its_outcome() {
    let recorded = Recorded::default();
    let _installed = recorded.install();
    let tag = |version: u64| format!("\"{version}\"");
    let mut expected = Vec::new();
    let cases: [(&str, Option<(&str, String)>, &str, usize); 7] = [
        ("GET", None, "handled", 3),
        ("GET", Some(("if-none-match", tag(5))), "not_modified", 2),
        ("PUT", None, "missing", 4),
        ("PUT", Some(("if-match", tag(4))), "stale", 5),
        ("PUT", Some(("if-none-match", "*".to_owned())), "exists", 2),
        (
            "PUT",
            Some(("if-match", "\"".to_owned())),
            "malformed_if_match",
            1,
        ),
        ("DELETE", Some(("if-match", tag(5))), "busy", 2),
    ];
    for (method, condition, outcome, times) in cases {
        let policy = Policy::aip154().busy(Busy::Refuse);
        let held = (outcome == "busy").then_some(Intent::Write);
        let store = ScriptedStore::later().present(PATH, 5).held(PATH, held);
        let layer = metered(ConditionalLayer::new(store).policy(policy));
        let site = Site::new(&[(PATH, "old")]);
        let headers: Vec<_> = condition
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        for _ in 0..times {
            ask(&layer, &site, request(method, PATH, &headers, "new")).await;
        }
        expected.push((requests(method, outcome), times as u64));
    }
    let store = ScriptedStore::at_once().present(PATH, 5);
    let layer = metered(ConditionalLayer::new(
        store.failing(Step::Claim, Failure::NotApplied),
    ));
    let write = request("PATCH", PATH, &[("if-match", "\"5\"")], "new");
    ask(&layer, &Site::new(&[(PATH, "old")]), write).await;
    expected.push((requests("PATCH", "store_unavailable"), 1));
    expected.push((
        "conditional_store_failures_total{mode=claim,step=claim}".to_owned(),
        1,
    ));

    assert_eq!(recorded.counters(), expected.into_iter().collect());
}

#[tokio::test]
async fn writes_that_are_only_warned_of_are_counted_as_what_would_be_refused() {
    let recorded = Recorded::default();
    let _installed = recorded.install();
    let count = async |if_match| {
        let policy = Policy::rfc9110().if_match(if_match);
        let store = ScriptedStore::at_once().present(PATH, 5);
        let layer = metered(ConditionalLayer::new(store).policy(policy));
        let site = Site::new(&[(PATH, "old")]);
        for write in [
            request("PUT", PATH, &[], "new"),
            request("PUT", PATH, &[("if-match", "*")], "new"),
            request("DELETE", PATH, &[], ""),
        ] {
            ask(&layer, &site, write).await;
        }
        recorded.counters()
    };
    let warned = count(IfMatch::Warn).await;
    let unprotected = |method| {
        let labels = format!("route=notes,method={method},mode=claim");
        warned.get(&format!("conditional_unprotected_writes_total{{{labels}}}"))
    };
    assert_eq!(
        (unprotected("PUT"), unprotected("DELETE")),
        (Some(&1), Some(&1))
    );
    // It is what the stricter policy does refuse.
    let refused = count(IfMatch::Required).await;
    let missing = |method| refused.get(&requests(method, "missing"));
    assert_eq!((missing("PUT"), missing("DELETE")), (Some(&1), Some(&1)));
}

#[tokio::test]
async fn the_wait_of_writes_is_measured_and_reads_have_none() {
    let recorded = Recorded::default();
    let _installed = recorded.install();
    let wait = Duration::from_millis(30);
    let policy = Policy::rfc9110().busy(Busy::Wait(wait));
    let store = ScriptedStore::at_once()
        .present(PATH, 5)
        .held(PATH, Some(Intent::Write));
    let layer = metered(ConditionalLayer::new(store).policy(policy));
    let site = Site::new(&[(PATH, "old")]);
    ask(&layer, &site, request("GET", PATH, &[], "")).await;
    ask(
        &layer,
        &site,
        request("PUT", PATH, &[("if-match", "\"5\"")], "new"),
    )
    .await;
    let histograms = recorded.histograms();
    let (name, waits) = histograms.first_key_value().expect("a histogram");
    assert_eq!(name, "conditional_wait_seconds{route=notes,mode=claim}");
    assert_eq!((histograms.len(), waits.len()), (1, 1));
    assert!(waits[0] >= wait.as_secs_f64(), "{waits:?}");
}

/// A thousand paths, a hundred methods: as many names as routes.
#[tokio::test]
async fn clients_cannot_make_up_labels() {
    let recorded = Recorded::default();
    let _installed = recorded.install();
    let policy = Policy::rfc9110().if_match(IfMatch::Optional);
    let layer = ConditionalLayer::new(MemoryStore::new()).policy(policy);
    let layer = layer.observer(Metered::new());
    let app: Router = Router::new().route(
        "/notes/{id}",
        put(async || "new")
            .get(async || "old")
            .route_layer(layer.clone()),
    );
    for id in 0..1_000 {
        let request = Request::put(format!("/notes/{id}?{id}")).body(Body::empty());
        let answer = app.clone().oneshot(request.expect("a request")).await;
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    let label = "route=/notes/{id},method=PUT,mode=claim,outcome=handled";
    let expected = format!("conditional_requests_total{{{label}}}");
    assert_eq!(recorded.counters(), [(expected, 1_000)].into());
    assert_eq!(recorded.histograms().len(), 1);

    // Without a router that says so, and without a name of its own, a route has none.
    let site = Site::new(&[]);
    for number in 0..100 {
        let method = format!("BREW{number}");
        ask(
            &layer,
            &site,
            request(&method, &format!("/{number}"), &[], ""),
        )
        .await;
    }
    let label = "route=none,method=other,mode=claim,outcome=handled";
    let made_up = format!("conditional_requests_total{{{label}}}");
    assert_eq!(recorded.counters().get(&made_up), Some(&100));
    assert_eq!(recorded.counters().len(), 2);
}

#[tokio::test]
async fn the_guide_names_what_is_counted_and_nothing_else() {
    let recorded = Recorded::default();
    let _installed = recorded.install();
    let _ = Metered::new();
    let described: BTreeSet<_> = recorded.described().into_iter().collect();
    let named: BTreeSet<_> = GUIDE
        .lines()
        .filter_map(|line| line.strip_prefix("| `conditional_")?.split('`').next())
        .map(|name| format!("conditional_{name}"))
        .collect();
    assert_eq!(described, named);
}
