//! Judges a history. The versions name the order, so nothing is searched: each check is one pass.
//!
//! Within one life of a resource every state is its parent with one write after it, so all states
//! lie on one chain, and the longest journal spells it out. Whatever was acknowledged or seen must
//! lie on it, one tag must name one state, one tag must be the parent of one acknowledged write,
//! and nobody may see less than what was known to be there before they asked.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::record::{Action, Doubt, History, Operation, Outcome, State, Tag, WriteId};

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// A resource was created while it was there.
    CreatedTwice,
    /// Two acknowledged writes name one parent.
    Fork,
    /// An acknowledged write is in no later state.
    LostWrite,
    /// A resource is without a tag long after its last write: its claim is stuck.
    NeverSettled,
    /// A write that was refused, or never sent in full, has happened.
    NeverHappened,
    /// A read saw less than was known before it began.
    NonMonotoneRead,
    /// A write was refused as stale, with the very tag that it named as the current one.
    RefusedByItsOwnTag,
    /// A 304 for a state that was known to be gone before it was asked for.
    Stale304,
    /// A write on a state that was known to be gone before it began was acknowledged.
    StaleWrite,
    /// One tag came with two states, or with two spellings of one.
    TagNamesTwoStates,
    /// A tag of an earlier life came back.
    TagReused,
    /// What one client saw is in no later state.
    Vanished,
    /// A resource that was there, and that nobody deleted, was not there.
    WronglyAbsent,
}

/// One broken promise, with its evidence.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) violation: Violation,
    evidence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.violation, self.evidence)
    }
}

/// How much happened, and whether it raced.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) operations: usize,
    pub(crate) acknowledged: usize,
    pub(crate) created: usize,
    pub(crate) deleted: usize,
    /// Writes refused because their `If-Match` was stale.
    pub(crate) refused_stale: usize,
    /// Writes refused for any other reason, or never sent in full.
    pub(crate) otherwise_never: usize,
    pub(crate) unknown: usize,
    /// Writes that were in the journal, though the client was never told.
    pub(crate) unknown_but_happened: usize,
    /// Operations to which the server said that it failed, or was not able to.
    pub(crate) failed: usize,
    /// Operations whose connection broke under them.
    pub(crate) broken: usize,
    /// Operations that the client broke off, at any stage.
    pub(crate) disconnected: usize,
    /// Writes that began before an earlier one of the same resource was over.
    pub(crate) overlapping: usize,
    /// Of these, the ones that named the same parent.
    pub(crate) rivals: usize,
    pub(crate) reads: usize,
    pub(crate) untagged_reads: usize,
    pub(crate) not_modified: usize,
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) findings: Vec<Finding>,
    pub(crate) counts: Counts,
}

impl Verdict {
    /// Panics with the evidence if any promise was broken.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let shown: Vec<_> = self
            .findings
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect();
        assert!(
            self.findings.is_empty(),
            "{} violations in {:?}, the first of them:\n{}",
            self.findings.len(),
            self.counts,
            shown.join("\n")
        );
    }
}

/// Checks everything, in time and space linear in the history and its longest journals.
pub(crate) fn check(history: &History) -> Verdict {
    let mut by_resource: BTreeMap<u32, Vec<&Operation>> = BTreeMap::new();
    for operation in &history.operations {
        by_resource
            .entry(operation.resource)
            .or_default()
            .push(operation);
    }
    let mut verdict = Verdict {
        findings: Vec::new(),
        counts: Counts::default(),
    };
    for (resource, operations) in by_resource {
        let mut check = Check {
            history,
            resource,
            operations,
            verdict: &mut verdict,
        };
        check.one_state_for_a_tag();
        check.one_child_for_a_tag();
        check.all_on_the_chain();
        check.nothing_goes_back();
        check.refusals();
        check.settled();
        check.count();
    }
    verdict
}

struct Check<'a> {
    history: &'a History,
    resource: u32,
    operations: Vec<&'a Operation>,
    verdict: &'a mut Verdict,
}

