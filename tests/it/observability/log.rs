//! Events of `tracing`: one for each request, a conflict never louder than `info`.

use std::collections::BTreeSet;

use tower_conditional::observe::{Metered, Traced};
use tower_conditional::policy::{Busy, IfMatch};
use tower_conditional::problem::Reason;
use tower_conditional::report::Report;
use tower_conditional::store::Intent;
use tower_conditional::{ConditionalLayer, Policy};
use tracing::Level;

use super::recorder::Recorded;
use super::subscriber::{Log, Logged};
use crate::support::{Failure, ScriptedStore, Site, Step, ask, request};

const PATH: &str = "/notes/1";
const GUIDE: &str = include_str!("../../../src/docs/operations.md");

async fn logged(layer: ConditionalLayer, method: &str, headers: &[(&str, &str)]) -> Vec<Logged> {
    let log = Log::default();
    let _installed = log.install();
    let site = Site::new(&[(PATH, "old")]);
    let layer = layer.observer(Traced).route(|_| Some("notes".into()));
    ask(&layer, &site, request(method, PATH, headers, "new")).await;
    log.take()
}

fn at_five() -> ScriptedStore {
    ScriptedStore::later().present(PATH, 5)
}

#[tokio::test]
async fn a_request_is_one_event_with_what_is_true_of_it() {
    let layer = ConditionalLayer::new(at_five());
    let layer = layer.actor(|_| Some("ann".into()));
    let events = logged(layer, "PUT", &[("if-match", r#""5""#)]).await;
    let [event] = &events[..] else {
        panic!("{events:?}");
    };
    for (name, value) in [
        ("message", "conditional request decided"),
        ("outcome", "handled"),
        ("route", "notes"),
        ("method", "PUT"),
        ("mode", "claim"),
        ("status", "200"),
        ("key", PATH),
        ("base", "5"),
        ("new", "6"),
        ("actor", "ann"),
        ("unprotected", "false"),
        ("waited_ms", "0"),
    ] {
        assert_eq!(event.field(name), value, "{name}: {event:?}");
    }
    assert_eq!(event.level, Level::DEBUG);
}

#[tokio::test]
async fn a_conflict_is_never_louder_than_info() {
    for policy in [Policy::rfc9110(), Policy::aip154()] {
        for (method, condition, outcome) in [
            ("PUT", ("if-match", r#""4""#), "stale"),
            ("PUT", ("if-match", r#"W/"5""#), "stale"),
            ("DELETE", ("if-match", r#""4""#), "stale"),
            ("GET", ("if-match", r#""4""#), "stale"),
            ("PUT", ("if-none-match", "*"), "exists"),
            ("PUT", ("x-none", ""), "missing"),
        ] {
            let layer = ConditionalLayer::new(at_five()).policy(policy.clone());
            let events = logged(layer, method, &[condition]).await;
            assert_eq!(events.len(), 1, "{events:?}");
            assert_eq!(events[0].field("outcome"), outcome, "{events:?}");
            assert_eq!(events[0].level, Level::INFO, "{events:?}");
        }
    }
    let set = Policy::aip154().set_once("already-there");
    let layer = ConditionalLayer::new(at_five()).policy(set);
    let events = logged(layer, "POST", &[]).await;
    assert_eq!(
        (events[0].field("outcome"), events[0].level),
        ("already_set", Level::INFO)
    );
    // The handler's own.
    let log = Log::default();
    let _installed = log.install();
    let site = Site::marking(&[(PATH, "old")], |_, response| {
        let conflict = Report::Conflict { current: None };
        response.extensions_mut().insert(conflict);
    });
    let layer = ConditionalLayer::handler().observer(Traced);
    let write = request("PUT", PATH, &[("if-match", r#""4""#)], "new");
    ask(&layer, &site, write).await;
    let events = log.take();
    assert_eq!(
        (events[0].field("outcome"), events[0].level),
        ("stale", Level::INFO)
    );
}

#[tokio::test]
async fn a_store_that_fails_is_warned_of_with_all_sources() {
    for (step, name) in [(Step::Claim, "claim"), (Step::Settle, "settle")] {
        let layer = ConditionalLayer::new(at_five().failing(step, Failure::Unknown));
        let events = logged(layer, "PUT", &[("if-match", r#""5""#)]).await;
        let failed = &events[0];
        assert_eq!((failed.level, failed.field("step")), (Level::WARN, name));
        assert_eq!(failed.field("message"), "version store failed");
        let error = "the version store failed; the step may have happened: by the script";
        assert_eq!(failed.field("error"), error);
        let (outcome, level) = match step {
            Step::Claim => ("store_unavailable", Level::WARN),
            // It has run; only its tag is missing.
            _ => ("handled", Level::DEBUG),
        };
        assert_eq!(
            (events[1].field("outcome"), events[1].level),
            (outcome, level)
        );
        assert_eq!(events.len(), 2);
    }
    // A read that goes on untagged says so too.
    let layer = ConditionalLayer::new(at_five().failing(Step::Current, Failure::NotApplied));
    let events = logged(layer, "GET", &[]).await;
    assert_eq!(
        (events[0].field("step"), events[0].level),
        ("current", Level::WARN)
    );
    assert_eq!((events[1].field("outcome"), events.len()), ("handled", 2));
}

#[tokio::test]
async fn what_the_service_owes_is_warned_of_and_what_is_wrong_in_it_is_an_error() {
    let busy = at_five().held(PATH, Some(Intent::Write));
    let busy = ConditionalLayer::new(busy).policy(Policy::rfc9110().busy(Busy::Refuse));
    let unseen = ConditionalLayer::new(ScriptedStore::at_once());
    let five = ("if-match", r#""5""#);
    for (layer, condition, outcome, level) in [
        (busy, five, "busy", Level::WARN),
        (
            unseen,
            ("if-none-match", "*"),
            "existence_unknown",
            Level::ERROR,
        ),
        (
            ConditionalLayer::handler(),
            five,
            "not_enforced",
            Level::ERROR,
        ),
    ] {
        let events = logged(layer, "PUT", &[condition]).await;
        assert_eq!(
            (events[0].field("outcome"), events[0].level),
            (outcome, level)
        );
        assert_eq!(events.len(), 1);
    }
    let warned = Policy::rfc9110().if_match(IfMatch::Warn);
    let events = logged(ConditionalLayer::new(at_five()).policy(warned), "PUT", &[]).await;
    assert_eq!(
        (events[0].field("unprotected"), events[0].level),
        ("true", Level::INFO)
    );
}

#[tokio::test]
async fn a_pair_of_observers_hears_everything_twice() {
    let (log, recorded) = (Log::default(), Recorded::default());
    let _installed = (log.install(), recorded.install());
    let store = at_five().failing(Step::Claim, Failure::Unknown);
    let layer = ConditionalLayer::new(store).observer((Traced, Metered::new()));
    let site = Site::new(&[(PATH, "old")]);
    ask(
        &layer,
        &site,
        request("PUT", PATH, &[("if-match", r#""5""#)], "new"),
    )
    .await;
    assert_eq!((log.take().len(), recorded.counters().len()), (2, 2));
}

/// One name for each reason, and the guide has them all.
#[test]
fn the_guide_has_every_outcome_under_one_name() {
    let reasons = [
        Reason::AlreadySet,
        Reason::Busy,
        Reason::ContentTooLarge,
        Reason::ContentUnreadable,
        Reason::DeleteInProgress,
        Reason::EarlierOutcomeUnknown,
        Reason::ExistenceUnknown,
        Reason::Exists,
        Reason::IdentityMissing,
        Reason::InProgress,
        Reason::KeyMalformed,
        Reason::KeyMissing,
        Reason::KeyReused,
        Reason::MalformedIfMatch,
        Reason::MalformedIfNoneMatch,
        Reason::Missing,
        Reason::NotEnforced,
        Reason::NotFound,
        Reason::NotModified,
        Reason::NotSet,
        Reason::OutcomeUnknown,
        Reason::ResultNotStored,
        Reason::Stale,
        Reason::StoreUnavailable,
    ];
    let names: BTreeSet<_> = reasons.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), reasons.len(), "two have one name");
    let section = GUIDE.split("# Outcomes").nth(1).expect("it is there");
    let table = section.split("# Log").next().unwrap_or_default();
    let first_cells = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    let listed: BTreeSet<_> = first_cells
        .flat_map(|cell| cell.split([',', ' ']).map(|name| name.trim_matches('`')))
        .filter(|name| !name.is_empty() && !["handled", "replayed"].contains(name))
        .collect();
    assert_eq!(listed, names);
    assert!(GUIDE.contains(&format!("the {} words above", names.len() + 2)));
}
