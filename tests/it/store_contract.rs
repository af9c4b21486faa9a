//! The store contract suite: stores that keep the contract pass, and each broken one fails the
//! check that names its fault.

use std::time::Duration;

use tower_conditional::MemoryStore;
use tower_conditional::testing::{
    Check, ClaimStoreSuite, Report, VersionStoreSuite, assert_claim_store,
};

use crate::toy_store::{Fault, LEASE, ToyStore, Unreachable};

#[tokio::test]
async fn memory_keeps_the_contract() {
    let store = MemoryStore::new();
    assert_claim_store(async || store.clone()).await;
    let stats = store.stats();
    // What was abandoned for the rest of a lease of minutes.
    assert!(stats.held < 10, "{stats:?}");
    assert_eq!(stats.waiting, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract_across_restarts() {
    let store = MemoryStore::new();
    let suite = ClaimStoreSuite::new(async || store.clone())
        .restart(async || MemoryStore::new())
        .lease(LEASE);
    suite.run().await.assert_passed();
}

#[tokio::test]
async fn memory_that_forgets_all_the_time_keeps_what_it_can() {
    let store = MemoryStore::new().with_capacity(1);
    let suite = ClaimStoreSuite::new(async || store.clone()).lease(LEASE);
    for check in [
        Check::ClaimIsAtomic,
        Check::LateSettleIsFenced,
        Check::VersionIsFresh,
        Check::UnknownBumps,
    ] {
        assert_eq!(suite.check(check).await, Some(Ok(())), "{check}");
    }
}

#[tokio::test]
async fn a_store_with_leases_keeps_the_contract() {
    let store = ToyStore::new(Fault::None);
    let suite = ClaimStoreSuite::new(async || store.handle())
        .failing(async || Unreachable { says_so: true })
        .lease(LEASE);
    let report = suite.run().await;
    report.assert_passed();
    assert_eq!(report.skipped, []);
    assert_eq!(report.to_string(), "the store keeps the contract");
}

#[tokio::test]
async fn a_store_that_panics_fails_and_does_not_end_the_suite() {
    let store = ToyStore::new(Fault::Panics);
    let suite = ClaimStoreSuite::new(async || store.handle());
    let failed = suite.check(Check::VersionIsFresh).await;
    let reason = failed.expect("it runs").expect_err("it fails");
    assert_eq!(reason, "the store panicked: out of cheese");
}

#[tokio::test]
#[should_panic(expected = "- VersionIsFresh (rule 3): a write gave the resource version 1")]
async fn a_failure_says_which_promise_was_broken_and_how() {
    let store = ToyStore::new(Fault::CountersPerHandle);
    let suite = ClaimStoreSuite::new(async || store.handle());
    let mut report = Report::default();
    for check in [Check::OutcomeIsApplied, Check::VersionIsFresh] {
        report.add(check, suite.check(check).await);
    }
    report.assert_passed();
}

/// The check must fail for the faulty store, and not for the same store without the fault: that
/// one passes the whole suite above.
async fn fails(fault: Fault, check: Check) {
    let store = ToyStore::new(fault);
    let suite = ClaimStoreSuite::new(async || store.handle())
        .lease(LEASE)
        .patience(Duration::from_secs(1));
    let failed = suite
        .check(check)
        .await
        .expect("nothing that it needs is missing");
    let reason = failed.expect_err("the check did not find the fault");
    println!("{check}: {reason}");
}

macro_rules! each_fails {
    ($($name:ident: $fault:ident => $check:ident,)+) => {$(
        #[tokio::test]
        async fn $name() {
            fails(Fault::$fault, Check::$check).await;
        }
    )+};
}

each_fails! {
    a_store_that_lets_any_abandon_end_a_claim: AbandonEndsAnyClaim => LateSettleIsFenced,
    a_store_that_forgets_a_claim_once_it_is_abandoned: AbandonForgets => AbandonHolds,
    a_store_that_keeps_the_version_of_an_abandoned_claim: AbandonKeepsVersion => AbandonBumps,
    a_store_that_looks_at_the_first_version_only: AnyOfReadsOnlyTheFirst => ConditionIsTested,
    a_store_that_takes_a_claim_before_it_has_a_lease: ClaimThenLease => DropLeavesNothing,
    a_store_that_ignores_the_condition: ConditionIgnored => ConditionIsTested,
    a_store_that_counts_for_each_process: CountersPerHandle => VersionIsFresh,
    a_store_that_counts_again_after_a_delete: CountersPerLife => VersionIsFreshAfterDelete,
    a_store_that_caches_what_is_current: CurrentCached => CurrentIsLinearizable,
    a_store_that_does_not_delete: DeletedStays => OutcomeIsApplied,
    a_store_that_keeps_the_version_when_a_lease_ends: ExpiryKeepsVersion => ExpiryBumps,
    a_store_that_fails_a_condition_before_the_open_claim_is_settled: FailsUnderOpenClaim => BusyAtOnce,
    a_store_that_does_not_know_what_the_holder_does: HolderForgotten => BusyAtOnce,
    a_store_that_folds_case: KeysFolded => KeysAreIndependent,
    a_store_that_cuts_long_keys: KeysTruncated => KeysAreIndependent,
    a_store_whose_leases_end_at_once: LeaseEndsAtOnce => LeaseHolds,
    a_store_whose_leases_do_not_end: LeaseNeverEnds => LeaseEnds,
    a_store_that_has_one_lease_for_all: LeaseSameForAll => LeaseHolds,
    a_store_whose_readers_do_not_see_open_claims: OpenClaimsHidden => OpenClaimIsVisible,
    a_store_that_leaves_readers_in_doubt_for_ever: ReadsNeverTakeOver => ExpiryBumps,
    a_store_that_settles_a_claim_twice: SettleTwice => SettleHappensOnce,
    a_store_that_settles_without_a_look_at_the_token: SettleUnfenced => LateSettleIsFenced,
    a_store_that_tests_and_then_takes: TestThenTake => ClaimIsAtomic,
    a_store_that_tests_and_then_takes_without_an_await: TestThenTakeOnThreads => ClaimIsAtomic,
    a_store_whose_tokens_fall: TokensFall => TokensIncrease,
    a_store_that_bumps_what_was_left_unchanged: UnchangedBumps => UnchangedKeepsVersion,
    a_store_that_takes_an_unknown_creation_for_none: UnknownIsAbsent => UnknownBumps,
    a_store_that_keeps_the_version_of_an_unknown_outcome: UnknownKeepsVersion => UnknownBumps,
    a_store_that_waits_for_ever: WaitForEver => WaitIsLimited,
    a_store_that_does_not_wait: WaitIgnored => WaitIsServed,
    a_store_that_waits_though_it_must_not: WaitNeverZero => BusyAtOnce,
}

#[tokio::test]
async fn a_store_that_counts_again_after_a_restart() {
    let store = ToyStore::new(Fault::None);
    let suite = ClaimStoreSuite::new(async || store.handle())
        .restart(async || ToyStore::new(Fault::None))
        .lease(LEASE);
    // Whatever else the suite does with the store.
    let report = suite.run().await;
    let [failure] = &report.failures[..] else {
        panic!("{report}");
    };
    assert_eq!(failure.check, Check::VersionIsFreshAfterRestart);
    assert!(failure.reason.contains("after a restart"), "{failure:?}");
}

#[tokio::test]
async fn a_store_that_takes_its_own_failure_for_nothing_there() {
    let store = ToyStore::new(Fault::None);
    let suite = ClaimStoreSuite::new(async || store.handle())
        .failing(async || Unreachable { says_so: false });
    let failed = suite.check(Check::FailureIsAnError).await;
    let reason = failed.expect("it runs").expect_err("it fails");
    assert!(reason.contains("cannot be reached"), "{reason}");
}

/// The store's versions alone, written as an application would write them.
fn versions<'a>(store: &ToyStore) -> VersionStoreSuite<'a> {
    let (store, writer) = (store.clone(), store.handle());
    VersionStoreSuite::new(
        async move || store.handle(),
        move |key, change| {
            let writer = writer.clone();
            async move { Ok(writer.change(&key, change)) }
        },
    )
}

#[tokio::test]
async fn versions_that_the_application_writes_keep_their_part_of_the_contract() {
    let suite = versions(&ToyStore::new(Fault::None));
    let suite = suite.failing(async || Unreachable { says_so: true });
    let report = suite.run().await;
    report.assert_passed();
    assert_eq!(report.skipped, []);
    assert_eq!(suite.check(Check::ClaimIsAtomic).await, None);
}

#[tokio::test]
async fn versions_that_the_application_writes_fail_the_check_that_names_the_fault() {
    for (fault, check) in [
        (Fault::CountersPerLife, Check::VersionIsFreshAfterDelete),
        (Fault::CurrentCached, Check::CurrentIsLinearizable),
        (Fault::DeletedStays, Check::OutcomeIsApplied),
        (Fault::KeysFolded, Check::KeysAreIndependent),
        (Fault::None, Check::FailureIsAnError),
    ] {
        let suite = versions(&ToyStore::new(fault));
        let suite = suite.failing(async || Unreachable { says_so: false });
        let failed = suite.check(check).await.expect("it runs");
        failed.expect_err("the check did not find the fault");
    }
}