impl Check<'_> {
    fn report(&mut self, violation: Violation, evidence: impl fmt::Display) {
        self.verdict.findings.push(Finding {
            violation,
            evidence: format!("resource {}: {evidence}", self.resource),
        });
    }

    fn spelled(&self, tag: Tag) -> &str {
        &self.history.tags[tag as usize]
    }

    fn is_strong(&self, tag: Tag) -> bool {
        !self.spelled(tag).starts_with("W/")
    }

    fn one_state_for_a_tag(&mut self) {
        let mut named: HashMap<Tag, (State, Option<u64>)> = HashMap::new();
        for operation in self.operations.clone() {
            let (tag, state, bytes) = match (operation.outcome, operation.made()) {
                (Outcome::Found { tag, state, bytes }, _) => (tag, state, Some(bytes)),
                (Outcome::Acknowledged { tag, bytes }, Some(state)) => (tag, state, bytes),
                _ => continue,
            };
            let Some(tag) = tag.filter(|tag| self.is_strong(*tag)) else {
                continue;
            };
            let (known, known_bytes) = named.entry(tag).or_insert((state, bytes));
            let (known, other_bytes) = (
                *known,
                known_bytes.is_some() && bytes.is_some() && *known_bytes != bytes,
            );
            *known_bytes = known_bytes.or(bytes);
            if known == state && !other_bytes {
                continue;
            }
            let violation = match known.life == state.life {
                true => Violation::TagNamesTwoStates,
                false => Violation::TagReused,
            };
            let tag = self.spelled(tag);
            self.report(
                violation,
                format!("{tag} came with {known:?} and in {operation}"),
            );
        }
    }

    fn one_child_for_a_tag(&mut self) {
        let mut child_of: HashMap<Tag, &Operation> = HashMap::new();
        for operation in self.operations.clone() {
            let (Action::Delete { parent, .. } | Action::Write { parent, .. }) = operation.action
            else {
                continue;
            };
            if !matches!(operation.outcome, Outcome::Acknowledged { .. }) {
                continue;
            }
            match child_of.entry(parent) {
                Entry::Vacant(entry) => {
                    entry.insert(operation);
                }
                Entry::Occupied(entry) => {
                    let first = *entry.get();
                    let parent = self.spelled(parent);
                    self.report(
                        Violation::Fork,
                        format!("{parent} was the parent of {first} and of {operation}"),
                    );
                }
            }
        }
    }

    fn all_on_the_chain(&mut self) {
        // Per life, the digest of each prefix of its longest journal.
        let mut chains: HashMap<WriteId, Vec<u64>> = HashMap::new();
        let mut happened: HashSet<WriteId> = HashSet::new();
        for ((resource, life), journal) in &self.history.journals {
            if *resource != self.resource {
                continue;
            }
            let mut state = State::created(*life);
            let mut chain = vec![state.digest];
            for id in &journal[1..] {
                state = state.then(*id);
                chain.push(state.digest);
            }
            chains.insert(*life, chain);
            happened.extend(journal);
        }
        for operation in self.operations.clone() {
            if let Some(state) = operation.shown() {
                let chain = chains.get(&state.life);
                let there = chain.and_then(|chain| chain.get(state.length as usize - 1));
                if there != Some(&state.digest) {
                    let violation = match operation.outcome {
                        Outcome::Acknowledged { .. } => Violation::LostWrite,
                        _ => Violation::Vanished,
                    };
                    let length = chain.map_or(0, Vec::len);
                    self.report(
                        violation,
                        format!("{operation} is not on the chain of {length} states of its life"),
                    );
                }
            }
            let (Action::Create { id } | Action::Write { id, .. }) = operation.action else {
                continue;
            };
            match operation.outcome {
                Outcome::Never { .. } if happened.contains(&id) => {
                    self.report(Violation::NeverHappened, operation);
                }
                Outcome::Unknown(_) if happened.contains(&id) => {
                    self.verdict.counts.unknown_but_happened += 1;
                }
                _ => {}
            }
        }
    }

    /// In the order of time: what is known when an operation begins is the least that it may see.
    fn nothing_goes_back(&mut self) {
        let mut deletes_begin: HashMap<WriteId, u64> = HashMap::new();
        let mut moments = Vec::with_capacity(2 * self.operations.len());
        for operation in self.operations.clone() {
            moments.push((operation.invoked, true, operation));
            moments.push((operation.completed, false, operation));
            if let (Action::Delete { basis, .. }, false) = (
                operation.action,
                matches!(operation.outcome, Outcome::Never { .. }),
            ) {
                let begin = deletes_begin.entry(basis.life).or_insert(u64::MAX);
                *begin = operation.invoked.min(*begin);
            }
        }
        moments.sort_unstable_by_key(|(moment, begins, _)| (*moment, *begins));
        let mut known: HashMap<WriteId, u32> = HashMap::new();
        let mut over: HashSet<WriteId> = HashSet::new();
        // The lives that were there when the creation of another one began.
        let mut earlier: HashMap<WriteId, Vec<WriteId>> = HashMap::new();
        for (_, begins, operation) in moments {
            if begins {
                self.begins(operation, &known, &over, &deletes_begin);
                if let Action::Create { id } = operation.action {
                    earlier.insert(id, known.keys().copied().collect());
                }
                continue;
            }
            let life = operation.shown().map(|state| state.life);
            for life in life
                .and_then(|life| earlier.remove(&life))
                .unwrap_or_default()
            {
                over.insert(life);
                known.remove(&life);
            }
            if let (Action::Delete { basis, .. }, Outcome::Acknowledged { .. }) =
                (operation.action, operation.outcome)
            {
                over.insert(basis.life);
                known.remove(&basis.life);
            }
            if let Some(state) = operation.shown()
                && !over.contains(&state.life)
            {
                let length = known.entry(state.life).or_default();
                *length = state.length.max(*length);
            }
        }
    }

    fn begins(
        &mut self,
        operation: &Operation,
        known: &HashMap<WriteId, u32>,
        over: &HashSet<WriteId>,
        deletes_begin: &HashMap<WriteId, u64>,
    ) {
        let gone = |state: State| {
            over.contains(&state.life)
                || known
                    .get(&state.life)
                    .is_some_and(|length| state.length < *length)
        };
        let basis = match operation.action {
            Action::Delete { basis, .. } | Action::Write { basis, .. } => Some(basis),
            Action::Create { .. } | Action::Read { .. } => None,
        };
        let violation = match operation.outcome {
            Outcome::Acknowledged { .. } if basis.is_some_and(gone) => Violation::StaleWrite,
            Outcome::Found { state, .. } if gone(state) => Violation::NonMonotoneRead,
            Outcome::NotModified if operation.shown().is_some_and(gone) => Violation::Stale304,
            Outcome::Absent | Outcome::Acknowledged { .. } => {
                let is_absent = basis.is_none();
                let may_be_gone = |life| {
                    deletes_begin
                        .get(life)
                        .is_some_and(|begin| *begin < operation.completed)
                };
                if !is_absent || known.keys().all(may_be_gone) {
                    return;
                }
                match operation.outcome {
                    Outcome::Absent => Violation::WronglyAbsent,
                    _ => Violation::CreatedTwice,
                }
            }
            _ => return,
        };
        self.report(violation, format!("{operation}, while {known:?} was known"));
    }

    fn refusals(&mut self) {
        for operation in self.operations.clone() {
            if let Action::Delete { parent, .. } | Action::Write { parent, .. } = operation.action
                && let Outcome::Never {
                    stale: true,
                    current,
                } = operation.outcome
                && current == Some(parent)
            {
                let parent = self.spelled(parent);
                self.report(
                    Violation::RefusedByItsOwnTag,
                    format!("{parent} does not match {parent}: {operation}"),
                );
            }
        }
    }

    fn settled(&mut self) {
        if self.history.unsettled.contains(&self.resource) {
            self.report(Violation::NeverSettled, "nobody writes, and it has no tag");
        }
    }

    fn count(&mut self) {
        let mut writes: Vec<_> = self
            .operations
            .iter()
            .filter(|operation| !matches!(operation.action, Action::Read { .. }))
            .collect();
        writes.sort_unstable_by_key(|operation| operation.invoked);
        let counts = &mut self.verdict.counts;
        // The write that ends last of those that began before, and the same per parent.
        let mut latest_end = 0;
        let mut ends: HashMap<Tag, u64> = HashMap::new();
        for operation in writes {
            counts.overlapping += usize::from(operation.invoked < latest_end);
            latest_end = operation.completed.max(latest_end);
            if let Action::Delete { parent, .. } | Action::Write { parent, .. } = operation.action {
                let end = ends.entry(parent).or_default();
                counts.rivals += usize::from(operation.invoked < *end);
                *end = operation.completed.max(*end);
            }
        }
        for operation in &self.operations {
            counts.operations += 1;
            match operation.outcome {
                Outcome::Absent => counts.reads += 1,
                Outcome::Acknowledged { .. } => {
                    counts.acknowledged += 1;
                    match operation.action {
                        Action::Create { .. } => counts.created += 1,
                        Action::Delete { .. } => counts.deleted += 1,
                        Action::Read { .. } | Action::Write { .. } => {}
                    }
                }
                Outcome::Found { tag, .. } => {
                    counts.reads += 1;
                    counts.untagged_reads += usize::from(tag.is_none());
                }
                Outcome::Never { stale: true, .. } => counts.refused_stale += 1,
                Outcome::Never { stale: false, .. } => counts.otherwise_never += 1,
                Outcome::NotModified => counts.not_modified += 1,
                Outcome::Unknown(doubt) => {
                    counts.unknown += 1;
                    counts.failed += usize::from(doubt == Doubt::Answered);
                    counts.broken += usize::from(doubt == Doubt::Broken);
                    counts.disconnected += usize::from(doubt == Doubt::Left);
                }
            }
        }
    }
}
