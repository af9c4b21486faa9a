//! A store of one resource, in the state that a vector wants.

use std::sync::{Arc, Mutex, PoisonError};

use tower_conditional::ResourceKey;
use tower_conditional::store::{
    Answer, Claim, ClaimOptions, ClaimStore, Claimed, Condition, Outcome, Settled, Snapshot, State,
    StoreError, VersionStore,
};

use crate::vector::Vector;

pub(crate) struct OneResource {
    state: Mutex<State>,
    after: Option<State>,
}

impl OneResource {
    pub(crate) fn of(vector: &Vector) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(vector.before.clone()),
            after: vector.after.clone(),
        })
    }

    fn state(&self) -> State {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }
}

impl VersionStore for OneResource {
    fn current(&self, _: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        Answer::ready(Ok(Snapshot::settled(self.state())))
    }
}

impl ClaimStore for OneResource {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        _: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let state = self.state();
        Answer::ready(Ok(if condition.may_hold(&state) {
            Claimed::Granted(Claim::new(key.clone(), 1, state))
        } else {
            Claimed::Failed(state)
        }))
    }

    fn settle(&self, _: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // By the letter of the format, a DELETE too leaves what the vector says, or what was there:
        // a layer that stamped its answer would show.
        if let (Outcome::Deleted | Outcome::Unknown | Outcome::Written, Some(after)) =
            (outcome, &self.after)
        {
            *state = after.clone();
        }
        Answer::ready(Ok(Settled::Done(state.clone())))
    }

    fn abandon(&self, _: Claim) {}
}
