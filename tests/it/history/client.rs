//! Clients that read, modify and write, over sockets, and now and then leave in the middle.
//!
//! They know a service by its addresses and an [`Api`], so they work against any number of
//! processes of any server whose resources hold a JSON object and keep the member `journal` of it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::random::{Random, rest};
use super::record::{Action, History, Operation, Outcome, Recorder, State, Tag, WriteId, mix};
use super::wire::{Answer, Connection};

/// What a client has to know of a service.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// Its processes; a client uses one until it fails, then the next.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The path of each resource that the clients may use. None of them exists at first, or all
    /// of them have a journal that is empty or missing.
    pub(crate) paths: Vec<String>,
    /// Further fields of every request, such as `authorization: Bearer …`.
    pub(crate) fields: Vec<(String, String)>,
    /// The method of a write, and its media type: `PUT` and `application/json`, or `PATCH` and
    /// `application/merge-patch+json`. A creation is always a `PUT`.
    pub(crate) write: (&'static str, &'static str),
    /// The status of a stale write.
    pub(crate) stale: u16,
}

/// How long, how hard, and with how many faults.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) clients: u32,
    /// How many acknowledged writes to see, at least.
    pub(crate) acknowledged: usize,
    /// How long to go on, at least.
    pub(crate) duration: Duration,
    /// In how many of a thousand requests the client leaves early.
    pub(crate) disconnects: u64,
    /// A journal of this length is deleted and begun anew.
    pub(crate) journal: usize,
    /// How long a write may take that its client leaves.
    pub(crate) leaves_within: Duration,
    /// How long after the last write a resource may be without a tag: the lease of a claim that
    /// nobody will settle, and then some.
    pub(crate) settles_within: Duration,
    pub(crate) seed: u64,
}

/// Longer than any answer takes; afterwards the client gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Without any acknowledged write for this long, a run has failed.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Runs the clients until the load is done, then reads every resource once more.
///
/// # Panics
///
/// If nothing is acknowledged for a minute: the service hangs, and the history would prove nothing.
pub(crate) async fn drive(api: Api, load: Load) -> History {
    let shared = Arc::new(Shared {
        api,
        load,
        recorder: Recorder::default(),
        began: Instant::now(),
    });
    let clients: Vec<_> = (0..shared.load.clients)
        .map(|number| tokio::spawn(Client::new(number, Arc::clone(&shared)).run()))
        .collect();
    let (mut last, mut since) = (0, Instant::now());
    while !shared.is_done() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let acknowledged = shared.recorder.acknowledged();
        if acknowledged > last {
            (last, since) = (acknowledged, Instant::now());
        }
        assert!(
            since.elapsed() < STANDSTILL,
            "nothing moves after {last} writes"
        );
    }
    for client in clients {
        client.await.expect("a client does not panic");
    }
    let mut last = Client::new(u32::MAX, Arc::clone(&shared));
    let mut unsettled = Vec::new();
    for resource in 0..last.shared.resources() {
        if !last.read_until_settled(resource).await {
            unsettled.push(resource);
        }
    }
    drop(last);
    let shared = Arc::into_inner(shared).expect("all clients are gone");
    let mut history = shared.recorder.into_history();
    history.unsettled = unsettled;
    history
}

struct Shared {
    api: Api,
    load: Load,
    recorder: Recorder,
    began: Instant,
}

impl Shared {
    fn is_done(&self) -> bool {
        self.recorder.acknowledged() >= self.load.acknowledged
            && self.began.elapsed() >= self.load.duration
    }

    fn resources(&self) -> u32 {
        u32::try_from(self.api.paths.len()).expect("fewer than four billion resources")
    }
}

/// What a client believes to be current.
#[derive(Debug, Clone)]
struct Seen {
    spelling: String,
    tag: Tag,
    journal: Vec<WriteId>,
    state: State,
}

/// How a request ends before its time.
#[derive(Debug, Clone, Copy)]
enum Leave {
    /// With a FIN, in the middle of what it sends.
    HalfSent,
    /// With a RST in the middle of what it sends.
    HalfSentReset,
    /// With a FIN, while the server is at work.
    Finish,
    /// With a RST, while the server is at work.
    Reset,
}

/// What became of a request.
enum Exchanged {
    Answered(Answer),
    Left,
    /// The server cannot have seen all of it.
    NeverSent,
    Broken,
}

