//! One resource and two clients who read, change and write it; what can happen to them next.
//!
//! The data are the set of writes that they hold. A write replaces the data with those that its
//! client has read, plus itself: so whatever it did not know of is gone.

use std::collections::BTreeMap;

use super::rules::{
    Abandoned, Answer, Bump, Effects, Fence, Guard, Lease, Leaving, Protocol, Reads,
};

const CLIENTS: usize = 2;
const WRITES_OF_EACH: u32 = 2;
/// How many times a client leaves in the middle of a write.
const LEAVES: u8 = 2;

/// A set of writes, one bit for each.
type Data = u8;
type Version = u8;
/// Numbers the claims, from 1.
type Token = u8;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    data: Data,
    version: Version,
    claim: Option<Claim>,
    claims: Token,
    /// The data turn away whoever has a lower token.
    fence: Token,
    clients: [Client; CLIENTS],
    /// Writes on their way to the data whose clients have left.
    strays: Vec<Write>,
    leaves: u8,
    /// What clients were told that each version names.
    named: BTreeMap<Version, Data>,
    acknowledged: Data,
    /// Has an acknowledged write replaced data that its client had never seen?
    overwrote: bool,
    /// Has a version named two states?
    pub(super) two_states: bool,
    /// Was a writer turned away by its token?
    pub(super) fenced: bool,
    /// Has a write changed the data whose client has left? As late as the protocol has it.
    pub(super) orphan_landed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Claim {
    token: Token,
    abandoned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Client {
    doing: Doing,
    /// Its writes that it has not begun.
    writes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Doing {
    /// Nothing, and it knows nothing that it could write on.
    Nothing,
    Reading(Reading),
    /// Nothing; it knows these data under this tag.
    Knowing {
        tag: Version,
        data: Data,
    },
    Writing(Write),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reading {
    Begun,
    Data(Data),
    Version { version: Version, settled: bool },
    VersionAndData(Version, Data),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Write {
    /// Its bit in the data.
    id: Data,
    if_match: Version,
    /// What its client has read under that tag.
    base: Data,
    progress: Progress,
    /// Did it replace anything but its base?
    overwrote: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Progress {
    Sent,
    Compared,
    Claimed(Token),
    /// The data are stored; the token is 0 without a claim.
    Stored(Token),
    /// Only the answer is missing. The version is the one that it made.
    Done(Version),
}

/// What can happen next. Clients and strays are named by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A client begins to read.
    Read(usize),
    /// A client begins to write.
    Write(usize),
    /// What a client has begun gets one step further.
    Proceed(usize),
    /// A client leaves in the middle of its write.
    Leave(usize),
    /// A write takes effect whose client has left.
    Land(usize),
    /// The lease of the open claim ends.
    LeaseEnds,
}

impl World {
    pub(super) fn new() -> Self {
        let client = Client {
            doing: Doing::Nothing,
            writes: WRITES_OF_EACH,
        };
        Self {
            data: 0,
            version: 1,
            claim: None,
            claims: 0,
            fence: 0,
            clients: [client; CLIENTS],
            strays: Vec::new(),
            leaves: 0,
            named: BTreeMap::new(),
            acknowledged: 0,
            overwrote: false,
            two_states: false,
            fenced: false,
            orphan_landed: false,
        }
    }

    /// Is an acknowledged write gone, or has one destroyed what its client had not seen?
    pub(super) const fn lost_update(&self) -> bool {
        self.overwrote || self.acknowledged & !self.data != 0
    }

    pub(super) const fn all_acknowledged(&self) -> bool {
        self.acknowledged.count_ones() == CLIENTS as u32 * WRITES_OF_EACH
    }

    pub(super) fn actions(&self, protocol: &Protocol, actions: &mut Vec<Action>) {
        for (index, client) in self.clients.iter().enumerate() {
            match client.doing {
                Doing::Nothing if client.writes > 0 => actions.push(Action::Read(index)),
                Doing::Nothing => {}
                Doing::Knowing { .. } if client.writes > 0 => {
                    actions.extend([Action::Read(index), Action::Write(index)]);
                }
                Doing::Knowing { .. } => {}
                Doing::Reading(_) => actions.push(Action::Proceed(index)),
                Doing::Writing(_) => {
                    actions.push(Action::Proceed(index));
                    if protocol.leaving != Leaving::Never && self.leaves < LEAVES {
                        actions.push(Action::Leave(index));
                    }
                }
            }
        }
        actions.extend((0..self.strays.len()).map(Action::Land));
        if let Some(claim) = &self.claim
            && (claim.abandoned || protocol.lease == Lease::EndsUnderHandlers)
        {
            actions.push(Action::LeaseEnds);
        }
    }

    pub(super) fn act(&mut self, protocol: &Protocol, action: Action) {
        match action {
            Action::Read(client) => self.clients[client].doing = Doing::Reading(Reading::Begun),
            Action::Write(client) => self.begin_write(client),
            Action::Proceed(client) => {
                let doing = std::mem::replace(&mut self.clients[client].doing, Doing::Nothing);
                self.clients[client].doing = match doing {
                    Doing::Reading(reading) => self.read(protocol, reading),
                    Doing::Writing(write) => self.write(protocol, write),
                    idle => idle,
                };
            }
            Action::Leave(client) => self.leave(protocol, client),
            Action::Land(stray) => self.land(protocol, stray),
            Action::LeaseEnds => self.end_lease(protocol),
        }
    }

    fn begin_write(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if let Doing::Knowing { tag, data } = client.doing {
            client.writes -= 1;
            client.doing = Doing::Writing(Write {
                id: 1 << (index as u32 * WRITES_OF_EACH + client.writes),
                if_match: tag,
                base: data,
                progress: Progress::Sent,
                overwrote: false,
            });
        }
    }

    fn read(&mut self, protocol: &Protocol, reading: Reading) -> Doing {
        let (data, version, settled) = (self.data, self.version, self.claim.is_none());
        match (reading, protocol.reads) {
            (Reading::Begun, Reads::VersionWithData) => self.told(version, data),
            (Reading::Begun, Reads::VersionAfterData) => Doing::Reading(Reading::Data(data)),
            (Reading::Begun, _) => Doing::Reading(Reading::Version { version, settled }),
            (Reading::Data(data), _) => self.told(version, data),
            (Reading::Version { version, .. }, Reads::VersionBeforeData) => {
                self.told(version, data)
            }
            (Reading::Version { settled: false, .. }, _) => Doing::Nothing,
            (Reading::Version { version, .. }, _) => {
                Doing::Reading(Reading::VersionAndData(version, data))
            }
            (Reading::VersionAndData(before, data), _) if before == version && settled => {
                self.told(version, data)
            }
            (Reading::VersionAndData(..), _) => Doing::Nothing,
        }
    }

    /// A client is told that these are the data of `tag`.
    fn told(&mut self, tag: Version, data: Data) -> Doing {
        self.two_states |= *self.named.entry(tag).or_insert(data) != data;
        Doing::Knowing { tag, data }
    }

    /// One step of a write whose client waits for it. A client that is refused, or told that
    /// nobody knows, knows nothing.
    fn write(&mut self, protocol: &Protocol, mut write: Write) -> Doing {
        write.progress = match (write.progress, protocol.guard) {
            (Progress::Sent, _) if !self.admits(&write) => return Doing::Nothing,
            (Progress::Sent, Guard::CheckThenAct) => Progress::Compared,
            (Progress::Sent, Guard::CompareAndSet) => {
                write.overwrote = self.store(&write);
                Progress::Done(self.bump())
            }
            (Progress::Sent, Guard::Claim(bump)) => Progress::Claimed(self.take(protocol, bump)),
            (Progress::Compared, _) => {
                write.overwrote = self.store(&write);
                Progress::Stored(0)
            }
            (Progress::Claimed(token), _) => {
                if !self.passes_fence(protocol, token) {
                    return Doing::Nothing;
                }
                write.overwrote = self.store(&write);
                Progress::Stored(token)
            }
            (Progress::Stored(token), Guard::Claim(bump)) => {
                if !self.is_open(token) {
                    return Doing::Nothing;
                }
                self.claim = None;
                Progress::Done(match bump {
                    Bump::WhenClaimed => self.version,
                    Bump::WhenSettled => self.bump(),
                })
            }
            (Progress::Stored(_), _) => Progress::Done(self.bump()),
            (Progress::Done(made), _) => {
                self.acknowledged |= write.id;
                self.overwrote |= write.overwrote;
                let tag = match protocol.answer {
                    Answer::CurrentVersion => self.version,
                    Answer::OwnVersion => made,
                };
                return self.told(tag, write.base | write.id);
            }
        };
        Doing::Writing(write)
    }

    /// Does `If-Match` hold, and does nobody hold a claim?
    fn admits(&self, write: &Write) -> bool {
        write.if_match == self.version && self.claim.is_none()
    }

    fn take(&mut self, protocol: &Protocol, bump: Bump) -> Token {
        self.claims += 1;
        let token = self.claims;
        self.claim = Some(Claim {
            token,
            abandoned: false,
        });
        if bump == Bump::WhenClaimed {
            self.bump();
        }
        if protocol.fence == Fence::OlderThanClaimed {
            self.fence = token;
        }
        token
    }

    fn is_open(&self, token: Token) -> bool {
        self.claim
            .as_ref()
            .is_some_and(|claim| claim.token == token)
    }

    /// What the data say to whoever comes with `token`.
    fn passes_fence(&mut self, protocol: &Protocol, token: Token) -> bool {
        if token < self.fence {
            self.fenced = true;
            return false;
        }
        if protocol.fence == Fence::OlderThanWritten {
            self.fence = token;
        }
        true
    }

    /// Replaces the data. Were they anything but what the write is based on?
    const fn store(&mut self, write: &Write) -> bool {
        let overwrote = self.data != write.base;
        self.data = write.base | write.id;
        overwrote
    }

    const fn bump(&mut self) -> Version {
        self.version += 1;
        self.version
    }

    fn leave(&mut self, protocol: &Protocol, index: usize) {
        let doing = std::mem::replace(&mut self.clients[index].doing, Doing::Nothing);
        let Doing::Writing(write) = doing else { return };
        self.leaves += 1;
        match protocol.leaving {
            Leaving::Never => {}
            Leaving::EffectsAnyTime => self.stray(write),
            Leaving::Abandons(abandoned, effects) => match write.progress {
                Progress::Claimed(token) => {
                    if effects != Effects::WhileHandled {
                        self.stray(write);
                    }
                    self.abandon(abandoned, token);
                }
                Progress::Stored(token) => {
                    self.orphan_landed |= effects == Effects::WhileHandled;
                    self.abandon(abandoned, token);
                }
                Progress::Sent | Progress::Compared | Progress::Done(_) => {}
            },
        }
    }

    fn stray(&mut self, write: Write) {
        if !matches!(write.progress, Progress::Done(_)) {
            self.strays.push(write);
            self.strays.sort_by_key(|stray| stray.id);
        }
    }

    fn abandon(&mut self, abandoned: Abandoned, token: Token) {
        match (abandoned, &mut self.claim) {
            (Abandoned::KeptForItsLease, Some(claim)) if claim.token == token => {
                claim.abandoned = true;
            }
            (Abandoned::ReleasedAndBumped, claim) => {
                *claim = None;
                self.bump();
            }
            (Abandoned::ReleasedUnchanged, claim) => *claim = None,
            (Abandoned::KeptForItsLease, _) => {}
        }
    }

    /// The last step of a write that nobody waits for.
    fn land(&mut self, protocol: &Protocol, index: usize) {
        let write = self.strays.remove(index);
        match write.progress {
            Progress::Sent if self.admits(&write) => {
                self.store(&write);
                self.bump();
            }
            Progress::Claimed(token) if self.passes_fence(protocol, token) => {
                self.store(&write);
            }
            _ => return,
        }
        self.orphan_landed = true;
    }

    fn end_lease(&mut self, protocol: &Protocol) {
        let Some(claim) = self.claim.take() else {
            return;
        };
        self.bump();
        if protocol.fence == Fence::WithTheLease {
            self.fence = claim.token + 1;
        }
        if matches!(protocol.leaving, Leaving::Abandons(_, Effects::WithinLease)) {
            let ended = Progress::Claimed(claim.token);
            self.strays.retain(|stray| stray.progress != ended);
        }
    }
}
