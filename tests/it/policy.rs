//! Every cell of the policy against every kind of request and state. The expectation is written
//! down a second time here, as a reader of the policy's documentation would.

use std::time::Duration;

use http::Method;
use tower_conditional::policy::{
    Busy, BusyStatus, ConflictStatus, CurrentResource, IfMatch, Malformed, MissingStatus,
};
use tower_conditional::problem::{MissingIfMatch, Reason};
use tower_conditional::store::Intent;
use tower_conditional::{ConditionalLayer, Policy};

use crate::support::{ScriptedStore, Seen, Site, ask, in_time, request};

const PATH: &str = "/notes/1";

#[derive(Debug, Clone, Copy)]
struct Cell {
    if_match: IfMatch,
    missing: MissingStatus,
    conflict: ConflictStatus,
    malformed: Malformed,
    existence_first: bool,
    /// `PUT` can create, `PATCH` cannot.
    method: &'static str,
    exists: bool,
    sent: Sent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Any,
    Create,
    Current,
    Malformed,
    Nothing,
    Stale,
}

#[derive(Debug, PartialEq, Eq)]
struct Expected {
    status: u16,
    /// Empty: the handler's own answer.
    problem: &'static str,
    reason: Option<Reason>,
    tag: Option<&'static str>,
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for if_match in [IfMatch::Optional, IfMatch::Required, IfMatch::Warn] {
        for missing in [
            MissingStatus::BadRequest,
            MissingStatus::PreconditionRequired,
        ] {
            for conflict in [ConflictStatus::Conflict, ConflictStatus::PreconditionFailed] {
                for malformed in [Malformed::BadRequest, Malformed::ConditionFails] {
                    for bits in 0..8 {
                        for sent in [
                            Sent::Any,
                            Sent::Create,
                            Sent::Current,
                            Sent::Malformed,
                            Sent::Nothing,
                            Sent::Stale,
                        ] {
                            cells.push(Cell {
                                if_match,
                                missing,
                                conflict,
                                malformed,
                                existence_first: bits & 1 > 0,
                                method: if bits & 2 > 0 { "PUT" } else { "PATCH" },
                                exists: bits & 4 > 0,
                                sent,
                            });
                        }
                    }
                }
            }
        }
    }
    cells
}