struct Client {
    number: u32,
    shared: Arc<Shared>,
    random: Random,
    connection: Option<Connection>,
    /// Which process it talks to.
    address: usize,
    seen: HashMap<u32, Seen>,
}

impl Client {
    fn new(number: u32, shared: Arc<Shared>) -> Self {
        Self {
            number,
            random: Random::new(shared.load.seed ^ mix(u64::from(number))),
            connection: None,
            address: number as usize,
            seen: HashMap::new(),
            shared,
        }
    }

    async fn run(mut self) {
        // Each client cares for a few resources, so that all are contended and none by all.
        let resources = self.shared.resources();
        while !self.shared.is_done() {
            let near = u64::from(self.number) + self.random.below(3);
            let resource = u32::try_from(near % u64::from(resources)).expect("a remainder of it");
            self.visit(resource).await;
        }
    }

    /// Reads, unless it trusts its memory, and writes as long as it is told what it has made.
    async fn visit(&mut self, resource: u32) {
        let trusts_memory = self.seen.contains_key(&resource) && self.random.per_mille(250);
        if !trusts_memory && !self.read(resource).await {
            return;
        }
        while let Some(seen) = self.seen.get(&resource).cloned() {
            let acknowledged = if seen.journal.len() >= self.shared.load.journal {
                self.delete(resource, &seen).await
            } else {
                self.write(resource, &seen).await
            };
            if !acknowledged || self.random.per_mille(500) || self.shared.is_done() {
                break;
            }
        }
    }

    /// Is there something to build a write upon?
    async fn read(&mut self, resource: u32) -> bool {
        let leave = self.leave();
        let outcome = self.read_once(resource, leave).await;
        match outcome {
            Outcome::Found { tag, .. } => {
                if tag.is_none() {
                    // A write is open: give it time.
                    let pause = self.random.pause(Duration::from_millis(2));
                    rest(pause).await;
                }
                tag.is_some()
            }
            Outcome::NotModified => true,
            Outcome::Absent => {
                self.create(resource).await;
                false
            }
            _ => false,
        }
    }

    /// Reads until there is a tag, or nothing at all; does that come to pass?
    async fn read_until_settled(&mut self, resource: u32) -> bool {
        let began = Instant::now();
        loop {
            let outcome = self.read_once(resource, None).await;
            if matches!(
                outcome,
                Outcome::Absent | Outcome::Found { tag: Some(_), .. } | Outcome::NotModified
            ) {
                return true;
            }
            if began.elapsed() > self.shared.load.settles_within {
                return false;
            }
            rest(Duration::from_millis(10)).await;
        }
    }

    async fn read_once(&mut self, resource: u32, leave: Option<Leave>) -> Outcome {
        let known = self.seen.get(&resource).cloned();
        let condition = known
            .as_ref()
            .map(|seen| ("if-none-match", &*seen.spelling));
        let request = self.request("GET", resource, condition, None);
        let invoked = self.shared.recorder.now();
        let (outcome, journal) = match self.exchange(&request, leave).await {
            Exchanged::Answered(answer) => self.understand_read(resource, &answer),
            exchanged => (unknown(&exchanged), None),
        };
        let action = Action::Read {
            known: known.as_ref().map(|seen| (seen.tag, seen.state)),
        };
        match (outcome, journal) {
            (
                Outcome::Found {
                    tag: Some(tag),
                    state,
                    ..
                },
                Some((spelling, journal)),
            ) => {
                let seen = Seen {
                    spelling,
                    tag,
                    journal,
                    state,
                };
                self.seen.insert(resource, seen);
            }
            (Outcome::Found { .. } | Outcome::Absent, _) => {
                self.seen.remove(&resource);
            }
            _ => {}
        }
        self.record(resource, invoked, action, outcome);
        outcome
    }

    fn understand_read(
        &self,
        resource: u32,
        answer: &Answer,
    ) -> (Outcome, Option<(String, Vec<WriteId>)>) {
        match answer.status {
            200 => {}
            304 => return (Outcome::NotModified, None),
            404 | 410 => return (Outcome::Absent, None),
            _ => {
                return (
                    Outcome::Unknown {
                        disconnected: false,
                    },
                    None,
                );
            }
        }
        let recorder = &self.shared.recorder;
        let journal = journal_of(&answer.body).expect("a representation with a journal");
        let Some(state) = State::of(&journal) else {
            return (Outcome::Absent, None);
        };
        recorder.journal(resource, &journal);
        let outcome = Outcome::Found {
            tag: answer.etag.as_deref().map(|etag| recorder.tag(etag)),
            state,
            bytes: digest(&answer.body),
        };
        let usable = answer.etag.clone().filter(|etag| !etag.starts_with("W/"));
        (outcome, usable.map(|spelling| (spelling, journal)))
    }

