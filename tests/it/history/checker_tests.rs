//! The checker against histories made up by hand: each violation in its smallest form, and races
//! that only look like one.

use super::checker::{Violation, check};
use super::record::{Action, Doubt, History, Operation, Outcome, Recorder, State, Tag, WriteId};

/// One resource, whose operations follow one after the other unless a test says otherwise.
#[derive(Default)]
struct Story(Recorder);

impl Story {
    fn tag(&self, spelling: &str) -> Tag {
        self.0.tag(spelling)
    }

    fn add(&self, action: Action, outcome: Outcome) {
        let (invoked, completed) = (self.0.now(), self.0.now());
        self.add_between(invoked, completed, action, outcome);
    }

    fn add_between(&self, invoked: u64, completed: u64, action: Action, outcome: Outcome) {
        self.0.record(Operation {
            client: 0,
            resource: 0,
            invoked,
            completed,
            action,
            outcome,
        });
    }

    fn create(&self, id: WriteId, tag: &str) {
        self.0.journal(0, &[id]);
        self.add(Action::Create { id }, self.acknowledged(tag));
    }

    fn acknowledged(&self, tag: &str) -> Outcome {
        Outcome::Acknowledged {
            tag: Some(self.tag(tag)),
            bytes: None,
        }
    }

    fn write_to(&self, parent: &str, journal: &[WriteId]) -> Action {
        let (id, basis) = journal.split_last().expect("a write");
        Action::Write {
            id: *id,
            parent: self.tag(parent),
            basis: state(basis),
        }
    }

    fn write(&self, parent: &str, journal: &[WriteId], tag: &str) {
        self.0.journal(0, journal);
        self.add(self.write_to(parent, journal), self.acknowledged(tag));
    }

    fn delete(&self, parent: &str, journal: &[WriteId], outcome: Outcome) {
        let action = Action::Delete {
            parent: self.tag(parent),
            basis: state(journal),
        };
        self.add(action, outcome);
    }

    fn found(&self, journal: &[WriteId], tag: &str) -> Outcome {
        self.0.journal(0, journal);
        Outcome::Found {
            tag: Some(self.tag(tag)),
            state: state(journal),
            bytes: 0,
        }
    }

    fn read(&self, journal: &[WriteId], tag: &str) {
        self.add(Action::Read { known: None }, self.found(journal, tag));
    }

    fn history(self) -> History {
        self.0.into_history()
    }
}

const ABSENT: Outcome = Outcome::Absent;
const UNKNOWN: Outcome = Outcome::Unknown(Doubt::Left);
const NEVER: Outcome = Outcome::Never {
    stale: false,
    current: None,
};

fn state(journal: &[WriteId]) -> State {
    State::of(journal).expect("a journal")
}

#[track_caller]
fn assert_found(violations: &[Violation], tell: impl FnOnce(&Story)) {
    let story = Story::default();
    tell(&story);
    let verdict = check(&story.history());
    let mut found: Vec<_> = verdict
        .findings
        .iter()
        .map(|found| found.violation)
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, violations, "{:#?}", verdict.findings);
}

#[test]
fn an_honest_story_is_clean() {
    assert_found(&[], |story| {
        story.add(Action::Read { known: None }, ABSENT);
        story.create(1, "a");
        story.write("a", &[1, 2], "b");
        story.read(&[1, 2], "b");
        story.delete(
            "b",
            &[1, 2],
            Outcome::Acknowledged {
                tag: None,
                bytes: None,
            },
        );
        story.add(Action::Read { known: None }, ABSENT);
        story.create(3, "c");
        story.read(&[3], "c");
    });
}

#[test]
fn two_children_of_one_tag_are_a_fork_and_one_of_them_is_lost() {
    assert_found(
        &[Violation::Fork, Violation::LostWrite, Violation::StaleWrite],
        |story| {
            story.create(1, "a");
            story.write("a", &[1, 2], "b");
            story.write("a", &[1, 3], "c");
        },
    );
}

#[test]
fn a_write_on_what_is_known_to_be_gone_is_seen_even_under_a_fresh_tag() {
    assert_found(&[Violation::LostWrite, Violation::StaleWrite], |story| {
        story.create(1, "a");
        story.write("a", &[1, 2], "b");
        story.write("x", &[1, 3], "c");
    });
}

#[test]
fn one_tag_for_two_states_is_seen() {
    assert_found(&[Violation::TagNamesTwoStates], |story| {
        story.create(1, "a");
        story.write("a", &[1, 2], "a");
    });
}

