//! The floor's table as a store of the library: what a case with it costs more than the floor is
//! the layer's doing, and not the store's.

use std::sync::Arc;

use tower_conditional::store::{
    Answer, Claim, ClaimOptions, Claimed, Condition, Intent, Outcome, Settled, Snapshot, State,
    StoreError, Version,
};
use tower_conditional::{ClaimStore, ResourceKey, VersionStore};

use crate::floor::{Digest, Table};

/// Answers at once, always; whoever meets a reservation gives up.
#[derive(Clone)]
pub struct Numbers(pub Arc<Table>);

/// As the key has it: made once for all that happens to a request.
pub fn digest(key: &ResourceKey) -> Digest {
    let [one, other] = key.digest();
    (one, other)
}

fn state(version: Option<u64>) -> State {
    version.map_or(State::Absent, |version| State::present(version.into()))
}

impl VersionStore for Numbers {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let version = self.0.get(digest(key));
        Answer::ready(Ok(Snapshot::settled(state(version))))
    }
}

impl ClaimStore for Numbers {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        _: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let digest = digest(key);
        let may_hold = |version: u64| condition.may_hold(&state(Some(version)));
        Answer::ready(Ok(match self.0.reserve(digest, may_hold) {
            Ok(version) => {
                let state = State::present(Version::from(version));
                Claimed::Granted(Claim::new(key.clone(), version, state))
            }
            Err(Some(version)) if may_hold(version) => Claimed::Busy {
                retry_after: std::time::Duration::ZERO,
                holder: Intent::Write,
            },
            Err(version) => Claimed::Failed(state(version)),
        }))
    }

    fn settle(&self, claim: Claim, _: Outcome) -> Answer<Result<Settled, StoreError>> {
        let version = self.0.bump(digest(claim.key()));
        Answer::ready(Ok(Settled::Done(State::present(version.into()))))
    }

    fn abandon(&self, claim: Claim) {
        self.0.bump(digest(claim.key()));
    }
}

/// The same table with its own digests of paths, for those who know no keys.
pub struct Paths(pub Arc<Table>);

impl VersionStore for Paths {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let version = self.0.get(self.0.digest(key.as_str()));
        Answer::ready(Ok(Snapshot::settled(state(version))))
    }
}
