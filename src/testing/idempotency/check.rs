//! The promises of a store, each with a name that a failing test can show.

use futures_core::future::BoxFuture;

use super::bench::Bench;
use super::{leases, races, records};
use crate::testing::bench::Verdict;

/// One promise of a store.
///
/// See [`IdempotencyStoreSuite`](super::IdempotencyStoreSuite) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdempotencyCheck {
    /// An abandoned attempt is in flight until its lease ends, and then in doubt; what is done
    /// stays done.
    AbandonHolds,
    /// An answer comes back as it was stored, through every handle.
    AnswerIsKept,
    /// Of any number of first uses at once, one starts.
    BeginIsAtomic,
    /// What is done stays done, and can be refreshed by the attempt that made it.
    DoneIsFinal,
    /// What is in doubt stays in doubt, longer than its lease.
    DoubtStays,
    /// A future of the store that is dropped half way leaves nothing behind beyond its lease.
    DropLeavesNothing,
    /// Keys and scopes that look alike have nothing to do with each other.
    KeysAreIndependent,
    /// An attempt that nobody took over may still be settled after its lease.
    LateSettleEndsDoubt,
    /// An attempt whose holder died is in doubt when its lease has ended.
    LeaseEnds,
    /// An attempt is in flight until its lease ends, also beyond its time to live.
    LeaseHolds,
    /// Another request is told so, whatever the state of the key is.
    MismatchIsTold,
    /// What was not run is absent again.
    NotRunFrees,
    /// A key is taken over only from the attempt that is named, by one of any number, and the one
    /// before is fenced.
    TakeOverIsFenced,
    /// Tokens of one key strictly increase, also when it was absent in between.
    TokensIncrease,
    /// A key is absent when its time to live is over, done or in doubt.
    TtlEnds,
}

impl IdempotencyCheck {
    /// All of them, in the order in which they run: what others stand on first.
    pub const ALL: [Self; 15] = [
        Self::NotRunFrees,
        Self::AnswerIsKept,
        Self::KeysAreIndependent,
        Self::MismatchIsTold,
        Self::DoneIsFinal,
        Self::TokensIncrease,
        Self::BeginIsAtomic,
        Self::TakeOverIsFenced,
        Self::LeaseHolds,
        Self::AbandonHolds,
        Self::LeaseEnds,
        Self::DoubtStays,
        Self::LateSettleEndsDoubt,
        Self::TtlEnds,
        Self::DropLeavesNothing,
    ];

    /// Which of the [rules](crate::idempotency::IdempotencyStore#what-a-store-must-keep) it
    /// belongs to.
    #[must_use]
    pub const fn rule(self) -> u8 {
        match self {
            Self::BeginIsAtomic | Self::KeysAreIndependent | Self::NotRunFrees => 1,
            Self::MismatchIsTold => 2,
            Self::TokensIncrease => 3,
            Self::AbandonHolds | Self::DoubtStays | Self::LeaseEnds | Self::LeaseHolds => 4,
            Self::LateSettleEndsDoubt => 5,
            Self::TakeOverIsFenced => 6,
            Self::DoneIsFinal | Self::TtlEnds => 7,
            Self::DropLeavesNothing => 9,
            Self::AnswerIsKept => 10,
        }
    }

    pub(super) fn run(self, bench: Bench) -> BoxFuture<'static, Verdict> {
        match self {
            Self::AbandonHolds => Box::pin(leases::abandon_holds(bench)),
            Self::AnswerIsKept => Box::pin(records::answer_is_kept(bench)),
            Self::BeginIsAtomic => Box::pin(races::begin_is_atomic(bench)),
            Self::DoneIsFinal => Box::pin(records::done_is_final(bench)),
            Self::DoubtStays => Box::pin(leases::doubt_stays(bench)),
            Self::DropLeavesNothing => Box::pin(leases::drop_leaves_nothing(bench)),
            Self::KeysAreIndependent => Box::pin(records::keys_are_independent(bench)),
            Self::LateSettleEndsDoubt => Box::pin(leases::late_settle_ends_doubt(bench)),
            Self::LeaseEnds => Box::pin(leases::lease_ends(bench)),
            Self::LeaseHolds => Box::pin(leases::lease_holds(bench)),
            Self::MismatchIsTold => Box::pin(records::mismatch_is_told(bench)),
            Self::NotRunFrees => Box::pin(records::not_run_frees(bench)),
            Self::TakeOverIsFenced => Box::pin(races::take_over_is_fenced(bench)),
            Self::TokensIncrease => Box::pin(records::tokens_increase(bench)),
            Self::TtlEnds => Box::pin(leases::ttl_ends(bench)),
        }
    }
}
