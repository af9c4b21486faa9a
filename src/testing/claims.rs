//! Claims: conditional, visible, of one resource. Rules 2, 4 and 7.

use super::bench::{Bench, Handle, LONG, Verdict, ensure, version};
use crate::key::ResourceKey;
use crate::store::{Claimed, Condition, Outcome, Settled, Snapshot, State, Version};

pub(super) async fn condition_is_tested(bench: Bench) -> Verdict {
    let key = bench.key("condition");
    let handle = bench.handle(0);
    let mut versions = vec![Version::from_opaque(&[b"never-written"])];
    let outcomes = [
        Outcome::Unchanged,
        Outcome::Written,
        Outcome::Written,
        Outcome::Deleted,
        Outcome::Written,
        Outcome::Unknown,
    ];
    for (turn, outcome) in outcomes.into_iter().enumerate() {
        handle.write(&key, outcome).await?;
        let state = handle.current(&key).await?.state;
        if let Ok(version) = version(&state) {
            versions.push(version);
        }
        for condition in conditions(&versions) {
            test_condition(bench.handle(turn), &key, &state, &condition).await?;
            bench.all_read(&key, &state).await?;
        }
    }
    Ok(())
}

fn conditions(versions: &[Version]) -> Vec<Condition> {
    let (last, earlier) = versions
        .split_last()
        .map_or((None, versions), |(l, e)| (Some(l.clone()), e));
    // As many as a client may send in a header field of usual length.
    let mut many: Vec<_> = (0_u64..200).map(Version::from).collect();
    many.extend(last.clone());
    let last: Vec<_> = last.into_iter().collect();
    vec![
        Condition::Absent,
        Condition::Exists,
        Condition::Unconditional,
        Condition::AnyOf(Vec::new()),
        Condition::AnyOf(earlier.to_vec()),
        Condition::AnyOf(last.clone()),
        Condition::AnyOf(many.clone()),
        Condition::NoneOf(Vec::new()),
        Condition::NoneOf(earlier.to_vec()),
        Condition::NoneOf(last),
        Condition::NoneOf(many),
    ]
}

async fn test_condition(
    handle: &Handle,
    key: &ResourceKey,
    state: &State,
    condition: &Condition,
) -> Verdict {
    let may_hold = condition.may_hold(state);
    match handle.claim(key, condition, LONG).await? {
        Claimed::Granted(claim) => {
            let granted_in = claim.state().clone();
            handle.done(claim, Outcome::Unchanged).await?;
            ensure!(may_hold, "{condition:?} was granted in {state:?}");
            ensure!(
                granted_in == *state,
                "a claim granted in {state:?} says that it was in {granted_in:?}"
            );
        }
        Claimed::Failed(failed_in) => {
            ensure!(!may_hold, "{condition:?} failed in {state:?}");
            ensure!(
                failed_in == *state,
                "{condition:?} failed in {state:?}, and the answer says in {failed_in:?}"
            );
        }
        busy @ Claimed::Busy { .. } => {
            return Err(format!("nobody holds a claim, and still: {busy:?}"));
        }
    }
    Ok(())
}

pub(super) async fn keys_are_independent(bench: Bench) -> Verdict {
    let long = "x".repeat(1024);
    let keys: Vec<_> = odd_names(&long)
        .iter()
        .map(|name| bench.key(name))
        .collect();
    let mut states = Vec::new();
    for (turn, key) in keys.iter().enumerate() {
        states.push(bench.handle(turn).write(key, Outcome::Written).await?);
    }
    for (key, state) in keys.iter().zip(&states) {
        bench.all_read(key, state).await?;
    }
    for (turn, key) in keys.iter().enumerate() {
        let handle = bench.handle(turn);
        let claim = handle.granted(key, LONG).await?;
        for (other, state) in keys.iter().zip(&states).filter(|(other, _)| *other != key) {
            let read = handle.current(other).await?;
            ensure!(
                read == Snapshot::settled(state.clone()),
                "while {key:?} is claimed, {other:?} is {read:?} and was {state:?}"
            );
        }
        handle.done(claim, Outcome::Unchanged).await?;
    }
    let (first, rest) = keys.split_at(1);
    for key in first {
        bench.handle(0).write(key, Outcome::Deleted).await?;
    }
    for (key, state) in rest.iter().zip(states.iter().skip(1)) {
        bench.all_read(key, state).await?;
    }
    Ok(())
}

/// Names that a store may confuse: by quoting, patterns, case, spaces, Unicode forms, length.
fn odd_names(long: &str) -> Vec<String> {
    let mut names: Vec<_> = [
        "a", "A", "a ", " a", "a%", "a%25", "a_", "_", "%", "a*", "a?", "'", "''", "\"", "\\",
        "a'; --", "a:b", "a/b", "a\tb", "{a}", "$1", "é", "e\u{301}", "ß", "ss", "日本", "🦀",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(long.to_owned());
    names.push(format!("{long}1"));
    names.push(format!("{long}2"));
    names
}

pub(super) async fn open_claim_is_visible(bench: Bench) -> Verdict {
    let key = bench.key("visible");
    for (turn, outcome) in [Outcome::Written, Outcome::Unchanged, Outcome::Deleted]
        .into_iter()
        .enumerate()
    {
        let claim = bench.handle(turn).granted(&key, LONG).await?;
        for (number, handle) in bench.handles.iter().enumerate() {
            let read = handle.current(&key).await?;
            ensure!(
                !read.settled,
                "while a claim is open, handle {number} reads {read:?}: it may stamp what the \
                 claim is about to change"
            );
        }
        let state = bench.handle(turn).done(claim, outcome).await?;
        bench.all_read(&key, &state).await?;
    }
    Ok(())
}

pub(super) async fn settle_happens_once(bench: Bench) -> Verdict {
    let key = bench.key("once");
    for again in [Outcome::Written, Outcome::Deleted, Outcome::Unknown] {
        let claim = bench.handle(0).granted(&key, LONG).await?;
        let state = bench
            .handle(0)
            .done(claim.clone(), Outcome::Written)
            .await?;
        let (Settled::Done(told) | Settled::Fenced(told)) =
            bench.handle(1).settle(claim.clone(), again).await?;
        bench.all_read(&key, &state).await?;
        ensure!(
            told == state,
            "settled again, a claim answers {told:?}, where {state:?} is current"
        );
        bench.handle(1).store.abandon(claim);
        bench.all_read(&key, &state).await?;
    }
    Ok(())
}
