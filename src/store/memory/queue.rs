//! A claim that is held, and those who wait for it.
//!
//! A hand-over looks at the next in line and at those it fails, not at everybody: who waits for a
//! version is kept apart, so that all of them can be told at once that it is gone, and nobody has
//! to look for them while it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::task::Waker;
use std::time::Instant;

use super::table::Word;
use crate::store::{ClaimOptions, Condition, State};

/// A place in a queue. Later comers have greater ones.
pub(super) type Ticket = u64;

/// One resource's open claim.
pub(super) struct Held {
    pub(super) token: u64,
    pub(super) options: ClaimOptions,
    /// When it ends by itself: only once it was abandoned.
    pub(super) ends: Option<Instant>,
    /// Made for the first one who waits.
    pub(super) queue: Option<Box<Queue>>,
}

impl Held {
    pub(super) fn new(token: u64, options: ClaimOptions) -> Self {
        Self {
            token,
            options,
            ends: None,
            queue: None,
        }
    }

    /// How many wait for it.
    pub(super) fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
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
pub(super) struct Queue {
    line: BTreeMap<Ticket, Waiter>,
    /// Of these, those who wait for the version of `awaited`.
    hopeful: BTreeSet<Ticket>,
    awaited: Option<Word>,
    /// Those who wait for a version that was not current when they came. It will not be again,
    /// nor can one have been heard of that is yet to come.
    doomed: BTreeSet<Ticket>,
}

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
        self.line.len()
    }

    /// Takes a place. `word` is what is current now, and `state` is its state.
    pub(super) fn join(
        &mut self,
        ticket: Ticket,
        wanted: &Wanted,
        waker: &Waker,
        word: Word,
        state: impl FnOnce() -> State,
    ) {
        if matches!(wanted.condition, Condition::AnyOf(_)) {
            self.expect(word);
            if wanted.condition.may_hold(&state()) {
                self.hopeful.insert(ticket);
            } else {
                self.doomed.insert(ticket);
            }
        }
        let waiter = Waiter {
            wanted: wanted.clone(),
            waker: waker.clone(),
        };
        self.line.insert(ticket, waiter);
    }

    /// Changes the waker of a place that is taken; returns the old one.
    pub(super) fn rejoin(&mut self, ticket: Ticket, waker: &Waker) -> Option<Waker> {
        let waiter = self.line.get_mut(&ticket)?;
        if waiter.waker.will_wake(waker) {
            return None;
        }
        Some(mem::replace(&mut waiter.waker, waker.clone()))
    }

    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Waiter> {
        self.hopeful.remove(&ticket);
        self.doomed.remove(&ticket);
        self.line.remove(&ticket)
    }

    pub(super) fn wakers(&self) -> impl Iterator<Item = Waker> {
        self.line.values().map(|waiter| waiter.waker.clone())
    }

    /// Ends the hope of those who wait for any other version than that of `word`.
    fn expect(&mut self, word: Word) {
        if self.awaited.replace(word) != Some(word) && !self.hopeful.is_empty() {
            self.doomed.append(&mut self.hopeful);
        }
    }

    /// Takes out all who wait for a version that is gone, and then, first come first, who fails in
    /// this state, up to the one who is next.
    pub(super) fn pass_on(
        &mut self,
        word: Word,
        state: &State,
        mut fail: impl FnMut(Ticket, Waker),
    ) -> Option<(Ticket, Waiter)> {
        self.expect(word);
        while let Some(ticket) = self.doomed.pop_first() {
            if let Some(waiter) = self.line.remove(&ticket) {
                fail(ticket, waiter.waker);
            }
        }
        while let Some((ticket, waiter)) = self.line.pop_first() {
            self.hopeful.remove(&ticket);
            // Whether the resource exists may change while others are served: those further back
            // are asked when it is their turn.
            if waiter.wanted.condition.may_hold(state) {
                return Some((ticket, waiter));
            }
            fail(ticket, waiter.waker);
        }
        None
    }
}
