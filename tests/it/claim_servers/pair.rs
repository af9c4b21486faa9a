//! Two processes that start again on the ports that they had.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::database::Database;
use super::watched::{Counter, Tally};
use super::worker::{DOCUMENTS, ENGINE, PORT};
use crate::history::drive::Api;

/// How soon after any trouble everything is as before, at the latest.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many writes say that a process serves.
const ENOUGH: usize = 10;

pub(super) struct Pair {
    servers: [Server; 2],
    /// Of those that are dead.
    before: Tally,
}

impl Pair {
    pub(super) fn start(database: &Database) -> Self {
        // Nobody made the table yet: they do, at once.
        let (one, two) = (Server::spawn(database, 0), Server::spawn(database, 0));
        Self {
            servers: [one.started(), two.started()],
            before: Tally::default(),
        }
    }

    pub(super) fn api(&self, documents: usize) -> Api {
        Api {
            addresses: self.servers.iter().map(|server| server.address).collect(),
            paths: (0..documents)
                .map(|number| format!("/documents/{number}"))
                .collect(),
            fields: Vec::new(),
            write: ("PUT", "application/json"),
            stale: 412,
        }
    }

    /// As by `kill -9`. How many claims did it hold?
    pub(super) fn kill_and_start_again(&mut self, victim: usize, database: &Database) -> usize {
        let server = &mut self.servers[victim];
        let port = server.address.port();
        let tally = server.kill();
        self.before = self.before.and(tally);
        *server = Server::spawn(database, port).started();
        tally.held()
    }

    /// How many claims both hold.
    pub(super) fn held(&self) -> usize {
        let held = |server: &Server| server.heard.tally().held();
        self.servers.iter().map(held).sum()
    }

    /// Until each has ended some more writes.
    pub(super) async fn until_both_serve(&self) {
        let settled = |server: &Server| server.heard.tally().settled;
        let before = self.servers.each_ref().map(settled);
        let began = Instant::now();
        while self
            .servers
            .iter()
            .zip(before)
            .any(|(server, before)| settled(server) < before + ENOUGH)
        {
            assert!(began.elapsed() < PATIENCE, "service does not come back");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) fn end(mut self) -> Tally {
        let tallies = self.servers.each_mut().map(Server::kill);
        tallies.into_iter().fold(self.before, Tally::and)
    }
}

struct Server {
    process: Child,
    address: SocketAddr,
    heard: Arc<Counter>,
    listener: Option<JoinHandle<()>>,
}

/// A process that does not serve yet.
struct Spawned {
    process: Child,
}

impl Server {
    fn spawn(database: &Database, port: u16) -> Spawned {
        let place = database.place();
        let test = [
            "--exact",
            "claim_servers::worker::a_server_process",
            "--nocapture",
        ];
        let process = Command::new(std::env::current_exe().expect("it has a path"))
            .args(test)
            .env(ENGINE, &place.engine)
            .env(DOCUMENTS, &place.documents)
            .env(PORT, port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started again");
        Spawned { process }
    }

    /// What it has said until its end.
    fn kill(&mut self) -> Tally {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(listener) = self.listener.take() {
            listener.join().expect("no panic");
        }
        self.heard.tally()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Spawned {
    fn started(mut self) -> Server {
        let stderr = self.process.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it died: {said:?}"));
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.parse().expect("an address");
            }
            said.push(line);
        };
        let heard = Arc::new(Counter::default());
        let hears = Arc::clone(&heard);
        let listener = std::thread::spawn(move || lines.for_each(|line| hears.hear(&line)));
        Server {
            process: self.process,
            address,
            heard,
            listener: Some(listener),
        }
    }
}
