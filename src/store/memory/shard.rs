//! Versions, claims and queues of a share of the resources: everything that one lock guards.
//!
//! Each method is one short step without waiting. Wakers are collected, and called by whoever
//! holds the lock once it has let go of it.

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::digest_map::{Digest, DigestMap, Entry};
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
    pub(super) fn claimed(self, key: &ResourceKey, digest: Digest) -> Claimed {
        match self {
            Self::Failed(state) => Claimed::Failed(state),
            Self::Granted { token, state } => {
                let claim = Claim::new(key.clone(), token, state);
                Claimed::Granted(claim.at(digest.to_place()))
            }
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
        let state = self.table.word(digest).state(sequence);
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
        match *place {
            // Not dropped but woken, outside of the lock: with a waker may go its task, and with
            // that whatever claims it holds.
            Some(ticket) => {
                let queue = held.queue.as_mut();
                let old = queue.and_then(|queue| queue.rejoin(ticket, waker));
                self.wakers.extend(old);
            }
            None if held.waiting() >= self.limits.per_resource
                || self.queued >= self.limits.per_shard =>
            {
                return Err(Busy {
                    is_full: true,
                    ..busy(held)
                });
            }
            None => {
                self.queued += 1;
                let ticket = *place.insert(sequence.next());
                let word = self.table.word(digest);
                let state = || word.state(sequence);
                let queue = held.queue.get_or_insert_default();
                queue.join(ticket, wanted, waker, word, state);
            }
        }
        Err(busy(held))
    }

    fn claim_free(
        &mut self,
        digest: Digest,
        condition: &Condition,
        options: ClaimOptions,
        sequence: &Sequence,
    ) -> Answered {
        let state = self.table.word(digest).state(sequence);
        if !condition.may_hold(&state) {
            return Answered::Failed(state);
        }
        let token = sequence.next();
        self.held.insert_new(digest, Held::new(token, options));
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
                let waiter = self.held.get_mut(digest)?.queue.as_mut()?.leave(ticket)?;
                self.queued -= 1;
                Some(waiter)
            }
            Some(Answered::Failed(_)) => None,
            Some(Answered::Granted { .. }) => {
                self.end(digest, sequence);
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
        let held = self.held.entry(digest);
        let Some(held) = held.filter(|held| held.get().token == token) else {
            return Settled::Fenced(self.table.word(digest).state(sequence));
        };
        if let Some(ends) = held.get().ends {
            self.abandoned.remove(&(ends, token));
        }
        let word = match outcome {
            Outcome::Deleted => Word::DELETED,
            Outcome::Unchanged => self.table.word(digest),
            // Whether it exists now is what nobody knows.
            Outcome::Unknown => Word::unseen(sequence.next()),
            Outcome::Written => Word::present(sequence.next()),
        };
        if outcome != Outcome::Unchanged {
            self.table.set(digest, word, sequence);
        }
        let state = word.state(sequence);
        let (answers, wakers) = (&mut self.answers, &mut self.wakers);
        self.queued -= pass_on(held, word, &state, sequence, answers, wakers);
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
        self.wakers
            .extend(held.queue.iter().flat_map(|queue| queue.wakers()));
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
            self.end(digest, sequence);
        }
    }

    /// The claim on this resource is over, and nobody tells of its end.
    fn end(&mut self, digest: Digest, sequence: &Sequence) {
        if let Some(held) = self.held.entry(digest) {
            let word = self.table.word(digest);
            let state = word.state(sequence);
            let (answers, wakers) = (&mut self.answers, &mut self.wakers);
            self.queued -= pass_on(held, word, &state, sequence, answers, wakers);
        }
    }
}

/// Gives a claim that is over to the first one in its queue who still wants it. Says how many left
/// the queue.
fn pass_on(
    mut held: Entry<'_, Held>,
    word: Word,
    state: &State,
    sequence: &Sequence,
    answers: &mut BTreeMap<Ticket, Answered>,
    wakers: &mut Vec<Waker>,
) -> usize {
    let queue = held.get_mut().queue.as_mut();
    let mut failed = 0;
    let next = queue.and_then(|queue| {
        queue.pass_on(word, state, |ticket, waker| {
            failed += 1;
            answers.insert(ticket, Answered::Failed(state.clone()));
            wakers.push(waker);
        })
    });
    let Some((ticket, waiter)) = next else {
        held.remove();
        return failed;
    };
    let token = sequence.next();
    held.get_mut().pass_to(token, waiter.wanted.options);
    let state = state.clone();
    answers.insert(ticket, Answered::Granted { token, state });
    wakers.push(waiter.waker);
    failed + 1
}

const fn busy(held: &Held) -> Busy {
    Busy {
        holder: held.options.intent,
        ends: held.ends,
        is_full: false,
    }
}
