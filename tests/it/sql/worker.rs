//! Other processes: this very binary, started again to play one role on the same database.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tower_conditional::ClaimStore;
use tower_conditional::store::{Claimed, Condition, Intent, Outcome, Settled, Snapshot, State};

use super::shared::*;

/// The database that all processes share.
#[derive(Clone)]
pub(crate) enum Target {
    #[cfg(feature = "sqlx-postgres")]
    Postgres { server: PathBuf, table: String },
    #[cfg(feature = "sqlx-sqlite")]
    Sqlite { folder: PathBuf },
}

impl Target {
    async fn open(&self) -> Arc<dyn ClaimStore> {
        match self {
            #[cfg(feature = "sqlx-postgres")]
            Self::Postgres { server, table } => {
                use tower_conditional::store::sql::{PostgresStore, TableName};
                let table = TableName::new(table).expect("a plain name");
                let pool = super::postgres::pool(crate::support::postgres::options(server));
                Arc::new(
                    PostgresStore::open_table(pool, &table)
                        .await
                        .expect("it opens"),
                )
            }
            #[cfg(feature = "sqlx-sqlite")]
            Self::Sqlite { folder } => {
                use tower_conditional::store::sql::SqliteStore;
                let pool = super::sqlite::pool(folder);
                Arc::new(SqliteStore::open(pool).await.expect("it opens"))
            }
        }
    }

    fn words(&self) -> [String; 3] {
        match self {
            #[cfg(feature = "sqlx-postgres")]
            Self::Postgres { server, table } => {
                let server = server.display().to_string();
                ["postgres".to_owned(), server, table.clone()]
            }
            #[cfg(feature = "sqlx-sqlite")]
            Self::Sqlite { folder } => {
                let folder = folder.display().to_string();
                ["sqlite".to_owned(), folder, String::new()]
            }
        }
    }

    fn from_words(words: &str) -> Self {
        let words: Vec<_> = words.split('\n').collect();
        match words[..] {
            #[cfg(feature = "sqlx-postgres")]
            ["postgres", server, table] => Self::Postgres {
                server: server.into(),
                table: table.into(),
            },
            #[cfg(feature = "sqlx-sqlite")]
            ["sqlite", folder, _] => Self::Sqlite {
                folder: folder.into(),
            },
            _ => panic!("not a target: {words:?}"),
        }
    }
}

const ROLE: &str = "TOWER_CONDITIONAL_TEST_ROLE";
const TARGET: &str = "TOWER_CONDITIONAL_TEST_TARGET";
const DATA: &str = "TOWER_CONDITIONAL_TEST_DATA";
/// What a killed process may keep others from.
const LEASE: Duration = Duration::from_millis(1500);

/// Where other processes begin; nothing to do in this one.
#[tokio::test]
async fn plays_its_role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let target = Target::from_words(&std::env::var(TARGET).expect("it is set"));
    if let Some(role) = role.strip_prefix("keys ") {
        let data = PathBuf::from(std::env::var(DATA).expect("it is set"));
        return super::keys::worker::play(role, &target, &data).await;
    }
    let store = target.open().await;
    match &*role {
        "hold" => {
            let _claim = claim(&store, &key("/orders/1"), options(LONG, LEASE)).await;
            say("held");
            std::future::pending::<()>().await;
        }
        "write" => {
            let data = PathBuf::from(std::env::var(DATA).expect("it is set"));
            loop {
                write_once(&store, &data).await;
            }
        }
        other => panic!("no such role: {other}"),
    }
}

/// The test harness keeps what is printed to itself; this goes out at once.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stderr().lock();
    writeln!(out, "{line}").expect("somebody listens");
}

/// Reads, increments and writes a number in a file, under a claim on what was read.
async fn write_once(store: &Arc<dyn ClaimStore>, data: &Path) {
    let counter = key("/counter");
    let seen = current(store, &counter).await;
    if !seen.settled {
        tokio::time::sleep(Duration::from_millis(2)).await;
        return;
    }
    let base = version(&seen.state);
    let condition = Condition::AnyOf(vec![base.clone()]);
    let claimed = try_claim(store, &counter, &condition, options(Duration::ZERO, LEASE)).await;
    let Claimed::Granted(claim) = claimed else {
        return;
    };
    let number: u64 = std::fs::read_to_string(data)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let fresh = data.with_extension(std::process::id().to_string());
    std::fs::write(&fresh, (number + 1).to_string()).unwrap();
    std::fs::rename(&fresh, data).unwrap();
    if let Settled::Done(_) = settle(store, claim, Outcome::Written).await {
        say(&format!("wrote {base}"));
    }
}

