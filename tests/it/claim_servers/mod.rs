//! Two server processes in claim mode on one database, under the history checker: plainly, with one
//! of them killed every 0.7 s, and with the database restarted in the middle.
//!
//! The handlers know nothing of versions, and their documents are files, outside of the database: what
//! keeps the two processes apart is nothing but the claims. SQLite has no server that could be
//! restarted.

mod database;
mod pair;
mod watched;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use self::database::Database;
use self::pair::Pair;
use self::watched::Tally;
use crate::history::checker::{Counts, check};
use crate::history::drive::{Load, Trouble, drive};

/// How often a process is killed.
const KILLS: usize = 6;
/// How often the database is.
const RESTARTS: usize = 3;

/// Clients write to both processes, `trouble` comes over them, and not one promise is broken.
async fn under<T>(
    database: &mut Database,
    trouble: impl AsyncFnOnce(&mut Pair, &mut Database) -> T,
) -> (Counts, Tally, T) {
    let mut pair = Pair::start(database);
    let to_come = Trouble::to_come();
    let load = Load {
        clients: 24,
        acknowledged: 400,
        duration: Duration::ZERO,
        disconnects: 100,
        journal: 20,
        leaves_within: Duration::from_millis(10),
        settles_within: Duration::from_secs(20),
        seed: u64::from(std::process::id()),
        trouble: Arc::clone(&to_come),
    };
    let history = tokio::spawn(drive(pair.api(12), load));
    to_come.may_begin().await;
    let told = trouble(&mut pair, database).await;
    to_come.is_over();
    let verdict = check(&history.await.expect("no panic"));
    let tally = pair.end();
    verdict.assert_clean();
    let counts = verdict.counts;
    println!("{counts:#?}\n{tally:#?}");
    for (what, count) in [
        ("overlapping writes of one parent", counts.rivals),
        ("stale writes", counts.refused_stale),
        ("deletes", counts.deleted),
        ("304", counts.not_modified),
        ("reads amid a write", counts.untagged_reads),
        (
            "reads that met a claim of the other process",
            tally.held_by_other,
        ),
    ] {
        assert!(count > 0, "no {what}: the run proves nothing");
    }
    (counts, tally, told)
}

async fn lose_nothing(mut database: Database) {
    under(&mut database, async |_, _| ()).await;
}

async fn lose_nothing_when_killed(mut database: Database) {
    let trouble = async |pair: &mut Pair, database: &mut Database| {
        let mut held = 0;
        for kill in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(700)).await;
            held += tokio::task::block_in_place(|| pair.kill_and_start_again(kill % 2, database));
        }
        // The last one that was started again serves too.
        pair.until_both_serve().await;
        held
    };
    let (counts, _, held) = under(&mut database, trouble).await;
    assert!(held > 0, "no kill struck a claim");
    assert!(counts.broken > 0, "no kill struck a request: {counts:?}");
}

async fn lose_nothing_when_the_database_is_restarted(mut database: Database) {
    let trouble = async |pair: &mut Pair, database: &mut Database| {
        let mut held = 0;
        for _ in 0..RESTARTS {
            pair.until_both_serve().await;
            held += pair.held();
            tokio::task::block_in_place(|| database.restart());
        }
        // Nobody restarts the processes: they find the database again.
        pair.until_both_serve().await;
        held
    };
    let (_, tally, held) = under(&mut database, trouble).await;
    assert!(held > 0, "no restart struck a claim");
    assert!(tally.failed() > 0, "no restart struck a statement");
}

macro_rules! two_processes {
    ($database:ident: $($test:ident = $promise:ident,)*) => {
        mod $database {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    if let Some(database) = super::Database::$database() {
                        super::$promise(database).await;
                    }
                }
            )*
        }
    };
}

two_processes! { sqlite:
    two_processes_lose_nothing = lose_nothing,
    two_processes_lose_nothing_when_they_are_killed = lose_nothing_when_killed,
}

two_processes! { postgres:
    two_processes_lose_nothing = lose_nothing,
    two_processes_lose_nothing_when_they_are_killed = lose_nothing_when_killed,
    two_processes_lose_nothing_when_the_database_is_restarted =
        lose_nothing_when_the_database_is_restarted,
}

two_processes! { redis:
    two_processes_lose_nothing = lose_nothing,
    two_processes_lose_nothing_when_they_are_killed = lose_nothing_when_killed,
    two_processes_lose_nothing_when_the_database_is_restarted =
        lose_nothing_when_the_database_is_restarted,
}
