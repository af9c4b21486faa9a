//! Versions, claims and queues of a share of the resources: everything that one lock guards.
//!
//! Each method is one short step without waiting. Wakers are collected, and called by whoever
//! holds the lock once it has let go of it.

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::digest_map::{Digest, DigestMap};
use super::queue::{Held, Ticket, Waiter, Wanted};
use super::sequence::Sequence;
use super::table::{Table, Word};
use crate::key::ResourceKey;
use crate::store::{
    Claim, ClaimOptions, Claimed, Condition, Intent, Outcome, Settled, Snapshot, State,
};

/// When to come back for a claim that is held: as long as its handler runs, which nobody knows.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Longer leases than this count as this: the clock must be able to tell when they end.
const LONGEST_LEASE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub(super) struct Shard {
    table: Table,
    held: DigestMap<Held>,
    /// How many stand in the queues of `held`.
    queued: usize,
    limits: QueueLimits,
    /// Abandoned claims by when they end, and their token.
    abandoned: BTreeMap<(Instant, u64), Digest>,
    /// For those who waited and have not come for their answer yet.
    answers: BTreeMap<Ticket, Answered>,
    wakers: Vec<Waker>,
}

/// How many may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueLimits {
    pub(super) per_resource: usize,
    pub(super) per_shard: usize,
}

/// The end of waiting.
pub(super) enum Answered {
    Failed(State),
    Granted { token: u64, state: State },
}

impl Answered {
    pub(super) fn claimed(self, key: ResourceKey) -> Claimed {
        match self {
            Self::Failed(state) => Claimed::Failed(state),
            Self::Granted { token, state } => Claimed::Granted(Claim::new(key, token, state)),
        }
    }
}

/// Somebody else holds the claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Busy {
    holder: Intent,
    /// When the claim ends by itself, if it does.
    pub(super) ends: Option<Instant>,
    /// Is there no place left to wait at?
    pub(super) is_full: bool,
}

impl Busy {
    pub(super) fn claimed(self) -> Claimed {
        let remaining = |ends: Instant| ends.saturating_duration_since(Instant::now());
        Claimed::Busy {
            retry_after: self.ends.map_or(RETRY_AFTER, remaining),
            holder: self.holder,
        }
    }
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) resources: usize,
    pub(super) held: usize,
    pub(super) waiting: usize,
}

impl Shard {
    pub(super) const fn new(capacity: usize, limits: QueueLimits, baseline: u64) -> Self {
        Self {
            table: Table::new(capacity, baseline),
            held: DigestMap::new(),
            queued: 0,
            limits,
            abandoned: BTreeMap::new(),
            answers: BTreeMap::new(),
            wakers: Vec::new(),
        }
    }

    pub(super) const fn set_capacity(&mut self, capacity: usize) {
        self.table.set_capacity(capacity);
    }