    async fn create(&mut self, resource: u32) {
        let id = self.shared.recorder.new_id();
        let request = self.request("PUT", resource, Some(("if-none-match", "*")), Some(&[id]));
        self.modify(resource, &request, Action::Create { id }, vec![id])
            .await;
    }

    async fn write(&mut self, resource: u32, seen: &Seen) -> bool {
        let id = self.shared.recorder.new_id();
        let mut journal = seen.journal.clone();
        journal.push(id);
        let condition = Some(("if-match", &*seen.spelling));
        let (method, _) = self.shared.api.write;
        let request = self.request(method, resource, condition, Some(&journal));
        let action = Action::Write {
            id,
            parent: seen.tag,
            basis: seen.state,
        };
        self.modify(resource, &request, action, journal).await
    }

    async fn delete(&mut self, resource: u32, seen: &Seen) -> bool {
        let condition = Some(("if-match", &*seen.spelling));
        let request = self.request("DELETE", resource, condition, None);
        let action = Action::Delete {
            parent: seen.tag,
            basis: seen.state,
        };
        self.modify(resource, &request, action, Vec::new()).await
    }

    /// Changes the resource to `journal`; is it acknowledged?
    async fn modify(
        &mut self,
        resource: u32,
        request: &Request,
        action: Action,
        journal: Vec<WriteId>,
    ) -> bool {
        let leave = self.leave();
        let invoked = self.shared.recorder.now();
        let exchanged = self.exchange(request, leave).await;
        let recorder = &self.shared.recorder;
        let (outcome, spelling) = match exchanged {
            Exchanged::Answered(answer) => {
                let tag = answer.etag.as_deref().map(|etag| recorder.tag(etag));
                match self.understand_write(&answer, tag) {
                    acknowledged @ Outcome::Acknowledged { .. } => (acknowledged, answer.etag),
                    outcome => (outcome, None),
                }
            }
            exchanged => (unknown(&exchanged), None),
        };
        let acknowledged = matches!(outcome, Outcome::Acknowledged { .. });
        // Some clients do not learn from a refusal, and try again with what they have.
        if acknowledged || self.random.per_mille(700) {
            self.seen.remove(&resource);
        }
        if acknowledged {
            recorder.journal(resource, &journal);
            if let (Outcome::Acknowledged { tag: Some(tag), .. }, Some(spelling), Some(state)) =
                (outcome, spelling, State::of(&journal))
            {
                let seen = Seen {
                    spelling,
                    tag,
                    journal,
                    state,
                };
                self.seen.insert(resource, seen);
            }
        }
        self.record(resource, invoked, action, outcome);
        acknowledged
    }

    fn understand_write(&self, answer: &Answer, tag: Option<Tag>) -> Outcome {
        match answer.status {
            200..300 => Outcome::Acknowledged {
                tag,
                bytes: journal_of(&answer.body).map(|_| digest(&answer.body)),
            },
            // If-None-Match has a status of its own.
            status if status == self.shared.api.stale || status == 412 => Outcome::Never {
                stale: true,
                current: tag,
            },
            // Whoever timed the handler out does not know how far it was.
            408 => Outcome::Unknown {
                disconnected: false,
            },
            400..500 | 503 => Outcome::Never {
                stale: false,
                current: tag,
            },
            _ => Outcome::Unknown {
                disconnected: false,
            },
        }
    }

    fn record(&self, resource: u32, invoked: u64, action: Action, outcome: Outcome) {
        let completed = match outcome {
            // It may yet take effect.
            Outcome::Unknown { .. } => u64::MAX,
            _ => self.shared.recorder.now(),
        };
        self.shared.recorder.record(Operation {
            client: self.number,
            resource,
            invoked,
            completed,
            action,
            outcome,
        });
    }

    fn leave(&mut self) -> Option<Leave> {
        if !self.random.per_mille(self.shared.load.disconnects) {
            return None;
        }
        Some(match self.random.below(6) {
            0 => Leave::HalfSent,
            1 => Leave::HalfSentReset,
            2 | 3 => Leave::Finish,
            _ => Leave::Reset,
        })
    }

