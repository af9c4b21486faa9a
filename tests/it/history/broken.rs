//! The checker is worth something only if it sees what it is there to see: each of the five rules
//! broken on purpose, and found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tower_conditional::{ConditionalLayer, Policy};

use super::checker::{Verdict, Violation, check};
use super::drive::{Load, drive};
use super::faults::Plan;
use super::leases::LeaseStore;
use super::modes::load;
use super::rows::Rows;
use super::rules::Rule;
use super::server::Server;

const RESOURCES: usize = 8;
/// How long chance may take to show what is broken; mostly the first run does.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// A run with a service that breaks `rule`.
async fn run(rule: Rule, round: u64) -> Verdict {
    let plan = Plan {
        errors: 100,
        ..Plan::USUAL
    };
    let server = match rule {
        Rule::R1 | Rule::R4 => {
            let store = LeaseStore::breaking(Some(rule));
            let policy = Policy::rfc9110().lease(Duration::from_millis(100));
            Server::of_documents(ConditionalLayer::new(store).policy(policy), plan).await
        }
        Rule::R2 | Rule::R3 | Rule::R5 => {
            let rows = Arc::new(Rows::breaking(Some(rule)));
            Server::of_rows(rows, ConditionalLayer::handler(), plan).await
        }
    };
    let load = Load {
        clients: 4 * RESOURCES as u32,
        acknowledged: 500,
        duration: Duration::ZERO,
        // Only R5 is about deletes. A delete in doubt that keeps its version (R4) would take the
        // resource out of the game: there, but absent for the store.
        journal: if rule == Rule::R5 { 10 } else { usize::MAX },
        settles_within: Duration::from_millis(500),
        seed: load().seed + round,
        ..load()
    };
    check(&drive(server.api(RESOURCES), load).await)
}

/// Breaks `rule` until each of `violations` was reported.
async fn assert_found(rule: Rule, violations: &[Violation]) {
    let mut missing = violations.to_vec();
    let began = Instant::now();
    for round in 0.. {
        let verdict = run(rule, round).await;
        missing.retain(|violation| {
            let evidence = verdict
                .findings
                .iter()
                .find(|found| found.violation == *violation);
            if let Some(evidence) = evidence {
                println!("{rule:?} broken: {evidence}");
            }
            evidence.is_none()
        });
        if missing.is_empty() {
            return;
        }
        assert!(
            began.elapsed() < LONG_ENOUGH,
            "nobody sees {missing:?} when {rule:?} is broken"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_without_a_claim_is_seen_to_lose_writes() {
    assert_found(Rule::R1, &[Violation::Fork, Violation::LostWrite]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_stamped_with_the_current_version_is_seen_to_lose_writes() {
    assert_found(
        Rule::R2,
        &[Violation::TagNamesTwoStates, Violation::LostWrite],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_read_after_the_data_is_seen_to_lose_writes() {
    assert_found(
        Rule::R3,
        &[Violation::TagNamesTwoStates, Violation::LostWrite],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_kept_when_in_doubt_is_seen_to_name_two_states() {
    assert_found(
        Rule::R4,
        &[
            Violation::TagNamesTwoStates,
            Violation::Vanished,
            Violation::Stale304,
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_comes_back_after_a_delete_is_seen() {
    assert_found(Rule::R5, &[Violation::TagReused]).await;
}
