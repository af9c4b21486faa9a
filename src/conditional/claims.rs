//! The claims of one write: on its own resource, and on those that move with it.
//!
//! They are taken in the order of their keys, so that two writes never wait for each other, and end
//! alike: whichever of them cannot be settled is abandoned, and
//! gets its fresh version from the store.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;

use super::exchange::Exchange;
use super::held::Held;
use super::refuse::{Step, Stop};
use crate::decision::Decision;
use crate::key::ResourceKey;
use crate::observe::StoreStep;
use crate::precondition::Preconditions;
use crate::store::{
    ClaimOptions, ClaimStore, Claimed, Condition, Intent, Outcome, Settled, State, StoreError,
};

/// How often a claim is tried whose condition keeps changing under it.
const TRIES: usize = 4;

/// The claim on the resource of a write, and those on others that move with it.
pub(super) struct Claims {
    own: Held,
    others: Vec<Held>,
}

impl Claims {
    /// Takes them all, or answers without the handler.
    pub(super) async fn take<R>(
        exchange: &mut Exchange,
        store: &Arc<dyn ClaimStore>,
        preconditions: &Preconditions<'_>,
        mut others: Vec<ResourceKey>,
    ) -> Step<Self, R> {
        others.sort_unstable();
        others.dedup();
        others.retain(|key| *key != exchange.key);
        let after = others.split_off(others.partition_point(|key| *key < exchange.key));

        let mut held = Vec::new();
        if let ControlFlow::Break(stop) =
            take_others(exchange, store, preconditions, others, &mut held).await
        {
            release(exchange, held).await;
            return ControlFlow::Break(stop);
        }
        let own = match take_own(exchange, store, preconditions).await {
            ControlFlow::Continue(own) => own,
            ControlFlow::Break(stop) => {
                release(exchange, held).await;
                return ControlFlow::Break(stop);
            }
        };
        if let ControlFlow::Break(stop) =
            take_others(exchange, store, preconditions, after, &mut held).await
        {
            release(exchange, vec![own]).await;
            release(exchange, held).await;
            return ControlFlow::Break(stop);
        }
        ControlFlow::Continue(Self { own, others: held })
    }

    /// The state of the write's own resource while it is claimed.
    pub(super) const fn state(&self) -> &State {
        self.own.state()
    }

    /// How long the handler may take: as the shortest lease has it.
    pub(super) fn time_to_finish(&self) -> Option<Duration> {
        let others = self.others.iter().filter_map(Held::time_to_finish);
        others.chain(self.own.time_to_finish()).min()
    }

    /// Ends them all; `None` if the store did not answer for the write's own resource.
    pub(super) async fn settle(self, exchange: &Exchange, outcome: Outcome) -> Option<Settled> {
        let settled = settle(exchange, self.own, outcome).await?;
        if matches!(settled, Settled::Done(_)) {
            for held in self.others {
                settle(exchange, held, of_other(outcome)).await;
            }
        }
        Some(settled)
    }

    /// Nothing was done under them.
    pub(super) async fn release(self, exchange: &Exchange) {
        self.settle(exchange, Outcome::Unchanged).await;
    }
}

/// What it means for the other resources of a write that this was done to its own.
const fn of_other(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Deleted | Outcome::Written => Outcome::Written,
        Outcome::Unchanged => Outcome::Unchanged,
        Outcome::Unknown => Outcome::Unknown,
    }
}

async fn release(exchange: &Exchange, held: Vec<Held>) {
    for held in held {
        settle(exchange, held, Outcome::Unchanged).await;
    }
}

/// `None` if the store did not answer; the claim is then abandoned.
async fn settle(exchange: &Exchange, held: Held, outcome: Outcome) -> Option<Settled> {
    // Asked for only where it is wanted: it goes with the claim.
    let key = exchange
        .config
        .audience
        .observer()
        .map(|_| held.key().clone());
    let settled = held.settle(outcome, exchange.patience()).await;
    if let (Err(error), Some(key)) = (&settled, &key) {
        exchange.store_failed(key, StoreStep::Settle, error);
    }
    settled.ok()
}