/// A process that is killed when this is dropped.
pub(crate) struct Worker {
    process: Child,
    lines: BufReader<std::process::ChildStderr>,
    _out: ChildStdout,
}

impl Worker {
    pub(crate) fn start(role: &str, target: &Target, data: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("it has a path"))
            .args(["--exact", "sql::worker::plays_its_role", "--nocapture"])
            .env(ROLE, role)
            .env(TARGET, target.words().join("\n"))
            .env(DATA, data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started again");
        let lines = BufReader::new(process.stderr.take().expect("it is piped"));
        let _out = process.stdout.take().expect("it is piped");
        Self {
            process,
            lines,
            _out,
        }
    }

    /// The next line that it says; None once it is dead.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.lines.read_line(&mut line).expect("it is text");
        (length > 0).then(|| line.trim().to_owned())
    }

    /// As by `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it can be waited for");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A test of both databases.
pub(super) async fn a_claim_of_a_killed_process_is_free_within_its_lease(target: Target) {
    let store = target.open().await;
    let order = key("/orders/1");
    let written = write(&store, &order, Outcome::Written).await;

    let mut worker = Worker::start("hold", &target, Path::new(""));
    assert_eq!(worker.line().as_deref(), Some("held"));
    assert_eq!(
        current(&store, &order).await,
        Snapshot::unsettled(written.clone())
    );
    worker.kill();
    let killed = std::time::Instant::now();

    let claimed = try_claim(&store, &order, &Condition::Unconditional, AT_ONCE).await;
    let Claimed::Busy { holder, .. } = claimed else {
        panic!("it ends with its lease, not with its holder: {claimed:?}");
    };
    assert_eq!(holder, Intent::Write);
    let claim = claim(&store, &order, options(LONG, LONG)).await;
    // Much later only if this machine stood still.
    assert!(killed.elapsed() < LEASE + Duration::from_secs(8));
    assert!(matches!(claim.state(), State::Unseen(_)), "{claim:?}");
    assert_ne!(version(claim.state()), version(&written));
}

/// A test of both databases: processes that write the same resource, killed and started again.
pub(super) async fn killed_writers_lose_no_update(target: Target, data: &Path) {
    const KILLS: usize = 3;
    std::fs::write(data, "0").unwrap();
    // Nobody made the table yet: they do, at once.
    let mut writers: Vec<_> = (0..3)
        .map(|_| Worker::start("write", &target, data))
        .collect();
    let mut said = Vec::new();
    for kill in 0..KILLS {
        // It is in the middle of something, whoever it is.
        for writer in &mut writers {
            said.extend(writer.line());
        }
        let killed = kill % writers.len();
        writers[killed].kill();
        let mut dead =
            std::mem::replace(&mut writers[killed], Worker::start("write", &target, data));
        said.extend(std::iter::from_fn(|| dead.line()));
    }
    for writer in &mut writers {
        said.extend(writer.line());
        writer.kill();
        said.extend(std::iter::from_fn(|| writer.line()));
    }
    let bases: Vec<_> = said
        .iter()
        .filter_map(|line| line.strip_prefix("wrote "))
        .collect();
    let distinct: std::collections::HashSet<_> = bases.iter().collect();
    assert_eq!(
        distinct.len(),
        bases.len(),
        "two writes were built on one version"
    );
    let counter: usize = std::fs::read_to_string(data).unwrap().parse().unwrap();
    assert!(bases.len() >= writers.len() + KILLS, "{said:?}");
    // One for each kill, and for each end, may have landed unsaid.
    assert!(
        counter >= bases.len(),
        "{counter} of {} were kept",
        bases.len()
    );
    assert!(
        counter <= bases.len() + KILLS + writers.len(),
        "{counter}, {}",
        bases.len()
    );
}
