//! What happened: every operation of every client, with the moments between which it took effect.
//!
//! Time is a counter that all clients share: an operation that ended at 7 was over before one that
//! began at 8. Journals are kept as digests, so that a history of a million operations fits into
//! memory; the longest journal of each life of a resource is kept in full.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The unique name that a write leaves in the journal.
pub(crate) type WriteId = u64;
/// An entity-tag as it was spelled, in short.
pub(crate) type Tag = u32;

/// What a representation says, by its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The write that created the resource: the first one in the journal.
    pub(crate) life: WriteId,
    /// How many writes the journal holds.
    pub(crate) length: u32,
    /// All of them, in their order.
    pub(crate) digest: u64,
}

impl State {
    /// The state that a journal describes; `None` if it is empty.
    pub(crate) fn of(journal: &[WriteId]) -> Option<Self> {
        let (life, rest) = journal.split_first()?;
        Some(
            rest.iter()
                .fold(Self::created(*life), |state, id| state.then(*id)),
        )
    }

    pub(crate) const fn created(id: WriteId) -> Self {
        Self {
            life: id,
            length: 1,
            digest: mix(id),
        }
    }

    /// The state after one more write.
    pub(crate) const fn then(self, id: WriteId) -> Self {
        Self {
            life: self.life,
            length: self.length + 1,
            digest: mix(self.digest.rotate_left(5) ^ mix(id)),
        }
    }
}

/// A finaliser of good quality (David Stafford's variant 13): every bit of the input moves half of
/// the output.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// What a client set out to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// `If-None-Match: *`.
    Create { id: WriteId },
    /// `If-Match: parent`.
    Delete { parent: Tag, basis: State },
    /// `If-None-Match: known.0`, if it knows one.
    Read { known: Option<(Tag, State)> },
    /// `If-Match: parent`, with the journal of `basis` and `id` after it.
    Write {
        id: WriteId,
        parent: Tag,
        basis: State,
    },
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A read: there is no such resource.
    Absent,
    /// A write: it has happened.
    Acknowledged {
        tag: Option<Tag>,
        bytes: Option<u64>,
    },
    /// A read: this is there. `bytes` is a digest of the representation.
    Found {
        tag: Option<Tag>,
        state: State,
        bytes: u64,
    },
    /// It has not happened and never will: it was refused, or never sent in full. `current` is the
    /// tag that the refusal says is current.
    Never { stale: bool, current: Option<Tag> },
    /// A read: what the client has is current.
    NotModified,
    /// Nobody knows.
    Unknown(Doubt),
}

/// Why nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The server says so.
    Answered,
    /// The connection broke, or the server never answered.
    Broken,
    /// The client left.
    Left,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) client: u32,
    pub(crate) resource: u32,
    pub(crate) invoked: u64,
    pub(crate) completed: u64,
    pub(crate) action: Action,
    pub(crate) outcome: Outcome,
}

impl Operation {
    /// The state that it made, or would have made.
    pub(crate) const fn made(&self) -> Option<State> {
        match self.action {
            Action::Create { id } => Some(State::created(id)),
            Action::Write { id, basis, .. } => Some(basis.then(id)),
            Action::Delete { .. } | Action::Read { .. } => None,
        }
    }

    /// The state that its answer vouches for.
    pub(crate) const fn shown(&self) -> Option<State> {
        match (self.outcome, self.action) {
            (Outcome::Found { state, .. }, _)
            | (
                Outcome::NotModified,
                Action::Read {
                    known: Some((_, state)),
                },
            ) => Some(state),
            (Outcome::Acknowledged { .. }, _) => self.made(),
            _ => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client,
            invoked,
            action,
            outcome,
            ..
        } = self;
        write!(f, "client {client} at {invoked}")?;
        if self.completed != u64::MAX {
            write!(f, "..{}", self.completed)?;
        }
        write!(f, ": {action:?} -> {outcome:?}")
    }
}

/// All that the clients of one run saw and did.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) operations: Vec<Operation>,
    /// By resource and life, the longest journal that was read or acknowledged.
    pub(crate) journals: HashMap<(u32, WriteId), Vec<WriteId>>,
    /// The resources that were without a tag long after the last write.
    pub(crate) unsettled: Vec<u32>,
    /// How the tags were spelled.
    pub(crate) tags: Vec<String>,
    by_spelling: HashMap<String, Tag>,
}

/// Where the clients write down what they do.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    clock: AtomicU64,
    acknowledged: AtomicUsize,
    history: Mutex<History>,
}

impl Recorder {
    /// A moment later than every earlier one.
    pub(crate) fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// A name for a write, never given before.
    pub(crate) fn new_id(&self) -> WriteId {
        self.now()
    }

    /// How many writes were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) fn tag(&self, spelling: &str) -> Tag {
        let mut history = self.lock();
        if let Some(tag) = history.by_spelling.get(spelling) {
            return *tag;
        }
        let tag = Tag::try_from(history.tags.len()).expect("fewer than four billion tags");
        history.tags.push(spelling.to_owned());
        history.by_spelling.insert(spelling.to_owned(), tag);
        tag
    }

    /// A journal that a client has read, or has just been told that it has made.
    pub(crate) fn journal(&self, resource: u32, journal: &[WriteId]) {
        let Some(life) = journal.first() else { return };
        let mut history = self.lock();
        let longest = history.journals.entry((resource, *life)).or_default();
        if longest.len() < journal.len() {
            longest.clear();
            longest.extend_from_slice(journal);
        }
    }

    pub(crate) fn record(&self, operation: Operation) {
        if matches!(operation.outcome, Outcome::Acknowledged { .. }) {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self.lock().operations.push(operation);
    }

    pub(crate) fn into_history(self) -> History {
        self.history
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
