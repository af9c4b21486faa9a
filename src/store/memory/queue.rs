//! A claim that is held, and those who wait for it.

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;
use std::time::Instant;

use crate::store::{ClaimOptions, Condition, State};

/// A place in a queue. Later comers have greater ones.
pub(super) type Ticket = u64;

/// One resource's open claim.
pub(super) struct Held {
    pub(super) token: u64,
    pub(super) options: ClaimOptions,
    /// When it ends by itself: only once it was abandoned.
    pub(super) ends: Option<Instant>,
    pub(super) queue: Queue,
}

impl Held {
    pub(super) fn new(token: u64, options: ClaimOptions) -> Self {
        Self {
            token,
            options,
            ends: None,
            queue: Queue::default(),
        }
    }

    /// Hands the claim on, with its queue.
    pub(super) fn pass_to(&mut self, token: u64, options: ClaimOptions) {
        self.token = token;
        self.options = options;
        self.ends = None;
    }
}

/// Who waits, first come first.
#[derive(Default)]
pub(super) struct Queue(BTreeMap<Ticket, Waiter>);

pub(super) struct Waiter {
    pub(super) wanted: Wanted,
    pub(super) waker: Waker,
}

/// What a claim is wanted for.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) condition: Condition,
    pub(super) options: ClaimOptions,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes a place, or changes the waker of one that is taken; returns the old waker.
    pub(super) fn wait(&mut self, ticket: Ticket, wanted: &Wanted, waker: &Waker) -> Option<Waker> {
        match self.0.get_mut(&ticket) {
            Some(waiter) if waiter.waker.will_wake(waker) => None,
            Some(waiter) => Some(mem::replace(&mut waiter.waker, waker.clone())),
            None => {
                let waiter = Waiter {
                    wanted: wanted.clone(),
                    waker: waker.clone(),
                };
                self.0.insert(ticket, waiter);
                None
            }
        }
    }

    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waiter> {
        self.0.remove(&ticket)
    }

    pub(super) fn wakers(&self) -> impl Iterator<Item = Waker> {
        self.0.values().map(|waiter| waiter.waker.clone())
    }

    /// Takes out the first one whose condition may hold in `state`, as `next`; and as `failed`
    /// those before it, and all who wait for a version that is gone for good.
    pub(super) fn pass_on(&mut self, state: &State) -> PassedOn {
        let mut next = None;
        let mut failed = Vec::new();
        for (ticket, Waiter { wanted, .. }) in &self.0 {
            // A version does not come back. Whether the resource exists may change while others
            // are served.
            let is_final = matches!(wanted.condition, Condition::AnyOf(_));
            if next.is_some() && !is_final {
                continue;
            }
            if !wanted.condition.may_hold(state) {
                failed.push(*ticket);
            } else if next.is_none() {
                next = Some(*ticket);
            }
        }
        PassedOn {
            next: next.and_then(|ticket| self.0.remove_entry(&ticket)),
            failed: failed
                .into_iter()
                .filter_map(|ticket| self.0.remove_entry(&ticket))
                .collect(),
        }
    }
}

pub(super) struct PassedOn {
    pub(super) next: Option<(Ticket, Waiter)>,
    pub(super) failed: Vec<(Ticket, Waiter)>,
}
