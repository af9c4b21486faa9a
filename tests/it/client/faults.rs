//! Under faults: no update is lost, none is made twice, and the number of requests is bounded.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use http::Uri;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio::task::JoinSet;
use tower::Layer;
use tower_conditional::client::{Change, ClientLayer, ErrorKind, Outcome};

use super::faulty::{Faulty, Plan, Tally};
use super::notes::{Notes, add, add_once, keyed};

const EDITORS: usize = 4;
const EDITS: usize = 4;
const MOST_REQUESTS: u32 = 16;

/// What became of all the edits of a run.
#[derive(Debug, Default)]
struct Seen {
    applied: u32,
    found: u32,
    in_doubt: u32,
    in_doubt_and_made: u32,
    failed: u32,
    conflicts: u32,
    requests: u32,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.applied += other.applied;
        self.found += other.found;
        self.in_doubt += other.in_doubt;
        self.in_doubt_and_made += other.in_doubt_and_made;
        self.failed += other.failed;
        self.conflicts += other.conflicts;
        self.requests += other.requests;
    }
}

type Edit = fn(&str) -> Box<dyn FnMut(&Value) -> Change + Send>;

/// Lets several editors at one note, each through a network of faults, and compares what they were
/// told with what is there.
async fn run(
    server: Router,
    notes: &Notes,
    plan: Plan,
    layer: &ClientLayer,
    edit: Edit,
) -> (Seen, Arc<Tally>) {
    let network = Faulty::new(server, plan);
    let mut editors = JoinSet::new();
    for editor in 0..EDITORS {
        let client = layer.layer(network.clone());
        editors.spawn(async move {
            let mut told = Vec::new();
            for number in 0..EDITS {
                let name = format!("{editor}-{number}");
                let update = client.update(Uri::from_static("/note"), edit(&name)).await;
                told.push((name, update));
            }
            told
        });
    }
    let told: Vec<_> = editors.join_all().await.into_iter().flatten().collect();
    // What is still on its way arrives.
    tokio::time::sleep(plan.delay * 3).await;

    let mut seen = Seen::default();
    let made: HashMap<String, usize> = notes.edits();
    for (name, update) in told {
        let times = made.get(&name).copied().unwrap_or_default();
        let requests = match update {
            Ok(updated) => {
                assert_eq!(times, 1, "{name} was acknowledged: {updated:?}");
                match updated.outcome() {
                    Outcome::Applied => seen.applied += 1,
                    _ => seen.found += 1,
                }
                seen.conflicts += updated.conflicts();
                updated.requests()
            }
            Err(error) if error.kind() == ErrorKind::InDoubt => {
                assert!(times <= 1, "{name} was in doubt, and made {times} times");
                seen.in_doubt += 1;
                seen.in_doubt_and_made += times as u32;
                error.requests()
            }
            Err(error) => {
                assert_eq!(times, 0, "{name} was refused: {error}");
                seen.failed += 1;
                error.requests()
            }
        };
        assert!(requests <= MOST_REQUESTS, "{name}: {requests} requests");
        seen.requests += requests;
    }
    notes.assert_that_nothing_was_overwritten();
    let sent = network.tally.requests.load(Ordering::Relaxed);
    assert_eq!(sent, seen.requests, "each request was counted");
    (seen, network.tally)
}

/// Runs a few dozen plans, and adds up what was seen.
fn under_many_plans(
    either_answer: bool,
    serve: fn(&Notes) -> Router,
    layer: &ClientLayer,
    edit: Edit,
) -> (Seen, Tally) {
    let rate = 0..120_u64;
    let plans = (
        [
            rate.clone(),
            rate.clone(),
            rate.clone(),
            rate.clone(),
            rate,
            0..60_u64,
        ],
        0..3_000_u64,
        any::<u64>(),
    );
    let plans = plans.prop_map(move |(rates, delay, seed)| Plan {
        lost_before: rates[0],
        lost_after: rates[1],
        error_before: rates[2],
        error_after: rates[3],
        repeated: rates[4],
        silent: rates[5],
        delay: Duration::from_micros(delay),
        either_answer,
        seed,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime starts");
    let total = Mutex::new((Seen::default(), Tally::default()));
    let config = Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    };
    let runs = TestRunner::new(config).run(&plans, |plan| {
        let notes = Notes::new();
        let (seen, tally) = runtime.block_on(run(serve(&notes), &notes, plan, layer, edit));
        let total = &mut *total.lock().unwrap();
        total.0.add(&seen);
        total.1.add(&tally);
        Ok(())
    });
    runs.unwrap();
    let (seen, tally) = total.into_inner().unwrap();
    println!("{seen:?}\n{tally:?}");
    for (count, what) in [
        (&tally.lost_before, "lost before the server"),
        (&tally.lost_after, "lost behind the server"),
        (&tally.error_before, "refused before the server"),
        (&tally.error_after, "answered 5xx behind the server"),
        (&tally.repeated, "repeated"),
        (&tally.silent, "never answered"),
    ] {
        assert!(count.load(Ordering::Relaxed) > 10, "too few were {what}");
    }
    assert!(seen.conflicts > 50, "the editors hardly met");
    (seen, tally)
}

fn layer() -> ClientLayer {
    ClientLayer::new()
        .waits(Duration::from_millis(1), Duration::from_millis(20))
        .answer_within(Duration::from_millis(150))
        .requests(MOST_REQUESTS)
}

#[test]
fn where_keys_are_honoured_each_acknowledged_edit_is_made_once() {
    let layer = layer().keys_honoured();
    let serve = |notes: &Notes| keyed(notes.comparing());
    let (seen, tally) = under_many_plans(true, serve, &layer, |name| Box::new(add(name)));
    assert!(
        tally.repetition_answered.load(Ordering::Relaxed) > 10,
        "{tally:?}"
    );
    // Nearly all get through: a doubt is always solved, unless the requests run out.
    assert!(seen.applied > 4 * (seen.in_doubt + seen.failed), "{seen:?}");
}

#[test]
fn the_same_where_the_layer_claims_for_handlers_that_know_nothing() {
    let layer = layer().keys_honoured();
    let serve = |notes: &Notes| keyed(notes.claiming());
    let (seen, _) = under_many_plans(true, serve, &layer, |name| Box::new(add(name)));
    assert!(seen.applied > 4 * (seen.in_doubt + seen.failed), "{seen:?}");
}

#[test]
fn without_keys_an_edit_is_made_once_or_said_to_be_in_doubt() {
    let serve = |notes: &Notes| notes.comparing();
    let (seen, _) = under_many_plans(false, serve, &layer(), |name| Box::new(add(name)));
    assert!(
        seen.in_doubt_and_made > 0,
        "no doubt was justified: {seen:?}"
    );
    assert!(
        seen.in_doubt > seen.in_doubt_and_made,
        "no edit in doubt was not made: {seen:?}"
    );
}

#[test]
fn without_keys_an_edit_that_knows_itself_again_is_found() {
    let serve = |notes: &Notes| notes.comparing();
    let (seen, _) = under_many_plans(false, serve, &layer(), |name| Box::new(add_once(name)));
    assert!(seen.found > 10, "{seen:?}");
}
