//! What is known of each protocol: the table that the library's design rests on.

use stateright::{Checker as _, Model as _};

use super::rules::{
    Abandoned, Answer, Bump, Effects, Fence, Guard, Lease, Leaving, Protocol, Reads,
};
use super::world::Action;
use super::{ALL_ACKNOWLEDGED, FENCED, NO_LOST_UPDATE, ONE_STATE, ORPHAN_LANDED};

/// Can an update be lost? Searched to the end for a counterexample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Updates {
    Lost,
    Safe,
}
use Updates::{Lost, Safe};

/// How many states can one tag name?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tags {
    OneState,
    TwoStates,
}
use Tags::{OneState, TwoStates};

const HANDLER: Protocol = Protocol::HANDLER;
const CLAIM: Protocol = Protocol::CLAIM;

const fn abandons(abandoned: Abandoned, effects: Effects) -> Protocol {
    Protocol {
        leaving: Leaving::Abandons(abandoned, effects),
        ..CLAIM
    }
}

const fn slow(fence: Fence) -> Protocol {
    Protocol {
        lease: Lease::EndsUnderHandlers,
        fence,
        ..CLAIM
    }
}

const ROWS: &[(&str, Protocol, Updates, Tags)] = &[
    (
        "check, then act, then bump",
        Protocol {
            guard: Guard::CheckThenAct,
            ..HANDLER
        },
        Lost,
        TwoStates,
    ),
    (
        "compare-and-set in the handler; clients leave",
        Protocol {
            leaving: Leaving::EffectsAnyTime,
            ..HANDLER
        },
        Safe,
        OneState,
    ),
    (
        "compare-and-set; version read before the data",
        Protocol {
            reads: Reads::VersionBeforeData,
            ..HANDLER
        },
        Safe,
        TwoStates,
    ),
    (
        "compare-and-set; version read before the data and after",
        Protocol {
            reads: Reads::SameVersionBeforeAndAfter,
            ..HANDLER
        },
        Safe,
        OneState,
    ),
    (
        "compare-and-set; version read after the data",
        Protocol {
            reads: Reads::VersionAfterData,
            ..HANDLER
        },
        Lost,
        TwoStates,
    ),
    (
        "compare-and-set; answer labelled with the current version",
        Protocol {
            answer: Answer::CurrentVersion,
            ..HANDLER
        },
        Lost,
        TwoStates,
    ),
    ("claim; nobody stops a handler", CLAIM, Safe, OneState),
    (
        "claim; version read before the data",
        Protocol {
            reads: Reads::VersionBeforeData,
            ..CLAIM
        },
        Safe,
        TwoStates,
    ),
    (
        "claim; version read after the data",
        Protocol {
            reads: Reads::VersionAfterData,
            ..CLAIM
        },
        Lost,
        TwoStates,
    ),
    (
        "claim; version raised when it is taken",
        Protocol {
            guard: Guard::Claim(Bump::WhenClaimed),
            reads: Reads::VersionBeforeData,
            ..CLAIM
        },
        Lost,
        TwoStates,
    ),
    (
        "claim; who leaves releases it and keeps the version",
        abandons(Abandoned::ReleasedUnchanged, Effects::WhileHandled),
        Lost,
        TwoStates,
    ),
    (
        "claim; who leaves releases it and bumps; no late effects",
        abandons(Abandoned::ReleasedAndBumped, Effects::WhileHandled),
        Safe,
        OneState,
    ),
    (
        "claim; who leaves releases it and bumps; late effects",
        abandons(Abandoned::ReleasedAndBumped, Effects::Late),
        Lost,
        TwoStates,
    ),
    (
        "claim; kept for its lease, then bumped; effects within the lease",
        abandons(Abandoned::KeptForItsLease, Effects::WithinLease),
        Safe,
        OneState,
    ),
    (
        "claim; kept for its lease, then bumped; effects outlive it",
        abandons(Abandoned::KeptForItsLease, Effects::Late),
        Lost,
        TwoStates,
    ),
    (
        "claim; lease ends under a handler; no fence",
        slow(Fence::None),
        Lost,
        TwoStates,
    ),
    (
        "claim; lease ends under a handler; data refuse tokens older than written",
        slow(Fence::OlderThanWritten),
        Lost,
        TwoStates,
    ),
    (
        "claim; lease ends under a handler; data refuse tokens older than claimed",
        slow(Fence::OlderThanClaimed),
        Lost,
        TwoStates,
    ),
    (
        "claim; lease ends under a handler; data are fenced in that step",
        slow(Fence::WithTheLease),
        Safe,
        OneState,
    ),
];

#[test]
fn each_protocol_is_as_safe_as_the_table_says() {
    for (name, protocol, updates, tags) in ROWS {
        let checked = protocol.checker().spawn_bfs().join();
        let lost = checked.discovery(NO_LOST_UPDATE);
        let two_states = checked.discovery(ONE_STATE);
        println!(
            "{:>7} states  {:8} {:9}  {name}",
            checked.unique_state_count(),
            format!("{:?}", if lost.is_some() { Lost } else { Safe }),
            format!(
                "{:?}",
                if two_states.is_some() {
                    TwoStates
                } else {
                    OneState
                }
            ),
        );
        match (updates, lost) {
            (Safe, Some(path)) => panic!("{name}: an update is lost: {path}"),
            (Lost, None) => panic!("{name}: the lost update was not found"),
            _ => {}
        }
        match (tags, two_states) {
            (OneState, Some(path)) => panic!("{name}: a tag names two states: {path}"),
            (TwoStates, None) => panic!("{name}: the tag that names two states was not found"),
            _ => {}
        }
        // A model in which nothing happens is safe, too.
        checked.assert_any_discovery(ALL_ACKNOWLEDGED);
        if protocol.leaving != Leaving::Never {
            checked.assert_any_discovery(ORPHAN_LANDED);
        }
        if protocol.fence != Fence::None {
            checked.assert_any_discovery(FENCED);
        }
    }
}

/// The loss that is hardest to see: the comparison is one step with the write, and yet.
#[test]
fn an_answer_labelled_with_the_current_version_loses_an_update_in_twelve_steps() {
    let protocol = Protocol {
        answer: Answer::CurrentVersion,
        ..HANDLER
    };
    let checked = protocol.checker().spawn_bfs().join();

    let (ann, bob) = (0, 1);
    checked.assert_discovery(
        NO_LOST_UPDATE,
        vec![
            Action::Read(ann),
            Action::Proceed(ann),
            Action::Write(ann),
            // Ann's write is done. Before she is answered,
            Action::Proceed(ann),
            // Bob reads it,
            Action::Read(bob),
            Action::Proceed(bob),
            // and writes on it.
            Action::Write(bob),
            Action::Proceed(bob),
            Action::Proceed(bob),
            // Now Ann is answered: what she has written, under the version that Bob has made.
            Action::Proceed(ann),
            // Her next write names Bob's version, and has nothing of Bob's in it.
            Action::Write(ann),
            Action::Proceed(ann),
        ],
    );
}
