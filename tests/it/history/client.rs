//! A client that reads, modifies and writes, over a socket, and now and then leaves in the middle.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::drive::Shared;
use super::exchange::{Exchanged, Leave, Line, Request};
use super::random::{Random, rest};
use super::record::{Action, Doubt, Operation, Outcome, State, Tag, WriteId, mix};
use super::wire::Answer;

/// What a client believes to be current.
#[derive(Debug, Clone)]
struct Seen {
    spelling: String,
    tag: Tag,
    journal: Vec<WriteId>,
    state: State,
}

/// One client.
pub(super) struct Client {
    number: u32,
    shared: Arc<Shared>,
    random: Random,
    line: Line,
    seen: HashMap<u32, Seen>,
}

impl Client {
    pub(super) fn new(number: u32, shared: Arc<Shared>) -> Self {
        Self {
            number,
            random: Random::new(shared.load.seed ^ mix(u64::from(number))),
            line: Line::new(shared.api.addresses.clone(), number as usize),
            seen: HashMap::new(),
            shared,
        }
    }

    pub(super) async fn run(mut self) {
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
    pub(super) async fn read_until_settled(&mut self, resource: u32) -> bool {
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
        let (outcome, journal) = match self.line.exchange(&request, leave).await {
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
                return (Outcome::Unknown(Doubt::Answered), None);
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
        let exchanged = self.line.exchange(request, leave).await;
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
            408 => Outcome::Unknown(Doubt::Answered),
            400..500 | 503 => Outcome::Never {
                stale: false,
                current: tag,
            },
            _ => Outcome::Unknown(Doubt::Answered),
        }
    }

    fn record(&self, resource: u32, invoked: u64, action: Action, outcome: Outcome) {
        let completed = match outcome {
            // It may yet take effect.
            Outcome::Unknown(_) => u64::MAX,
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
        let leaves = self.random.per_mille(self.shared.load.disconnects);
        leaves.then(|| Leave {
            half_sent: self.random.per_mille(333),
            resets: self.random.per_mille(500),
            after: self.random.pause(self.shared.load.leaves_within),
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
        let media_type = match method {
            "PUT" => "application/json",
            _ => api.write.1,
        };
        let body = journal.map(|journal| json!({ "journal": journal }).to_string());
        Request::new(&head, body.as_deref().map(|body| (media_type, body)))
    }
}

const fn unknown(exchanged: &Exchanged) -> Outcome {
    match exchanged {
        Exchanged::NeverSent => Outcome::Never {
            stale: false,
            current: None,
        },
        Exchanged::Left => Outcome::Unknown(Doubt::Left),
        _ => Outcome::Unknown(Doubt::Broken),
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
