//! One field, several sources: which value counts.

use std::cmp::Ordering;
use std::time::SystemTime;

/// A value that somebody claims for a field.
///
/// `T` is whatever orders instants: [`SystemTime`], or a column of a database.
///
/// See [`resolve`] for an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<V, T = SystemTime> {
    /// What the field is said to be.
    pub value: V,
    /// Who says so.
    pub source: String,
    /// How sure they are, from 0 to 1.
    pub confidence: f64,
    /// When they saw it.
    pub observed_at: T,
}

/// The candidate that counts, out of those for one field in the order in which they arrived.
///
/// `policy` says how a candidate compares to another; the greatest one counts, and of several that
/// compare equal the first to arrive, so that nothing changes without a reason. A policy is a
/// function: [`most_recent`], [`highest_confidence`], or a closure.
///
/// ```
/// use tower_conditional::merge::{Candidate, highest_confidence, most_recent, resolve};
///
/// let candidate = |value, source: &str, confidence, observed_at| Candidate {
///     value,
///     source: source.to_owned(),
///     confidence,
///     observed_at,
/// };
/// let heights = [candidate(3.1, "survey", 0.9, 1990), candidate(3.4, "sensor", 0.6, 2024)];
/// assert_eq!(resolve(&heights, highest_confidence).map(|it| it.value), Some(3.1));
/// assert_eq!(resolve(&heights, most_recent).map(|it| it.value), Some(3.4));
///
/// let surveys_first = |one: &Candidate<_, _>, other: &Candidate<_, _>| {
///     let is_survey = |it: &Candidate<_, _>| it.source == "survey";
///     is_survey(one).cmp(&is_survey(other)).then_with(|| most_recent(one, other))
/// };
/// assert_eq!(resolve(&heights, surveys_first).map(|it| it.value), Some(3.1));
/// ```
pub fn resolve<'a, V, T>(
    candidates: impl IntoIterator<Item = &'a Candidate<V, T>>,
    policy: impl Fn(&Candidate<V, T>, &Candidate<V, T>) -> Ordering,
) -> Option<&'a Candidate<V, T>> {
    candidates
        .into_iter()
        .reduce(|standing, arriving| match policy(arriving, standing) {
            Ordering::Greater => arriving,
            Ordering::Equal | Ordering::Less => standing,
        })
}

/// The later observation counts; of two at one instant, the more confident.
///
/// See [`resolve`] for an example.
#[must_use]
pub fn most_recent<V, T: Ord>(one: &Candidate<V, T>, other: &Candidate<V, T>) -> Ordering {
    by_time(one, other).then_with(|| by_confidence(one, other))
}

/// The more confident observation counts; of two as confident, the later.
///
/// See [`resolve`] for an example.
#[must_use]
pub fn highest_confidence<V, T: Ord>(one: &Candidate<V, T>, other: &Candidate<V, T>) -> Ordering {
    by_confidence(one, other).then_with(|| by_time(one, other))
}

fn by_time<V, T: Ord>(one: &Candidate<V, T>, other: &Candidate<V, T>) -> Ordering {
    one.observed_at.cmp(&other.observed_at)
}

fn by_confidence<V, T>(one: &Candidate<V, T>, other: &Candidate<V, T>) -> Ordering {
    // A total order whatever comes; adding zero makes one of the two zeros.
    (one.confidence + 0.0).total_cmp(&(other.confidence + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rule = fn(&Candidate<char, u8>, &Candidate<char, u8>) -> Ordering;

    fn counts(policy: Rule, arrived: &[(f64, u8)]) -> char {
        let candidates: Vec<_> = arrived
            .iter()
            .zip('a'..)
            .map(|((confidence, observed_at), value)| Candidate {
                value,
                source: String::new(),
                confidence: *confidence,
                observed_at: *observed_at,
            })
            .collect();
        resolve(&candidates, policy).expect("there are some").value
    }

    #[test]
    fn ties_are_broken_as_the_contract_says() {
        for (policy, arrived, expected) in [
            (most_recent as Rule, &[(0.9, 1), (0.1, 2)][..], 'b'),
            (most_recent, &[(0.1, 2), (0.9, 1)], 'a'),
            (most_recent, &[(0.1, 1), (0.9, 1)], 'b'),
            (most_recent, &[(0.9, 1), (0.1, 1)], 'a'),
            (most_recent, &[(0.5, 1), (0.5, 1)], 'a'),
            (highest_confidence, &[(0.9, 1), (0.1, 2)], 'a'),
            (highest_confidence, &[(0.1, 2), (0.9, 1)], 'b'),
            (highest_confidence, &[(0.5, 1), (0.5, 2)], 'b'),
            (highest_confidence, &[(0.5, 2), (0.5, 1)], 'a'),
            (highest_confidence, &[(0.5, 1), (0.5, 1)], 'a'),
            (highest_confidence, &[(-0.0, 1), (0.0, 1)], 'a'),
        ] {
            assert_eq!(counts(policy, arrived), expected, "{arrived:?}");
        }
    }

    #[test]
    fn of_none_none_counts() {
        let none: [Candidate<char>; 0] = [];
        assert_eq!(resolve(&none, most_recent), None);
    }
}
