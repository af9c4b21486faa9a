//! What must never be seen, and what has to be seen for that to mean anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What must never be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// A write replaced what its client had not read; or it was acknowledged and is gone.
    LostUpdate,
    /// The layer refused, and the handler ran all the same.
    RanThoughRefused,
    /// Everybody is gone, and a claim or a place in its queue is not.
    StuckClaim,
    /// A tag was given to two states of the document.
    TagOfTwoStates,
}

/// What one run has shown, or, of a broken store, all of them until the first finding.
pub(super) struct Findings {
    first: Mutex<Option<Finding>>,
    pub(super) seen: Arc<Seen>,
}

impl Findings {
    pub(super) const fn new(seen: Arc<Seen>) -> Self {
        Self {
            first: Mutex::new(None),
            seen,
        }
    }

    pub(super) fn report(&self, finding: Finding) {
        self.first.lock().unwrap().get_or_insert(finding);
    }

    pub(super) fn first(&self) -> Option<Finding> {
        *self.first.lock().unwrap()
    }
}

/// Which state each tag was given to.
#[derive(Default)]
pub(super) struct Tags(Mutex<HashMap<String, String>>);

impl Tags {
    /// Is it the only one?
    pub(super) fn names_only(&self, tag: &str, state: &str) -> bool {
        let mut tags = self.0.lock().unwrap();
        tags.entry(tag.to_owned())
            .or_insert_with(|| state.to_owned())
            == state
    }
}

/// How often things were seen to happen, over all runs.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) acknowledged: Count,
    pub(super) busy: Count,
    pub(super) client_left: Count,
    pub(super) handler_failed: Count,
    pub(super) handler_stopped: Count,
    pub(super) refused: Count,
    pub(super) untagged: Count,
}

impl Seen {
    /// Did the clients get into each other's way, in every way that there is?
    pub(super) fn assert_raced(&self) {
        let counts = [
            &self.acknowledged,
            &self.busy,
            &self.client_left,
            &self.handler_failed,
            &self.refused,
            &self.untagged,
        ];
        assert!(counts.iter().all(|count| count.get() > 0), "{self:?}");
    }

    /// Were handlers stopped half way?
    pub(super) fn assert_gave_up(&self) {
        assert!(self.handler_stopped.get() > 0, "{self:?}");
    }
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
