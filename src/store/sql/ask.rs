//! What is asked of the database and what it answers, in the form that both databases share: the
//! statements have the same parameters and the same columns.

use std::time::{Duration, SystemTime};

use crate::store::{Condition, Current, Intent, Outcome, State, StoreError, Version};

/// One statement, with its parameters.
pub enum Ask<'a> {
    Claim {
        key: &'a str,
        test: &'a Test,
        lease: i64,
        intent: Intent,
    },
    Current {
        key: &'a str,
    },
    Forget {
        key: &'a str,
        token: i64,
    },
    Settle {
        key: &'a str,
        token: i64,
        outcome: &'static str,
    },
}

/// A [`Condition`] as the statements take it.
pub struct Test {
    pub(super) word: &'static str,
    /// Versions that this store may have given out; others match nothing.
    pub(super) versions: Vec<i64>,
}

impl From<&Condition> for Test {
    fn from(condition: &Condition) -> Self {
        let numbers = |versions: &[Version]| {
            let number = |version: &Version| i64::try_from(version.to_u64()?).ok();
            versions.iter().filter_map(number).collect()
        };
        let (word, versions) = match condition {
            Condition::Absent => ("absent", Vec::new()),
            Condition::AnyOf(versions) => ("any of", numbers(versions)),
            Condition::Exists => ("exists", Vec::new()),
            Condition::NoneOf(versions) => ("none of", numbers(versions)),
            Condition::Unconditional => ("nothing", Vec::new()),
        };
        Self { word, versions }
    }
}

pub(super) const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Deleted => "deleted",
        Outcome::Unchanged => "unchanged",
        Outcome::Unknown => "unknown",
        Outcome::Written => "written",
    }
}

/// Milliseconds for the database, rounded up, and small enough that its clock can add them.
pub(crate) fn millis(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 24 * 60 * 60 * 1000;
    let millis = duration.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).map_or(CENTURY, |millis| millis.min(CENTURY))
}

/// A row as it comes: was the claim taken; state; version; microseconds of its last modification;
/// token; milliseconds that an open claim has left; does it delete?
pub(super) type Record = (bool, String, i64, Option<i64>, i64, Option<i64>, bool);

/// A row, understood.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) taken: bool,
    pub(super) state: State,
    pub(super) token: u64,
    pub(super) open: Option<Open>,
}

/// A claim that somebody holds.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) left: Duration,
    pub(super) intent: Intent,
}

impl TryFrom<Record> for Row {
    type Error = StoreError;

    fn try_from(record: Record) -> Result<Self, StoreError> {
        let (taken, state, version, modified, token, left, deletes) = record;
        let mut current = Current::new(Version::from(number(version)?));
        current.last_modified = modified.and_then(time);
        let state = match state.as_str() {
            "absent" => State::Absent,
            "present" => State::Present(current),
            "unseen" => State::Unseen(current),
            other => return Err(foreign(&format!("the state {other:?}"))),
        };
        let open = left.map(|left| Open {
            left: Duration::from_millis(u64::try_from(left).unwrap_or(0)),
            intent: if deletes {
                Intent::Delete
            } else {
                Intent::Write
            },
        });
        Ok(Self {
            taken,
            state,
            token: number(token)?,
            open,
        })
    }
}

fn number(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| foreign(&format!("the number {number}")))
}

/// Whatever wrote it, it was not us; and what a statement did that answers so, nobody knows.
fn foreign(what: &str) -> StoreError {
    StoreError::unknown(format!("{what} in the table of versions is not ours"))
}

/// None for times that a `SystemTime` cannot hold.
fn time(micros: i64) -> Option<SystemTime> {
    let distance = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_no_canonical_number_matches_nothing() {
        let versions = [
            "5",
            "05",
            "-5",
            "abc",
            "18446744073709551615",
            "9223372036854775807",
        ]
        .map(|text| Version::new(text).unwrap());
        let test = Test::from(&Condition::AnyOf(versions.to_vec()));
        assert_eq!(test.versions, [5, i64::MAX]);
    }

    #[test]
    fn leases_of_any_length_fit_the_clock_of_a_database() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_secs(30)), 30_000);
        assert_eq!(millis(Duration::MAX), 3_153_600_000_000);
    }

    #[test]
    fn rows_that_somebody_else_wrote_are_errors() {
        let row = |state: &str, version| {
            Row::try_from((
                false,
                state.to_owned(),
                version,
                Some(i64::MIN),
                1,
                Some(-5),
                false,
            ))
        };
        assert!(row("present", 1).is_ok());
        assert!(matches!(row("here", 1), Err(StoreError::Unknown(_))));
        assert!(matches!(row("present", -1), Err(StoreError::Unknown(_))));
    }
}