#[test]
fn one_tag_for_two_spellings_of_a_state_is_seen() {
    assert_found(&[Violation::TagNamesTwoStates], |story| {
        story.create(1, "a");
        for bytes in [1, 2] {
            let tag = Some(story.tag("a"));
            let found = Outcome::Found {
                tag,
                state: state(&[1]),
                bytes,
            };
            story.add(Action::Read { known: None }, found);
        }
    });
}

#[test]
fn a_weak_tag_may_name_what_it_likes() {
    assert_found(&[], |story| {
        story.create(1, "W/\"a\"");
        story.read(&[1, 2], "W/\"a\"");
    });
}

#[test]
fn a_tag_of_an_earlier_life_is_seen() {
    assert_found(&[Violation::TagReused], |story| {
        story.create(1, "a");
        story.delete("a", &[1], UNKNOWN);
        story.create(2, "a");
    });
}

#[test]
fn a_read_that_goes_back_is_seen_and_one_that_races_is_not() {
    assert_found(&[Violation::NonMonotoneRead], |story| {
        story.create(1, "a");
        story.write("a", &[1, 2], "b");
        story.read(&[1], "a");
    });
    assert_found(&[], |story| {
        story.create(1, "a");
        let began = story.0.now();
        story.write("a", &[1, 2], "b");
        let found = story.found(&[1], "a");
        story.add_between(began, story.0.now(), Action::Read { known: None }, found);
    });
}

#[test]
fn a_read_of_an_earlier_life_is_seen() {
    assert_found(&[Violation::NonMonotoneRead], |story| {
        story.create(1, "a");
        story.delete("a", &[1], UNKNOWN);
        story.create(2, "b");
        story.read(&[1], "a");
    });
}

#[test]
fn a_stale_304_is_seen_and_one_that_races_is_not() {
    let not_modified = |story: &Story, began| {
        let known = Some((story.tag("a"), state(&[1])));
        let now = story.0.now();
        story.add_between(began, now, Action::Read { known }, Outcome::NotModified);
    };
    assert_found(&[Violation::Stale304], |story| {
        story.create(1, "a");
        story.write("a", &[1, 2], "b");
        not_modified(story, story.0.now());
    });
    assert_found(&[], |story| {
        story.create(1, "a");
        let began = story.0.now();
        story.write("a", &[1, 2], "b");
        not_modified(story, began);
    });
}

#[test]
fn a_write_that_somebody_saw_does_not_vanish() {
    assert_found(&[Violation::Vanished], |story| {
        story.create(1, "a");
        let (began, write) = (story.0.now(), story.write_to("a", &[1, 2]));
        story.add_between(story.0.now(), u64::MAX, write, UNKNOWN);
        story.write("a", &[1, 3], "c");
        let found = story.found(&[1, 2], "b");
        story.add_between(began, story.0.now(), Action::Read { known: None }, found);
    });
}

#[test]
fn a_refused_write_that_happened_is_seen_and_one_in_doubt_may_have() {
    for (outcome, violations) in [(NEVER, &[Violation::NeverHappened][..]), (UNKNOWN, &[])] {
        assert_found(violations, |story| {
            story.create(1, "a");
            story.add(story.write_to("a", &[1, 2]), outcome);
            story.read(&[1, 2], "b");
        });
    }
}

#[test]
fn a_write_refused_by_its_own_tag_is_seen() {
    assert_found(&[Violation::RefusedByItsOwnTag], |story| {
        story.create(1, "a");
        let current = Some(story.tag("a"));
        let stale = Outcome::Never {
            stale: true,
            current,
        };
        story.add(story.write_to("a", &[1, 2]), stale);
    });
}

#[test]
fn what_is_there_is_not_absent_and_is_not_created_again() {
    assert_found(&[Violation::WronglyAbsent], |story| {
        story.create(1, "a");
        story.add(Action::Read { known: None }, ABSENT);
    });
    assert_found(&[Violation::CreatedTwice], |story| {
        story.create(1, "a");
        story.create(2, "b");
    });
    assert_found(&[], |story| {
        story.create(1, "a");
        story.delete("a", &[1], UNKNOWN);
        story.add(Action::Read { known: None }, ABSENT);
        story.create(2, "b");
    });
}

#[test]
fn a_resource_that_never_settles_is_seen() {
    let story = Story::default();
    story.create(1, "a");
    let mut history = story.history();
    history.unsettled.push(0);
    let verdict = check(&history);
    assert_eq!(verdict.findings.len(), 1);
    assert_eq!(verdict.findings[0].violation, Violation::NeverSettled);
}
