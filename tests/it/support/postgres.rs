//! PostgreSQL from the binaries of this machine, one server for all tests of this process, in a
//! temporary folder, reached over a Unix socket there.
//!
//! A shell owns the server and waits for the end of its standard input, whose other end this
//! process holds: however this process ends, the server stops and its folder goes.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio::sync::OnceCell;

use super::folder;

/// `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

const SCRIPT: &str = r#"
initdb --pgdata=data --username=test --auth=trust --encoding=UTF8 --no-sync >log 2>&1 &&
cat >>data/postgresql.conf <<END
listen_addresses = ''
unix_socket_directories = '$PWD'
fsync = off
max_connections = 400
track_activity_query_size = 8192
shared_preload_libraries = 'pg_stat_statements'
END
pg_ctl --pgdata=data --log=log --wait start >>log 2>&1 &&
echo ready || echo failed
while read -r word; do
    pg_ctl --pgdata=data --mode=immediate stop >>log 2>&1
    pg_ctl --pgdata=data --log=log --wait start >>log 2>&1
    echo "$word"
done
pg_ctl --pgdata=data --mode=immediate stop >/dev/null 2>&1
cd / && rm -rf "$OLDPWD"
"#;

pub(crate) struct Server {
    folder: PathBuf,
    // Holds the pipe whose end ends the server.
    shell: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Server {
    /// None if there are no binaries to start.
    fn start() -> Option<Self> {
        let binaries = binaries()?;
        let folder = folder::unique();
        let mut command = as_nobody(&folder);
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = command
            .args(["-c", SCRIPT])
            .current_dir(&folder)
            .env("PATH", format!("{}:{path}", binaries.display()))
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // An interrupt at the terminal is for us; the shell then learns of our end.
            .process_group(0)
            .spawn()
            .ok()?;
        let answers = BufReader::new(shell.stdout.take().expect("it is piped"));
        let mut server = Self {
            folder,
            shell,
            answers,
        };
        assert_eq!(server.answer(), "ready", "{}", server.log());
        Some(server)
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .expect("a shell that lives");
        line.trim().to_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        options(&self.folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills it as a power failure does, and starts it again.
    pub(crate) fn crash_and_restart(&mut self) {
        use std::io::Write;
        let shell = self.shell.stdin.as_mut().expect("it is piped");
        shell.write_all(b"again\n").expect("a shell that lives");
        assert_eq!(self.answer(), "again", "{}", self.log());
    }
}

/// A shell that is not root, and whose this folder is.
pub(crate) fn as_nobody(folder: &Path) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    });
    if !root {
        return Command::new("sh");
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh"]);
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// How to reach the server that lives in `folder`.
pub(crate) fn options(folder: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(folder)
        .username("test")
        .database("postgres")
}

/// The server that all tests share; None, aloud, where there are no binaries.
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref().or_else(skipped)
}

/// A server of one's own, which may be restarted.
pub(crate) fn own() -> Option<Server> {
    Server::start().or_else(skipped)
}

/// Lets the server that all tests share count its statements. `CREATE EXTENSION` is not for two at
/// once.
pub(crate) async fn count_statements(superuser: &PgPool) {
    static DONE: OnceCell<()> = OnceCell::const_new();
    let create = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
    DONE.get_or_init(async || {
        superuser.execute(create).await.expect("a superuser may");
    })
    .await;
}

fn skipped<T>() -> Option<T> {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "no PostgreSQL binaries, and CI must not skip"
    );
    eprintln!("SKIPPED: no PostgreSQL binaries on PATH or in /usr/lib/postgresql");
    None
}

fn binaries() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&on_path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let versions = versions.flatten().map(|version| version.path().join("bin"));
        folders.extend(versions);
    }
    folders.into_iter().find(|folder| {
        ["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|name| folder.join(name).exists())
    })
}