    pub(super) const fn set_queue_limits(&mut self, limits: QueueLimits) {
        self.limits = limits;
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            resources: self.table.len(),
            held: self.held.len(),
            waiting: self.queued + self.answers.len(),
        }
    }

    /// Whom to wake once the lock is free.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        mem::take(&mut self.wakers)
    }

    pub(super) fn current(&mut self, digest: Digest, sequence: &Sequence) -> Snapshot {
        self.end_abandoned(sequence);
        let state = self.table.state(digest, sequence);
        match self.held.get(digest) {
            None => Snapshot::settled(state),
            Some(_) => Snapshot::unsettled(state),
        }
    }

    pub(super) fn claim(
        &mut self,
        digest: Digest,
        condition: &Condition,
        options: ClaimOptions,
        sequence: &Sequence,
    ) -> Result<Answered, Busy> {
        self.end_abandoned(sequence);
        match self.held.get(digest) {
            None => Ok(self.claim_free(digest, condition, options, sequence)),
            Some(held) => Err(busy(held)),
        }
    }

    /// Claims, or waits in the queue; `place` is where, from the first call on. Wakes `waker` when
    /// it is worth to come back.
    pub(super) fn poll_claim(
        &mut self,
        digest: Digest,
        wanted: &Wanted,
        place: &mut Option<Ticket>,
        waker: &Waker,
        sequence: &Sequence,
    ) -> Result<Answered, Busy> {
        self.end_abandoned(sequence);
        let answer = place.and_then(|ticket| self.answers.remove(&ticket));
        if let Some(answered) = answer {
            *place = None;
            return Ok(answered);
        }
        let Some(held) = self.held.get_mut(digest) else {
            return Ok(self.claim_free(digest, &wanted.condition, wanted.options, sequence));
        };
        let ticket = match *place {
            Some(ticket) => ticket,
            None if held.queue.len() >= self.limits.per_resource
                || self.queued >= self.limits.per_shard =>
            {
                return Err(Busy {
                    is_full: true,
                    ..busy(held)
                });
            }
            None => {
                self.queued += 1;
                *place.insert(sequence.next())
            }
        };
        // Not dropped but woken, outside of the lock: with a waker may go its task, and with that
        // whatever claims it holds.
        self.wakers.extend(held.queue.wait(ticket, wanted, waker));
        Err(busy(held))
    }

    fn claim_free(
        &mut self,
        digest: Digest,
        condition: &Condition,
        options: ClaimOptions,
        sequence: &Sequence,
    ) -> Answered {
        let state = self.table.state(digest, sequence);
        if !condition.may_hold(&state) {
            return Answered::Failed(state);
        }
        let token = sequence.next();
        self.held.insert(digest, Held::new(token, options));
        Answered::Granted { token, state }
    }

    /// Gives up a place in the queue, or an answer that nobody will come for: a claim goes to the
    /// next one, and its resource is as it was, since nobody knew of the claim.
    ///
    /// What it returns is for the caller to drop without the lock, like any waker.
    pub(super) fn leave(
        &mut self,
        digest: Digest,
        ticket: Ticket,
        sequence: &Sequence,
    ) -> Option<Waiter> {
        match self.answers.remove(&ticket) {
            None => {
                let waiter = self.held.get_mut(digest)?.queue.leave(ticket)?;
                self.queued -= 1;
                Some(waiter)
            }
            Some(Answered::Failed(_)) => None,
            Some(Answered::Granted { .. }) => {
                self.pass_on(digest, sequence);
                None
            }
        }
    }

    pub(super) fn settle(
        &mut self,
        digest: Digest,
        token: u64,
        outcome: Outcome,
        sequence: &Sequence,
    ) -> Settled {
        self.end_abandoned(sequence);
        let Some(held) = self.held.get(digest).filter(|held| held.token == token) else {
            return Settled::Fenced(self.table.state(digest, sequence));
        };
        if let Some(ends) = held.ends {
            self.abandoned.remove(&(ends, token));
        }
        let word = match outcome {
            Outcome::Deleted => Some(Word::DELETED),
            Outcome::Unchanged => None,
            // Whether it exists now is what nobody knows.
            Outcome::Unknown => Some(Word::unseen(sequence.next())),
            Outcome::Written => Some(Word::present(sequence.next())),
        };
        if let Some(word) = word {
            self.table.set(digest, word, sequence);
        }
        let state = self.table.state(digest, sequence);
        self.pass_on(digest, sequence);
        Settled::Done(state)
    }

    pub(super) fn abandon(&mut self, digest: Digest, token: u64, sequence: &Sequence) {
        self.end_abandoned(sequence);
        let held = self.held.get_mut(digest);
        let Some(held) = held.filter(|held| held.token == token && held.ends.is_none()) else {
            return;
        };
        let ends = Instant::now() + held.options.lease.min(LONGEST_LEASE);
        held.ends = Some(ends);
        self.abandoned.insert((ends, token), digest);
        // From now on there is a moment when those who wait must look for themselves.
        self.wakers.extend(held.queue.wakers());
    }

    /// Ends the abandoned claims whose time has come, of whatever resource: so none of them stays
    /// for good, though nobody ask for its resource again.
    fn end_abandoned(&mut self, sequence: &Sequence) {
        if self.abandoned.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(first) = self.abandoned.first_entry()
            && first.key().0 <= now
        {
            let digest = first.remove();
            let fresh = Word::unseen(sequence.next());
            self.table.set(digest, fresh, sequence);
            self.pass_on(digest, sequence);
        }
    }

    /// The claim on this resource is over: gives it to the first one in the queue who still wants
    /// it.
    fn pass_on(&mut self, digest: Digest, sequence: &Sequence) {
        let Some(held) = self.held.get_mut(digest) else {
            return;
        };
        let state = self.table.state(digest, sequence);
        let passed_on = held.queue.pass_on(&state);
        self.queued -= passed_on.failed.len() + usize::from(passed_on.next.is_some());
        for (ticket, waiter) in passed_on.failed {
            let answered = Answered::Failed(state.clone());
            self.answers.insert(ticket, answered);
            self.wakers.push(waiter.waker);
        }
        match passed_on.next {
            None => self.held.remove(digest),
            Some((ticket, waiter)) => {
                let token = sequence.next();
                held.pass_to(token, waiter.wanted.options);
                let answered = Answered::Granted { token, state };
                self.answers.insert(ticket, answered);
                self.wakers.push(waiter.waker);
            }
        }
    }
}

const fn busy(held: &Held) -> Busy {
    Busy {
        holder: held.options.intent,
        ends: held.ends,
        is_full: false,
    }
}
