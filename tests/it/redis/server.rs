//! A Redis server of its own for each test, gone with it.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tower_conditional::store::redis::{RedisOptions, RedisStore};

/// Runs the server, and ends it as soon as the test process says so or is gone, however it went:
/// then its end of the pipe is closed. A server that is to be started again keeps its folder.
const KEEPER: &str = r#"
redis-server "$@" >/dev/null &
server=$!
read -r word
kill -9 $server
wait $server 2>/dev/null
[ "$word" = keep ] || rm -rf "$folder"
"#;

pub(crate) struct Server {
    pub(super) port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    keeper: Option<Child>,
}

impl Server {
    /// `None`, said aloud, where there is no Redis to start; in CI that is a failure.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let version = Command::new("redis-server").arg("--version").output();
        if version.is_err() {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "redis-server is not on the PATH"
            );
            // Not `eprintln`, which the test harness keeps to itself.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: redis-server is not on the PATH"
            );
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("tower-conditional-redis-{}-{count}", std::process::id());
        let mut server = Self {
            port: 0,
            folder: std::env::temp_dir().join(folder),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            keeper: None,
        };
        std::fs::create_dir_all(&server.folder).unwrap();
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr();
            server.port = port.unwrap().port();
            if server.start_again() {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    /// On the same port, with what it has on its disk.
    pub(crate) fn start_again(&mut self) -> bool {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper", "--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(&self.folder)
            .args(&self.arguments)
            .env("folder", &self.folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if self.answers() {
                self.keeper = Some(keeper);
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        drop(keeper.stdin.take());
        let _ = keeper.wait();
        false
    }

    fn answers(&self) -> bool {
        let client = redis::Client::open(self.url()).unwrap();
        let connection = client.get_connection_with_timeout(Duration::from_secs(1));
        connection.is_ok_and(|mut connection| {
            let folder: Result<(String, String), _> = redis::cmd("CONFIG")
                .arg("GET")
                .arg("dir")
                .query(&mut connection);
            // Ours, not one that took the port: a temporary folder may be a symbolic link.
            let ours = self.folder.canonicalize().ok();
            let is_ours =
                folder.is_ok_and(|(_, folder)| ours == PathBuf::from(folder).canonicalize().ok());
            // This one it does not answer while it still reads its disk.
            let ready: Result<String, _> = redis::cmd("PING").query(&mut connection);
            is_ours && ready.is_ok()
        })
    }

    /// `kill -9`, and its disk stays.
    pub(crate) fn kill(&mut self) {
        self.end("keep\n");
    }

    fn end(&mut self, word: &str) {
        if let Some(mut keeper) = self.keeper.take() {
            if let Some(mut pipe) = keeper.stdin.take() {
                let _ = pipe.write_all(word.as_bytes());
            }
            let _ = keeper.wait();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(super) fn store(&self) -> RedisStore {
        self.store_with(RedisOptions::new())
    }

    pub(crate) fn store_with(&self, options: RedisOptions) -> RedisStore {
        RedisStore::new(self.url(), options).unwrap()
    }

    /// Asks the server behind the back of the store.
    #[track_caller]
    pub(super) fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut asked = redis::cmd(words.next().unwrap());
        for word in words {
            asked.arg(word);
        }
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        asked.query(&mut connection).unwrap()
    }

    /// Writes another word into a row, behind the back of the store.
    pub(super) fn edit(&self, row: &str, nth: usize, word: &str) {
        let words: String = self.ask(&format!("GET {row}"));
        let mut words: Vec<_> = words.split(' ').collect();
        words[nth] = word;
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut set = redis::cmd("SET");
        set.arg(row).arg(words.join(" "));
        set.query::<()>(&mut connection).unwrap();
    }

    /// How often the server has run `command`, by its own statistics.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let statistics: String = self.ask("INFO commandstats");
        let line = statistics
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("");
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
