//! A server from a package, as a child that cannot outlive the test.
//!
//! A shell owns it and waits for the end of its standard input, whose other end the test holds:
//! however the test ends, the server goes, with whatever it has started, and so does its folder.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::folder;

/// The server gets a session of its own, to be ended with all that it has started.
const KEEPER: &str = r#"
setsid "$@" >log 2>&1 </dev/null &
server=$!
while read -r word; do :; done
kill -9 "-$server" || kill -9 $server
wait $server
cd / && rm -rf "$OLDPWD"
"#;

/// How long a server may take to start on a machine that has a lot to do.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Daemon {
    keeper: Child,
    folder: PathBuf,
}

impl Daemon {
    /// Runs `command`, in the foreground, in `folder`, which goes with it.
    pub(crate) fn start<S: AsRef<OsStr>>(folder: PathBuf, command: &[S]) -> Self {
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .args(command)
            .current_dir(&folder)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            // The shell's own word on jobs that it has killed.
            .stderr(Stdio::null())
            // An interrupt at the terminal is for us; the shell then learns of our end.
            .process_group(0)
            .spawn();
        Self {
            keeper: keeper.expect("there is a shell"),
            folder,
        }
    }

    /// Runs a server on a free port: `configure` writes what it needs into a new folder, and gives
    /// its command line.
    pub(crate) fn listening(configure: impl Fn(&Path, u16) -> Vec<String>) -> (Self, String) {
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            let folder = folder::unique();
            let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let command = configure(&folder, port);
            let mut server = Self::start(folder, &command);
            if server
                .wait_for(|_| TcpStream::connect(("127.0.0.1", port)).ok())
                .is_some()
            {
                return (server, format!("http://127.0.0.1:{port}"));
            }
            eprintln!("{command:?}: {}", server.log());
        }
        panic!("the server does not start");
    }

    /// What `sign` sees in the log of a server that has started; None if it has ended instead.
    pub(crate) fn wait_for<T>(&mut self, sign: impl Fn(&str) -> Option<T>) -> Option<T> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(seen) = sign(&self.log()) {
                return Some(seen);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Is one of `programs` not installed? Says so aloud; in CI that is a failure.
pub(crate) fn is_missing(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    // Where Debian puts servers, also for users who do not have it on their path.
    folders.push(PathBuf::from("/usr/sbin"));
    let is_there = |program: &&str| folders.iter().any(|folder| folder.join(program).exists());
    let Some(missing) = programs.iter().find(|program| !is_there(program)) else {
        return false;
    };
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "{missing} is not installed"
    );
    // Not `eprintln`, which the test harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {missing} is not installed");
    true
}
