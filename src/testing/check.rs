//! The promises of a store, each with a name that a failing test can show.

use std::fmt;

use futures_core::future::BoxFuture;

use super::bench::{Bench, Verdict};
use super::{claims, drops, leases, races, versions, waits};

/// One promise of a store.
///
/// See the [module docs](crate::testing) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// An abandoned claim gives its resource a fresh version when it ends.
    AbandonBumps,
    /// An abandoned claim stays until its lease ends: its write may still be under way.
    AbandonHolds,
    /// A claim that cannot wait is told at once that it is busy, and with what.
    BusyAtOnce,
    /// Of all claims that name one version, one is granted, whoever asks at the same time.
    ClaimIsAtomic,
    /// A claim is granted if and only if its condition may hold.
    ConditionIsTested,
    /// What was settled through one handle is what every handle reads from then on.
    CurrentIsLinearizable,
    /// A future of the store that is dropped half way leaves nothing behind beyond its lease.
    DropLeavesNothing,
    /// A claim whose holder died gives its resource a fresh version when it ends.
    ExpiryBumps,
    /// A store that cannot be reached says so; it does not say that there is nothing. Needs
    /// [`ClaimStoreSuite::failing`](super::ClaimStoreSuite::failing).
    FailureIsAnError,
    /// What happens to one resource happens to no other, however alike their keys are.
    KeysAreIndependent,
    /// A claim that was taken over can no longer be settled.
    LateSettleIsFenced,
    /// A claim whose holder died ends.
    LeaseEnds,
    /// A claim does not end before its lease.
    LeaseHolds,
    /// Readers are told of an open claim.
    OpenClaimIsVisible,
    /// Written is present, deleted is absent, and settling says what is current then.
    OutcomeIsApplied,
    /// A claim is settled once: again changes nothing.
    SettleHappensOnce,
    /// Tokens of one resource strictly increase.
    TokensIncrease,
    /// What was left as it was keeps its version.
    UnchangedKeepsVersion,
    /// What may have been written gets a fresh version.
    UnknownBumps,
    /// Each write makes a version that the resource never had.
    VersionIsFresh,
    /// So does a write after a delete.
    VersionIsFreshAfterDelete,
    /// So does a write after a restart.
    VersionIsFreshAfterRestart,
    /// Who waits for a claim that does not end is told that it is busy.
    WaitIsLimited,
    /// Who waits for a claim gets it when it ends, and one at a time.
    WaitIsServed,
}

impl Check {
    /// All of them, in the order in which they run: what others stand on first. Before all others
    /// comes the restart: a counter that starts again is soon where a new store was, but not where
    /// all these checks have brought it.
    pub const ALL: [Self; 24] = [
        Self::VersionIsFreshAfterRestart,
        Self::OutcomeIsApplied,
        Self::CurrentIsLinearizable,
        Self::UnchangedKeepsVersion,
        Self::VersionIsFresh,
        Self::VersionIsFreshAfterDelete,
        Self::ConditionIsTested,
        Self::KeysAreIndependent,
        Self::OpenClaimIsVisible,
        Self::ClaimIsAtomic,
        Self::BusyAtOnce,
        Self::WaitIsServed,
        Self::WaitIsLimited,
        Self::SettleHappensOnce,
        Self::UnknownBumps,
        Self::AbandonHolds,
        Self::AbandonBumps,
        Self::LeaseHolds,
        Self::LeaseEnds,
        Self::ExpiryBumps,
        Self::LateSettleIsFenced,
        Self::TokensIncrease,
        Self::DropLeavesNothing,
        Self::FailureIsAnError,
    ];

    /// Which of the [rules](crate::store#what-a-store-must-keep) it belongs to.
    ///
    /// ```
    /// use tower_conditional::testing::Check;
    ///
    /// assert_eq!(Check::ClaimIsAtomic.rule(), 2);
    /// ```
    #[must_use]
    pub const fn rule(self) -> u8 {
        match self {
            Self::CurrentIsLinearizable => 1,
            Self::BusyAtOnce
            | Self::ClaimIsAtomic
            | Self::ConditionIsTested
            | Self::KeysAreIndependent
            | Self::WaitIsLimited
            | Self::WaitIsServed => 2,
            Self::OutcomeIsApplied
            | Self::UnchangedKeepsVersion
            | Self::VersionIsFresh
            | Self::VersionIsFreshAfterDelete
            | Self::VersionIsFreshAfterRestart => 3,
            Self::LateSettleIsFenced | Self::SettleHappensOnce | Self::TokensIncrease => 4,
            Self::AbandonBumps | Self::AbandonHolds | Self::ExpiryBumps | Self::UnknownBumps => 5,
            Self::LeaseEnds | Self::LeaseHolds => 6,
            Self::OpenClaimIsVisible => 7,
            Self::DropLeavesNothing => 8,
            Self::FailureIsAnError => 9,
        }
    }

    /// Runs it, if handles on a running store are all that it needs.
    pub(super) fn run(self, bench: Bench) -> Option<BoxFuture<'static, Verdict>> {
        Some(match self {
            Self::AbandonBumps => Box::pin(leases::abandon_bumps(bench)),
            Self::AbandonHolds => Box::pin(leases::abandon_holds(bench)),
            Self::BusyAtOnce => Box::pin(waits::busy_at_once(bench)),
            Self::ClaimIsAtomic => Box::pin(races::claim_is_atomic(bench)),
            Self::ConditionIsTested => Box::pin(claims::condition_is_tested(bench)),
            Self::CurrentIsLinearizable => Box::pin(versions::current_is_linearizable(bench)),
            Self::DropLeavesNothing => Box::pin(drops::drop_leaves_nothing(bench)),
            Self::ExpiryBumps => Box::pin(leases::expiry_bumps(bench)),
            Self::KeysAreIndependent => Box::pin(claims::keys_are_independent(bench)),
            Self::LateSettleIsFenced => Box::pin(leases::late_settle_is_fenced(bench)),
            Self::LeaseEnds => Box::pin(leases::lease_ends(bench)),
            Self::LeaseHolds => Box::pin(leases::lease_holds(bench)),
            Self::OpenClaimIsVisible => Box::pin(claims::open_claim_is_visible(bench)),
            Self::OutcomeIsApplied => Box::pin(versions::outcome_is_applied(bench)),
            Self::SettleHappensOnce => Box::pin(claims::settle_happens_once(bench)),
            Self::TokensIncrease => Box::pin(leases::tokens_increase(bench)),
            Self::UnchangedKeepsVersion => Box::pin(versions::unchanged_keeps_version(bench)),
            Self::UnknownBumps => Box::pin(versions::unknown_bumps(bench)),
            Self::VersionIsFresh => Box::pin(versions::version_is_fresh(bench)),
            Self::VersionIsFreshAfterDelete => {
                Box::pin(versions::version_is_fresh_after_delete(bench))
            }
            Self::WaitIsLimited => Box::pin(waits::wait_is_limited(bench)),
            Self::WaitIsServed => Box::pin(waits::wait_is_served(bench)),
            Self::FailureIsAnError | Self::VersionIsFreshAfterRestart => return None,
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} (rule {})", self.rule())
    }
}