async fn take_others<R>(
    exchange: &mut Exchange,
    store: &Arc<dyn ClaimStore>,
    preconditions: &Preconditions<'_>,
    keys: Vec<ResourceKey>,
    held: &mut Vec<Held>,
) -> Step<(), R> {
    let options = ClaimOptions {
        intent: Intent::Write,
        ..options(exchange)
    };
    for key in keys {
        match claim(exchange, store, &key, &Condition::Unconditional, options).await {
            Ok(Claimed::Granted(claim)) => held.push(Held::new(Arc::clone(store), claim)),
            Ok(Claimed::Busy {
                retry_after,
                holder,
            }) => {
                return ControlFlow::Break(Stop::Answer(exchange.busy(
                    preconditions.headers(),
                    retry_after,
                    holder,
                )));
            }
            // Nothing fails an unconditional claim but a store that is broken.
            Ok(Claimed::Failed(_)) | Err(_) => {
                return ControlFlow::Break(Stop::Answer(
                    exchange.unavailable(preconditions.headers()),
                ));
            }
        }
    }
    ControlFlow::Continue(())
}

async fn take_own<R>(
    exchange: &mut Exchange,
    store: &Arc<dyn ClaimStore>,
    preconditions: &Preconditions<'_>,
) -> Step<Held, R> {
    let mut condition = match exchange.if_match(preconditions) {
        Condition::Unconditional => exchange.if_none_match(preconditions),
        if_match => if_match,
    };
    let (key, options) = (exchange.key.clone(), options(exchange));
    for _ in 0..TRIES {
        let state = match claim(exchange, store, &key, &condition, options).await {
            Ok(Claimed::Granted(claim)) => {
                return ControlFlow::Continue(Held::new(Arc::clone(store), claim));
            }
            Ok(Claimed::Failed(state)) => state,
            Ok(Claimed::Busy {
                retry_after,
                holder,
            }) => {
                return ControlFlow::Break(Stop::Answer(exchange.busy(
                    preconditions.headers(),
                    retry_after,
                    holder,
                )));
            }
            Err(_) => {
                return ControlFlow::Break(Stop::Answer(
                    exchange.unavailable(preconditions.headers()),
                ));
            }
        };
        if let Decision::Refuse(refusal) = exchange.decide(preconditions, &state) {
            return ControlFlow::Break(Stop::Refuse(refusal, Some(state)));
        }
        // What the store tested is not all that decides: now it is to be granted in this state, or
        // not at all.
        condition = exactly(&state);
    }
    ControlFlow::Break(Stop::Answer(exchange.busy(
        preconditions.headers(),
        Duration::ZERO,
        Intent::Write,
    )))
}

/// Asks for one claim, and keeps count of how long that takes.
async fn claim(
    exchange: &mut Exchange,
    store: &Arc<dyn ClaimStore>,
    key: &ResourceKey,
    condition: &Condition,
    options: ClaimOptions,
) -> Result<Claimed, StoreError> {
    let asked = Instant::now();
    let patience = exchange.patience().and(options.wait);
    let claimed = patience.bound(store.claim(key, condition, options)).await;
    exchange.waited += asked.elapsed();
    if let Err(error) = &claimed {
        exchange.store_failed(key, StoreStep::Claim, error);
    }
    claimed
}

fn options(exchange: &Exchange) -> ClaimOptions {
    ClaimOptions {
        wait: exchange.policy.wait(&exchange.method),
        lease: exchange.policy.lease,
        intent: match exchange.method {
            Method::DELETE => Intent::Delete,
            _ => Intent::Write,
        },
    }
}

/// The condition that only `state` meets.
fn exactly(state: &State) -> Condition {
    match state.current().map(|current| current.version.clone()) {
        None => Condition::Absent,
        Some(None) => Condition::Exists,
        Some(Some(version)) => Condition::AnyOf(vec![version]),
    }
}