    fn request(
        &self,
        method: &str,
        resource: u32,
        condition: Option<(&str, &str)>,
        journal: Option<&[WriteId]>,
    ) -> Request {
        let api = &self.shared.api;
        let path = &api.paths[resource as usize];
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: history\r\n");
        let further = api.fields.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in further.chain(condition) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut body = String::new();
        if let Some(journal) = journal {
            body = json!({ "journal": journal }).to_string();
            let media_type = match method {
                "PUT" => "application/json",
                _ => api.write.1,
            };
            head.push_str(&format!("content-type: {media_type}\r\n"));
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // Half of a request with content has a whole head, so that the body is what breaks off.
        let half = if body.is_empty() {
            head.len() / 2
        } else {
            head.len() + body.len() / 2
        };
        Request {
            bytes: (head + &body).into_bytes(),
            half,
        }
    }

    async fn exchange(&mut self, request: &Request, leave: Option<Leave>) -> Exchanged {
        let Some(mut connection) = self.connect().await else {
            return Exchanged::NeverSent;
        };
        match timeout(PATIENCE, self.exchange_on(&mut connection, request, leave)).await {
            Ok(Ok(Some(answer))) => {
                if answer.keeps_open {
                    self.connection = Some(connection);
                }
                Exchanged::Answered(answer)
            }
            Ok(Ok(None)) => {
                let half_sent = matches!(leave, Some(Leave::HalfSent | Leave::HalfSentReset));
                // Whether it went well says nothing: the server may have hung up first.
                drop(match leave {
                    Some(Leave::HalfSentReset | Leave::Reset) => connection.reset(),
                    _ => timeout(PATIENCE, connection.finish())
                        .await
                        .unwrap_or(Ok(())),
                });
                if half_sent {
                    Exchanged::NeverSent
                } else {
                    Exchanged::Left
                }
            }
            Ok(Err(error)) => {
                assert_ne!(error.kind(), io::ErrorKind::InvalidData, "{error}");
                self.address += 1;
                Exchanged::Broken
            }
            Err(_) => Exchanged::Broken,
        }
    }

    /// The answer, or `None` if it is time to leave.
    async fn exchange_on(
        &mut self,
        connection: &mut Connection,
        request: &Request,
        leave: Option<Leave>,
    ) -> io::Result<Option<Answer>> {
        match leave {
            None => {
                connection.send(&request.bytes).await?;
                connection.answer().await.map(Some)
            }
            Some(Leave::HalfSent | Leave::HalfSentReset) => {
                connection.send(&request.bytes[..request.half]).await?;
                rest(self.random.pause(self.shared.load.leaves_within)).await;
                Ok(None)
            }
            Some(Leave::Finish | Leave::Reset) => {
                connection.send(&request.bytes).await?;
                rest(self.random.pause(self.shared.load.leaves_within)).await;
                Ok(None)
            }
        }
    }

    /// A connection to some process of the service; `None` if there is none just now.
    async fn connect(&mut self) -> Option<Connection> {
        if let Some(connection) = self.connection.take() {
            return Some(connection);
        }
        let addresses = &self.shared.api.addresses;
        let address = addresses[self.address % addresses.len()];
        match timeout(PATIENCE, Connection::open(address)).await {
            Ok(Ok(connection)) => Some(connection),
            _ => {
                self.address += 1;
                rest(Duration::from_millis(20)).await;
                None
            }
        }
    }
}

struct Request {
    bytes: Vec<u8>,
    /// How much of it is clearly not all of it.
    half: usize,
}

const fn unknown(exchanged: &Exchanged) -> Outcome {
    match exchanged {
        Exchanged::NeverSent => Outcome::Never {
            stale: false,
            current: None,
        },
        _ => Outcome::Unknown {
            disconnected: matches!(exchanged, Exchanged::Left),
        },
    }
}

/// `None` if it is no JSON object; a missing journal is an empty one.
fn journal_of(body: &[u8]) -> Option<Vec<WriteId>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let journal = body.as_object()?.get("journal");
    let entries = journal
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    Some(entries.iter().filter_map(Value::as_u64).collect())
}

fn digest(body: &[u8]) -> u64 {
    body.iter()
        .fold(0, |digest, byte| mix(digest ^ u64::from(*byte)))
}
