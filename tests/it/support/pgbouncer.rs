//! PgBouncer in transaction mode: between two transactions, and between two halves of a statement, a
//! client may be given another connection to the server.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;

use super::folder::Folder;
use super::postgres::{self, Server};

/// Ends the pooler when the test process says so or is gone, however it went.
const KEEPER: &str = r#"
pgbouncer --quiet pooler.ini >log 2>&1 &
pooler=$!
read -r word
kill -9 $pooler
"#;

const PORT: u16 = 6432;

pub(crate) struct Pooler {
    folder: Folder,
    keeper: Child,
}

impl Pooler {
    /// None, aloud, where there is none to start.
    pub(crate) fn start(server: &Server) -> Option<Self> {
        if Command::new("pgbouncer").arg("--version").output().is_err() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "no pgbouncer, and CI must not skip"
            );
            let _ = writeln!(std::io::stderr(), "SKIPPED: pgbouncer is not on the PATH");
            return None;
        }
        let folder = Folder::new();
        let (path, socket) = (folder.path().display(), server.folder().display());
        let settings = format!(
            "[databases]
            * = host={socket} user=test
            [pgbouncer]
            unix_socket_dir = {path}
            listen_port = {PORT}
            auth_type = any
            pool_mode = transaction
            default_pool_size = 3
            server_round_robin = 1
            max_client_conn = 200
            ignore_startup_parameters = extra_float_digits
            "
        );
        let settings: String = settings
            .lines()
            .map(|line| line.trim_start().to_owned() + "\n")
            .collect();
        std::fs::write(folder.path().join("pooler.ini"), settings).expect("it can be written");
        // Like PostgreSQL it does not run as root.
        let keeper = postgres::as_nobody(folder.path())
            .args(["-c", KEEPER])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let pooler = Self { folder, keeper };
        let began = Instant::now();
        while !pooler.socket().exists() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{}",
                std::fs::read_to_string(pooler.folder.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(pooler)
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{PORT}"))
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        postgres::options(self.folder.path()).port(PORT)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
