//! Several processes on one server: a counter that each reads, claims, writes and settles. Every
//! acknowledged write must have made a number of its own: two that made the same one are a lost
//! update.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use redis::AsyncCommands as _;
use tower_conditional::store::redis::RedisOptions;

use super::server::Server;
use super::*;

const URL: &str = "TOWER_CONDITIONAL_REDIS_WRITER";

/// Not a test by itself: what the processes run that the tests below start.
#[tokio::test]
async fn a_writer_process() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    let options = RedisOptions::new()
        .connect_timeout(Duration::from_millis(300))
        .response_timeout(Duration::from_millis(300));
    let store = RedisStore::new(url.clone(), options).unwrap();
    let client = redis::Client::open(url).unwrap();
    loop {
        match increment(&store, &client).await {
            Some(Ended::Acknowledged(number)) => println!("\nacknowledged {number}"),
            Some(Ended::Refused) => println!("\nrefused"),
            None => {}
        }
    }
}

#[derive(Clone, Copy)]
enum Ended {
    /// And this is the number that it wrote.
    Acknowledged(u64),
    /// Another was faster.
    Refused,
}

/// One conditional write as the layer makes it; `None` if the server was away, or a write under way.
async fn increment(store: &RedisStore, client: &redis::Client) -> Option<Ended> {
    let key = key("/counter");
    let mut data = client.get_multiplexed_async_connection().await.ok()?;
    let before = store.current(&key).await.ok()?;
    let number: Option<u64> = data.get("data").await.ok()?;
    let number = number.unwrap_or(0) + 1;
    if !before.settled || store.current(&key).await.ok()? != before {
        return None;
    }
    let condition = Condition::AnyOf(vec![version(&before.state)]);
    let options = ClaimOptions {
        wait: Duration::from_millis(50),
        lease: Duration::from_millis(500),
        intent: Intent::Write,
    };
    let Claimed::Granted(claim) = store.claim(&key, &condition, options).await.ok()? else {
        return Some(Ended::Refused);
    };
    // What the layer does: the handler ends before its lease, or its outcome is unknown.
    let limit = claim.lease()? / 2;
    let write = data.set::<_, _, ()>("data", number);
    tokio::time::timeout(limit, write).await.ok()?.ok()?;
    let settled = store.settle(claim, Outcome::Written).await.ok()?;
    matches!(settled, Settled::Done(_)).then_some(Ended::Acknowledged(number))
}

struct Writer {
    process: Child,
}

impl Writer {
    fn start(server: &Server, ended: &mpsc::Sender<Ended>) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "redis::processes::a_writer_process",
                "--exact",
                "--nocapture",
            ])
            .env(URL, server.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ended = ended.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line == "refused" {
                    let _ = ended.send(Ended::Refused);
                } else if let Some(number) = line.strip_prefix("acknowledged ") {
                    let _ = ended.send(Ended::Acknowledged(number.parse().unwrap()));
                }
            }
        });
        Self { process }
    }
}

impl Drop for Writer {
    /// `kill -9`, wherever it is.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct History {
    ended: mpsc::Receiver<Ended>,
    acknowledged: HashSet<u64>,
    refused: usize,
}

impl History {
    /// Waits for `count` more acknowledged writes.
    #[track_caller]
    fn wait_for(&mut self, count: usize) {
        let enough = self.acknowledged.len() + count;
        while self.acknowledged.len() < enough {
            let ended = self.ended.recv_timeout(Duration::from_secs(60));
            self.note(ended.expect("nothing is acknowledged any more"));
        }
    }

    #[track_caller]
    fn note(&mut self, ended: Ended) {
        match ended {
            Ended::Acknowledged(number) => {
                assert!(self.acknowledged.insert(number), "two writes made {number}");
            }
            Ended::Refused => self.refused += 1,
        }
    }

    /// No acknowledged write is missing from the data, and the writers did meet.
    #[track_caller]
    fn check(mut self, server: &Server, writers: Vec<Writer>) {
        drop(writers);
        while let Ok(ended) = self.ended.try_recv() {
            self.note(ended);
        }
        let data: u64 = server.ask("GET data");
        let newest = self.acknowledged.iter().max().copied();
        assert!(
            newest <= Some(data),
            "{newest:?} acknowledged, {data} there"
        );
        assert!(self.refused > 0, "nobody raced");
    }
}

fn start(server: &Server, count: usize) -> (History, mpsc::Sender<Ended>, Vec<Writer>) {
    let (sender, ended) = mpsc::channel();
    let writers = (0..count).map(|_| Writer::start(server, &sender)).collect();
    let history = History {
        ended,
        acknowledged: HashSet::new(),
        refused: 0,
    };
    (history, sender, writers)
}

#[test]
fn processes_that_share_a_server_lose_no_update() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let (mut history, _sender, writers) = start(&server, 3);
    history.wait_for(200);
    history.check(&server, writers);
}

#[test]
fn a_process_that_is_killed_in_the_middle_loses_no_update_and_blocks_nobody_for_long() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let (mut history, sender, mut writers) = start(&server, 2);
    for _ in 0..6 {
        history.wait_for(20);
        drop(writers.remove(0));
        writers.push(Writer::start(&server, &sender));
    }
    history.wait_for(20);
    history.check(&server, writers);
}

#[test]
fn a_server_that_is_restarted_in_the_middle_loses_no_update_and_is_used_again() {
    // With less, a server that dies may have acknowledged what it had not even handed to the
    // operating system: the data are in there too, and would be lost themselves.
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = Server::start(&durable) else {
        return;
    };
    let (mut history, _sender, writers) = start(&server, 2);
    for _ in 0..3 {
        history.wait_for(20);
        server.kill();
        assert!(server.start_again());
    }
    history.wait_for(20);
    history.check(&server, writers);
}
