//! The layer in claim mode, over the memory store, on a scheduler that takes its turns at random.
//!
//! All that is played is around it: an executor and a timer, handlers that fail or are given up
//! half way, clients that leave. The scheduler (shuttle) may change tasks at every await. What the
//! store does under one of its locks is one turn here, since its locks are not the scheduler's;
//! the steps within are another model's, see `.ci/loom`.
//!
//! Leases take no time: a claim that is abandoned ends at the next look at the store. That is
//! honest here, since a handler that is dropped has no effect any more, and it makes the ends of
//! claims as frequent as can be.

mod broken_store;
mod clients;
mod findings;
mod handler;
mod runtime;

use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{RandomScheduler, Scheduler};
use shuttle::{Config, Runner};
use tower::Layer as _;
use tower_conditional::store::{ClaimOptions, Claimed, Condition, Intent, Outcome};
use tower_conditional::{
    ClaimStore, ConditionalLayer, MemoryStore, Policy, ResourceKey, Runtime, VersionStore,
};

use self::broken_store::{BrokenStore, Fault};
use self::findings::{Finding, Findings, Seen};
use self::handler::Document;
use self::runtime::{Tasks, Turns};

const CLIENTS: u32 = 3;
const PATH: &str = "/document";

/// Who may stop a handler half way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handlers {
    /// Nobody: they are detached.
    Detached,
    /// An executor that gives up on its tasks at random, as one does that shuts down.
    GivenUp,
    /// The client that leaves: they run inside of the request.
    Inline,
}

/// One run: everybody does what they do, then the document and the store are looked over.
async fn run(handlers: Handlers, fault: Fault, findings: &Arc<Findings>) {
    let tasks = Tasks::default();
    let turns = Turns {
        outlast_run: fault == Fault::None,
    };
    let runtime = match handlers {
        Handlers::Detached => Runtime::new(tasks.clone(), turns),
        Handlers::GivenUp => Runtime::new(tasks.clone().giving_up(), turns),
        Handlers::Inline => Runtime::new(tasks.clone(), turns).without_executor(),
    };
    let store = MemoryStore::with_runtime(runtime.clone());
    let document = Arc::new(Document::new(Arc::clone(findings)));
    let service = ConditionalLayer::with_runtime(BrokenStore::new(store.clone(), fault), runtime)
        .policy(Policy::rfc9110().lease(Duration::ZERO))
        .layer(handler::service(Arc::clone(&document)));

    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (service, findings) = (service.clone(), Arc::clone(findings));
            let document = Arc::clone(&document);
            shuttle::future::spawn(clients::run(client, service, document, findings))
        })
        .collect();
    for client in clients {
        client.await.expect("nobody aborts a client");
    }
    tasks.join().await;

    document.look_over();
    if !is_free(&store).await {
        findings.report(Finding::StuckClaim);
    }
}

async fn is_free(store: &MemoryStore) -> bool {
    let key = ResourceKey::new(PATH);
    let options = ClaimOptions {
        wait: Duration::ZERO,
        lease: Duration::ZERO,
        intent: Intent::Write,
    };
    let settled = store.current(&key).await.is_ok_and(|now| now.settled);
    let claimed = store.claim(&key, &Condition::Unconditional, options).await;
    let Ok(Claimed::Granted(claim)) = claimed else {
        return false;
    };
    let released = store.settle(claim, Outcome::Unchanged).await;
    let stats = store.stats();
    settled && released.is_ok() && stats.held == 0 && stats.waiting == 0
}

/// How many schedules of each kind: enough for the test to have seen every fault many times over.
fn runs() -> usize {
    let named = std::env::var("MODEL_RUNS").ok();
    named.map_or(500, |runs| runs.parse().expect("MODEL_RUNS is a number"))
}

fn explore(scheduler: impl Scheduler + 'static, run_once: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    // Unoptimised futures are large.
    config.stack_size = 512 * 1024;
    Runner::new(scheduler, config).run(run_once);
}

/// Panics in the schedule that finds something, so that the scheduler prints it.
#[track_caller]
fn assert_sound(handlers: Handlers) -> Seen {
    let seen = Arc::new(Seen::default());
    let all = Arc::clone(&seen);
    explore(RandomScheduler::new(runs()), move || {
        let findings = Arc::new(Findings::new(Arc::clone(&all)));
        shuttle::future::block_on(run(handlers, Fault::None, &findings));
        assert_eq!(findings.first(), None, "handlers: {handlers:?}");
    });
    Arc::into_inner(seen).expect("the runs are over")
}

/// What is found first with a store that is broken, if anything is.
fn first_finding(handlers: Handlers, fault: Fault) -> Option<Finding> {
    let findings = Arc::new(Findings::new(Arc::default()));
    let all = Arc::clone(&findings);
    explore(RandomScheduler::new_from_seed(1, 500), move || {
        if all.first().is_none() {
            shuttle::future::block_on(run(handlers, fault, &all));
        }
    });
    findings.first()
}

#[test]
fn clients_that_leave_cannot_harm_detached_handlers() {
    let seen = assert_sound(Handlers::Detached);
    seen.assert_raced();
}

#[test]
fn an_executor_that_gives_up_on_its_tasks_loses_nothing() {
    let seen = assert_sound(Handlers::GivenUp);
    seen.assert_raced();
    seen.assert_gave_up();
}

#[test]
fn clients_that_leave_stop_handlers_inside_of_the_request_and_lose_nothing() {
    let seen = assert_sound(Handlers::Inline);
    seen.assert_raced();
    seen.assert_gave_up();
}

#[test]
fn a_store_that_compares_before_it_claims_is_found() {
    let found = first_finding(Handlers::Detached, Fault::ComparesBeforeItClaims);
    assert_eq!(found, Some(Finding::LostUpdate));
}

#[test]
fn a_store_that_releases_abandoned_claims_is_found() {
    let found = first_finding(Handlers::Inline, Fault::ReleasesAbandonedClaims);
    assert!(
        matches!(found, Some(Finding::LostUpdate | Finding::TagOfTwoStates)),
        "{found:?}"
    );
}

#[test]
fn a_store_that_forgets_abandoned_claims_is_found() {
    let found = first_finding(Handlers::Inline, Fault::ForgetsAbandonedClaims);
    assert_eq!(found, Some(Finding::StuckClaim));
}

#[test]
fn a_store_that_hides_open_claims_from_readers_is_found() {
    let found = first_finding(Handlers::Detached, Fault::HidesOpenClaims);
    assert_eq!(found, Some(Finding::TagOfTwoStates));
}

#[test]
fn a_store_that_uses_a_version_again_is_found() {
    let found = first_finding(Handlers::Detached, Fault::UsesVersionsAgain);
    assert!(
        matches!(found, Some(Finding::LostUpdate | Finding::TagOfTwoStates)),
        "{found:?}"
    );
}