impl Cell {
    fn policy(&self) -> Policy {
        Policy::rfc9110()
            .if_match(self.if_match)
            .missing_status(self.missing)
            .conflict_status(self.conflict)
            .malformed(self.malformed)
            .existence_first(self.existence_first)
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self.sent {
            Sent::Any => &[("if-match", "*")],
            Sent::Create => &[("if-none-match", "*")],
            Sent::Current => &[("if-match", r#""5""#)],
            Sent::Malformed => &[("if-match", "5")],
            Sent::Nothing => &[],
            Sent::Stale => &[("if-match", r#""4""#)],
        }
    }

    fn expected(&self, handler_compares: bool) -> Expected {
        let creates = self.method == "PUT";
        let required = self.if_match == IfMatch::Required;
        let missing = self.sent == Sent::Nothing && required;
        if missing && !self.existence_first {
            return self.missing();
        }
        if !self.exists && !creates {
            let names_a_version = !matches!(self.sent, Sent::Nothing | Sent::Create);
            return match names_a_version && !handler_compares {
                true => self.refused(404, "not-found", Reason::NotFound),
                false => self.handler(404),
            };
        }
        let matches = |holds| if holds { self.ran() } else { self.stale() };
        match self.sent {
            Sent::Nothing if missing => self.missing(),
            Sent::Nothing => self.ran(),
            Sent::Any | Sent::Current => matches(self.exists),
            Sent::Stale => matches(false),
            Sent::Malformed if self.malformed == Malformed::ConditionFails => matches(false),
            Sent::Malformed => self.refused(400, "if-match-malformed", Reason::MalformedIfMatch),
            Sent::Create if self.exists => self.refused(412, "precondition-failed", Reason::Exists),
            Sent::Create => self.ran(),
        }
    }

    fn missing(&self) -> Expected {
        let status = match self.missing {
            MissingStatus::BadRequest => 400,
            MissingStatus::PreconditionRequired => 428,
        };
        self.refused(status, "if-match-required", Reason::Missing)
    }

    fn stale(&self) -> Expected {
        match self.conflict {
            ConflictStatus::Conflict => self.refused(409, "version-mismatch", Reason::Stale),
            ConflictStatus::PreconditionFailed => {
                self.refused(412, "precondition-failed", Reason::Stale)
            }
        }
    }

    fn ran(&self) -> Expected {
        self.handler(if self.exists { 200 } else { 201 })
    }

    fn handler(&self, status: u16) -> Expected {
        let tag = match status {
            200 => Some(r#""6""#),
            201 => Some(r#""1""#),
            _ => None,
        };
        Expected {
            status,
            problem: "",
            reason: None,
            tag,
        }
    }

    fn refused(&self, status: u16, problem: &'static str, reason: Reason) -> Expected {
        let conflict = [Reason::Stale, Reason::Exists].contains(&reason);
        Expected {
            status,
            problem,
            reason: Some(reason),
            tag: (self.exists && conflict).then_some(r#""5""#),
        }
    }

    fn store(&self, store: ScriptedStore) -> ScriptedStore {
        if self.exists {
            store.present(PATH, 5)
        } else {
            store.absent(PATH)
        }
    }

    fn site(&self) -> Site {
        let notes: &[_] = if self.exists { &[(PATH, "old")] } else { &[] };
        Site::new(notes)
    }
}

fn type_of(expected: &Expected) -> String {
    match expected.problem {
        "" => String::new(),
        name => format!("/problems/{name}"),
    }
}

/// What a refusal of the layer looks like, whatever its cause.
fn assert_refused(seen: &Seen, expected: &Expected, row: &str) {
    assert_eq!(seen.status, expected.status, "{row}");
    assert_eq!(seen.problem(), type_of(expected), "{row}");
    assert_eq!(seen.reason(), expected.reason, "{row}");
    assert_eq!(seen.header("cache-control"), Some("no-store"), "{row}");
}

#[tokio::test]
async fn every_cell_does_what_its_policy_says() {
    let scripts: [fn() -> ScriptedStore; 2] = [ScriptedStore::at_once, ScriptedStore::later];
    let mut refused = 0;
    for (cell, store) in cells()
        .into_iter()
        .flat_map(|cell| scripts.map(|store| (cell, store())))
    {
        let row = format!("{cell:?}");
        let (site, store) = (cell.site(), cell.store(store));
        let layer = ConditionalLayer::new(store.clone()).policy(cell.policy());
        let write = request(cell.method, PATH, cell.headers(), "new");
        let seen = ask(&layer, &site, write).await;
        let expected = cell.expected(false);

        assert_eq!(seen.status, expected.status, "{row}");
        assert_eq!(seen.etag(), expected.tag, "{row}");
        assert_eq!(store.claims(), 0, "{row}");
        if expected.reason.is_some() {
            refused += 1;
            assert_refused(&seen, &expected, &row);
            assert!(site.calls().is_empty(), "the handler ran: {row}");
            let old = cell.exists.then_some("old");
            assert_eq!(site.note(PATH).as_deref(), old, "{row}");
            assert_eq!(store.version(PATH), cell.exists.then_some(5), "{row}");
        } else {
            let call = format!("{} {PATH}", cell.method);
            assert_eq!(site.calls(), [call], "{row}");
            assert_eq!((seen.problem().as_str(), seen.reason()), ("", None));
            let new = (expected.status < 300).then_some("new");
            assert_eq!(site.note(PATH).as_deref(), new, "{row}");
        }
        let warned = seen.extensions.get::<MissingIfMatch>().is_some();
        let missing = cell.if_match == IfMatch::Warn && cell.sent == Sent::Nothing;
        assert_eq!(warned, missing, "{row}");
    }
    assert!(refused > 500, "only {refused} cells refused");
}

#[tokio::test]
async fn every_cell_that_needs_no_look_at_the_resource_is_the_same_in_handler_mode() {
    for cell in cells() {
        let row = format!("{cell:?}");
        let site = cell.site();
        let layer = ConditionalLayer::handler().policy(cell.policy());
        let write = request(cell.method, PATH, cell.headers(), "new");
        let seen = ask(&layer, &site, write).await;
        let expected = match cell.sent {
            // Without a store, a route that wants to know of a 404 first has to ask the handler.
            Sent::Nothing if cell.if_match == IfMatch::Required => cell.missing(),
            Sent::Malformed if cell.malformed == Malformed::BadRequest => {
                cell.refused(400, "if-match-malformed", Reason::MalformedIfMatch)
            }
            Sent::Malformed => Expected {
                tag: None,
                ..cell.stale()
            },
            _ => {
                assert_eq!(site.calls().len(), 1, "{row}");
                continue;
            }
        };
        if cell.existence_first && cell.sent == Sent::Nothing {
            assert_eq!(site.calls().len(), 1, "{row}");
            continue;
        }
        assert_refused(&seen, &expected, &row);
        assert!(site.calls().is_empty(), "the handler ran: {row}");
    }
}

#[tokio::test]
async fn every_cell_that_a_store_can_decide_is_the_same_in_handler_mode_with_existence_first() {
    for cell in cells() {
        if !cell.existence_first {
            continue;
        }
        let row = format!("{cell:?}");
        let site = cell.site();
        let store = cell.store(ScriptedStore::later());
        let policy = cell.policy().current_resource(CurrentResource::Omit);
        let layer = ConditionalLayer::handler_with(store).policy(policy);
        let write = request(cell.method, PATH, cell.headers(), "new");
        let seen = ask(&layer, &site, write).await;
        let expected = cell.expected(true);
        if expected.reason.is_some() {
            assert_refused(&seen, &expected, &row);
            assert_eq!(seen.etag(), expected.tag, "{row}");
            assert!(site.calls().is_empty(), "the handler ran: {row}");
        } else {
            assert_eq!(site.calls().len(), 1, "{row}");
        }
    }
}

#[tokio::test]
async fn a_handler_that_is_to_show_what_is_current_sees_every_stale_write() {
    for cell in cells() {
        if !cell.existence_first || cell.if_match != IfMatch::Required {
            continue;
        }
        let row = format!("{cell:?}");
        let site = cell.site();
        let store = cell.store(ScriptedStore::later());
        let policy = cell.policy().current_resource(CurrentResource::Reported);
        let layer = ConditionalLayer::handler_with(store).policy(policy);
        let write = request(cell.method, PATH, cell.headers(), "new");
        let seen = ask(&layer, &site, write).await;
        let compares = match cell.expected(true).reason {
            Some(Reason::Stale) => cell.sent != Sent::Malformed,
            Some(Reason::Exists) | None => true,
            Some(_) => false,
        };
        assert_eq!(!site.calls().is_empty(), compares, "{row}: {}", seen.status);
    }
}

#[tokio::test]
async fn the_presets_are_the_published_conventions() {
    for (policy, missing, stale, malformed) in [
        (Policy::rfc9110(), 428, 412, 412),
        (Policy::default(), 428, 412, 412),
        (Policy::aip154(), 400, 409, 400),
    ] {
        let layer =
            ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 5)).policy(policy.clone());
        let site = Site::new(&[(PATH, "old")]);
        for (headers, status) in [
            (&[][..], missing),
            (&[("if-match", r#""4""#)], stale),
            (&[("if-match", "")], malformed),
        ] {
            let seen = ask(&layer, &site, request("PUT", PATH, headers, "new")).await;
            assert_eq!(seen.status, status, "{policy:?}");
        }
        assert!(site.calls().is_empty(), "the handler ran");
    }
}

#[tokio::test]
async fn methods_can_be_exceptions() {
    let policy = Policy::aip154()
        .if_match_for(Method::DELETE, IfMatch::Optional)
        .if_match_for(Method::POST, IfMatch::Required)
        .creates(Method::PATCH, true)
        .creates(Method::PUT, false);
    for (policy, method, exists, headers, status) in [
        (&policy, "DELETE", true, &[][..], 204),
        (&policy, "POST", true, &[], 400),
        (&policy, "PATCH", false, &[("if-match", r#""5""#)], 409),
        (&policy, "PATCH", true, &[], 400),
        (&policy, "PUT", true, &[], 400),
        // Of a method that cannot create, a missing resource is 404 to whoever names a version of it.
        (&policy, "PUT", false, &[("if-match", r#""5""#)], 404),
        (&policy, "PUT", false, &[("if-none-match", "*")], 201),
        // The rule of a method is its own whatever the order in which it is said.
        (
            &Policy::aip154()
                .if_match_for(Method::DELETE, IfMatch::Required)
                .if_match(IfMatch::Optional),
            "DELETE",
            true,
            &[],
            400,
        ),
        (&Policy::aip154(), "POST", true, &[], 201),
        (
            &Policy::aip154().if_match(IfMatch::Optional),
            "BREW",
            true,
            &[],
            405,
        ),
        (&Policy::aip154(), "BREW", true, &[], 400),
    ] {
        let (site, store) = if exists {
            (
                Site::new(&[(PATH, "old")]),
                ScriptedStore::at_once().present(PATH, 5),
            )
        } else {
            (Site::new(&[]), ScriptedStore::at_once().absent(PATH))
        };
        let layer = ConditionalLayer::new(store).policy(policy.clone());
        let seen = ask(&layer, &site, request(method, PATH, headers, "new")).await;
        assert_eq!(seen.status, status, "{method}, exists: {exists}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_finds_the_resource_held_is_refused_by_the_policy() {
    let second = Duration::from_secs(1);
    for (busy, waits) in [(Busy::Refuse, false), (Busy::Wait(second), true)] {
        for (holder, problem, reason) in [
            (Intent::Write, "resource-busy", Reason::Busy),
            (
                Intent::Delete,
                "delete-in-progress",
                Reason::DeleteInProgress,
            ),
        ] {
            for (busy_status, status) in [
                (BusyStatus::Conflict, 409),
                (BusyStatus::ServiceUnavailable, 503),
            ] {
                let row = format!("{busy:?} {holder:?} {busy_status:?}");
                let site = Site::new(&[(PATH, "old")]);
                let store = ScriptedStore::at_once()
                    .present(PATH, 5)
                    .held(PATH, Some(holder));
                let policy = Policy::rfc9110().busy(busy).busy_status(busy_status);
                let layer = ConditionalLayer::new(store.clone()).policy(policy);
                let began = tokio::time::Instant::now();
                let write = request("PUT", PATH, &[("if-match", r#""5""#)], "new");
                let seen = ask(&layer, &site, write).await;
                let expected = Expected {
                    status,
                    problem,
                    reason: Some(reason),
                    tag: None,
                };
                assert_refused(&seen, &expected, &row);
                // The store said 1.2 seconds.
                assert_eq!(seen.header("retry-after"), Some("2"), "{row}");
                assert_eq!(seen.etag(), None, "{row}");
                assert_eq!(began.elapsed() >= second, waits, "{row}");
                assert!(site.calls().is_empty(), "the handler ran: {row}");
                assert_eq!(store.version(PATH), Some(5), "{row}");
            }
        }
    }
}

#[tokio::test]
async fn a_write_that_waits_has_its_turn() {
    let site = Site::new(&[(PATH, "old")]);
    let store = ScriptedStore::at_once()
        .present(PATH, 5)
        .held(PATH, Some(Intent::Write));
    let layer = ConditionalLayer::new(store.clone())
        .policy(Policy::rfc9110().busy(Busy::Wait(Duration::from_secs(60))));
    let (asked, by) = (site.clone(), layer.clone());
    let waiting = tokio::spawn(async move {
        let write = request("PUT", PATH, &[("if-match", r#""5""#)], "new");
        ask(&by, &asked, write).await
    });
    crate::support::until(|| !store.asked().is_empty()).await;
    assert!(site.calls().is_empty(), "the handler ran");
    store.held(PATH, None);
    let seen = in_time(waiting).await.unwrap();
    assert_eq!((seen.status, seen.etag()), (200, Some(r#""6""#)));
}

#[tokio::test]
async fn a_method_can_refuse_where_others_wait() {
    let site = Site::new(&[(PATH, "old")]);
    let store = ScriptedStore::at_once()
        .present(PATH, 5)
        .held(PATH, Some(Intent::Delete));
    let policy = Policy::rfc9110()
        .busy(Busy::Wait(Duration::from_secs(3_600)))
        .busy_for(Method::DELETE, Busy::Refuse);
    let layer = ConditionalLayer::new(store).policy(policy);
    let delete = request("DELETE", PATH, &[("if-match", r#""5""#)], "");
    let seen = in_time(ask(&layer, &site, delete)).await;
    assert_eq!(seen.reason(), Some(Reason::DeleteInProgress));
    assert!(site.calls().is_empty(), "the handler ran");
}
