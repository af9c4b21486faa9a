//! Each mode under fire: not one promise is broken, and it did race.

use std::sync::Arc;
use std::time::Duration;

use tower_conditional::policy::{Busy, Reads};
use tower_conditional::{ConditionalLayer, MemoryStore, Policy, Runtime};

use super::checker::{Counts, check};
use super::drive::{Load, drive};
use super::faults::{Plan, Tally};
use super::leases::LeaseStore;
use super::rows::Rows;
use super::server::Server;

const RESOURCES: usize = 48;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

pub(super) fn load() -> Load {
    Load {
        clients: 2 * RESOURCES as u32,
        acknowledged: 10_000,
        duration: Duration::from_secs(number("HISTORY_SECONDS").unwrap_or(0)),
        disconnects: 300,
        journal: 100,
        leaves_within: Duration::from_millis(6),
        settles_within: Duration::from_secs(20),
        seed: number("HISTORY_SEED").unwrap_or_else(|| u64::from(std::process::id())),
        trouble: Arc::default(),
    }
}

fn policy() -> Policy {
    Policy::rfc9110()
        .busy(Busy::Wait(Duration::from_millis(100)))
        .lease(Duration::from_millis(100))
}

/// Runs one mode, and asserts that nothing was broken and everything happened.
async fn run(server: &Server) -> Counts {
    let history = drive(server.api(RESOURCES), load()).await;
    let verdict = check(&history);
    verdict.assert_clean();
    let (counts, tally) = (verdict.counts, &server.faults.tally);
    println!("{counts:#?}\n{tally:#?}");
    assert!(counts.acknowledged >= 10_000);
    for (what, count) in [
        ("deletes", counts.deleted),
        ("disconnects", counts.disconnected),
        ("half-sent or busy writes", counts.otherwise_never),
        ("overlapping writes", counts.overlapping),
        ("overlapping writes of one parent", counts.rivals),
        ("304", counts.not_modified),
        ("stale writes", counts.refused_stale),
        (
            "writes that happened without a word",
            counts.unknown_but_happened,
        ),
        (
            "handlers at once",
            Tally::of(&tally.most_running).saturating_sub(1),
        ),
        ("panics", Tally::of(&tally.panics)),
        ("errors", Tally::of(&tally.errors)),
        ("inner timeouts", Tally::of(&tally.inner_timeouts)),
        ("outer timeouts", Tally::of(&tally.outer_timeouts)),
        (
            "handlers dropped after their effect",
            Tally::of(&tally.dropped_after_effect),
        ),
    ] {
        assert!(count > 0, "no {what}: the run proves nothing");
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_of_the_memory_store_loses_nothing() {
    let layer = ConditionalLayer::new(MemoryStore::new()).policy(policy());
    let server = Server::of_documents(layer, Plan::USUAL).await;
    let counts = run(&server).await;
    assert!(counts.untagged_reads > 0, "no read met an open write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_loses_nothing_when_clients_can_stop_a_handler() {
    let runtime = Runtime::tokio().without_executor();
    let layer = ConditionalLayer::with_runtime(MemoryStore::new(), runtime).policy(policy());
    let server = Server::of_documents(layer, Plan::USUAL).await;
    let counts = run(&server).await;
    assert!(counts.untagged_reads > 0, "no read met an open write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_with_leases_lose_nothing() {
    let store = LeaseStore::default();
    // Who waits for longer than most handlers take waits for the end of a lease.
    let policy = policy()
        .lease(LEASE)
        .busy(Busy::Wait(Duration::from_millis(20)));
    let layer = ConditionalLayer::new(store.clone()).policy(policy);
    let server = Server::of_documents(
        layer,
        Plan {
            hangs: 5,
            inner_timeouts: 100,
            ..Plan::USUAL
        },
    )
    .await;
    let counts = run(&server).await;
    assert!(counts.untagged_reads > 0, "no read met an open write");
    assert!(store.takeovers() > 0, "no lease ever ended");
}

/// Long enough that a handler on a machine that is busy elsewhere is dropped before its lease ends.
const LEASE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_compare_lose_nothing() {
    let layer = ConditionalLayer::handler();
    let server = Server::of_rows(Arc::default(), layer, Plan::USUAL).await;
    run(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_compare_lose_nothing_when_reads_are_evaluated_before_them() {
    let rows = Arc::new(Rows::default());
    let policy = Policy::rfc9110()
        .reads(Reads::BeforeHandler)
        .existence_first(true);
    let layer = ConditionalLayer::handler_with(Arc::clone(&rows)).policy(policy);
    let server = Server::of_rows(rows, layer, Plan::USUAL).await;
    run(&server).await;
}
