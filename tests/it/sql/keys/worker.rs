//! Other processes on the same keys; some are killed.

use std::path::Path;
use std::time::Duration;

use tower_conditional::idempotency::{Begun, IdempotencyPolicy, InFlight};

use super::shop::{Sells, Shop, Stop, rerun};
use super::{LONG, begin, key};
use crate::idempotency::post;
use crate::sql::worker::{Target, Worker, say};

/// What a killed process may keep others from.
const LEASE: Duration = Duration::from_millis(1500);
const KEYS: usize = 60;

/// A role of [`Worker`].
pub(crate) async fn play(role: &str, target: &Target, data: &Path) {
    match target {
        #[cfg(feature = "sqlx-postgres")]
        Target::Postgres { server, table } => {
            act(role, data, super::postgres::shop(server, table).await).await;
        }
        #[cfg(feature = "sqlx-sqlite")]
        Target::Sqlite { folder } => act(role, data, super::sqlite::shop(folder).await).await,
    }
}

async fn act<DB: Sells>(role: &str, data: &Path, shop: Shop<DB>) {
    let stop = match role {
        "after commit" => Stop::AfterCommit,
        "before commit" => Stop::BeforeCommit,
        "race" => return race(data, &shop).await,
        other => panic!("no such role: {other}"),
    };
    let app = shop.app(rerun().lease(LEASE), stop, || say("stopped"));
    app.send(post("k", "{}")).await;
    unreachable!("it is killed before its lease ends");
}

/// Begins all keys once everybody is there.
async fn race<DB: Sells>(data: &Path, shop: &Shop<DB>) {
    say("ready");
    while !data.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for number in 0..KEYS {
        let begun = begin(&shop.store, &key(format!("race {number}")), LONG).await;
        if let Begun::Started(_) = begun {
            say(&format!("started {number}"));
            // So that the others catch up.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    say("end");
}

/// A test of both databases.
pub(super) async fn a_sale_that_was_committed_before_a_kill_is_not_made_again<DB: Sells>(
    target: Target,
    shop: Shop<DB>,
) {
    let mut worker = Worker::start("keys after commit", &target, Path::new(""));
    assert_eq!(worker.line().as_deref(), Some("stopped"));
    worker.kill();
    let app = shop.app(rerun().lease(LEASE), Stop::Never, || {});
    // At once: it is done, not in doubt.
    let answer = app.send(post("k", "{}")).await;
    assert_eq!(answer.status, 201);
    assert!(answer.is_replayed());
    assert_eq!(answer.field("location"), "/sales/1");
    assert_eq!(answer.body, "committed");
    assert_eq!((app.runs(), shop.sales().await), (0, 1));
}

/// A test of both databases.
pub(super) async fn a_sale_that_a_kill_prevented_is_made_by_the_retry<DB: Sells>(
    target: Target,
    shop: Shop<DB>,
) {
    let mut worker = Worker::start("keys before commit", &target, Path::new(""));
    assert_eq!(worker.line().as_deref(), Some("stopped"));
    worker.kill();
    let killed = std::time::Instant::now();

    let waits = InFlight::Wait(Duration::from_secs(30));
    let careful = IdempotencyPolicy::new().lease(LEASE).in_flight(waits);
    let app = shop.app(careful, Stop::Never, || {});
    let answer = app.send(post("k", "{}")).await;
    answer.assert_problem(409, "outcome-unknown");
    assert_eq!((app.runs(), shop.sales().await), (0, 0));
    // Much later only if this machine stood still.
    assert!(killed.elapsed() < LEASE + Duration::from_secs(8));

    let app = shop.app(rerun(), Stop::Never, || {});
    let answer = app.send(post("k", "{}")).await;
    assert_eq!(answer.status, 201);
    assert_eq!((app.runs(), shop.sales().await), (1, 1));
}

/// A test of both databases.
pub(super) async fn of_many_processes_one_starts(target: Target, data: &Path) {
    let mut racers: Vec<_> = (0..3)
        .map(|_| Worker::start("keys race", &target, data))
        .collect();
    for racer in &mut racers {
        assert_eq!(racer.line().as_deref(), Some("ready"));
    }
    std::fs::write(data, "go").expect("it can be written");
    let (mut started, mut winners) = (Vec::new(), 0);
    for racer in &mut racers {
        let before = started.len();
        loop {
            let line = racer.line().expect("it lives to the end");
            match line.strip_prefix("started ") {
                Some(number) => started.push(number.parse::<usize>().expect("a number")),
                None => break assert_eq!(line, "end"),
            }
        }
        winners += usize::from(started.len() > before);
    }
    started.sort_unstable();
    assert!(
        started.iter().copied().eq(0..KEYS),
        "each key was started by one: {started:?}"
    );
    assert!(winners > 1, "they came one after the other");
}
