//! Many clients against a service: how long, how hard, and what they need to know of it.
//!
//! Any service will do whose resources hold a JSON object and keep the member `journal` of it, in
//! any number of processes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify};

use super::client::Client;
use super::record::{History, Recorder};

/// What a client has to know of a service.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// Its processes; each connection of a client goes to the next one, so that none is left alone
    /// once it was away.
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
    /// What somebody does to the service meanwhile.
    pub(crate) trouble: Arc<Trouble>,
}

/// Something that happens to a service under load: the load goes on until it is over. Defaults to
/// nothing at all.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    is_to_come: AtomicBool,
    clients: Notify,
}

impl Trouble {
    pub(crate) fn to_come() -> Arc<Self> {
        let trouble = Self::default();
        trouble.is_to_come.store(true, Ordering::Relaxed);
        Arc::new(trouble)
    }

    /// There is no load before this, for one run waits for the other.
    pub(crate) async fn may_begin(&self) {
        self.clients.notified().await;
    }

    pub(crate) fn is_over(&self) {
        self.is_to_come.store(false, Ordering::Relaxed);
    }
}

/// One run at a time: several would only make each other's timeouts strike.
static ALONE: Mutex<()> = Mutex::const_new(());
/// Without any acknowledged write for this long, a run has failed.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Runs the clients until the load is done, then reads every resource once more.
///
/// # Panics
///
/// If nothing is acknowledged for a minute: the service hangs, and the history would prove nothing.
pub(crate) async fn drive(api: Api, load: Load) -> History {
    let _alone = ALONE.lock().await;
    let shared = Arc::new(Shared {
        api,
        load,
        recorder: Recorder::default(),
        began: Instant::now(),
    });
    let clients: Vec<_> = (0..shared.load.clients)
        .map(|number| tokio::spawn(Client::new(number, Arc::clone(&shared)).run()))
        .collect();
    shared.load.trouble.clients.notify_one();
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
    for resource in 0..shared.resources() {
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

/// What the clients of one run have in common.
pub(super) struct Shared {
    pub(super) api: Api,
    pub(super) load: Load,
    pub(super) recorder: Recorder,
    began: Instant,
}

impl Shared {
    pub(super) fn is_done(&self) -> bool {
        !self.load.trouble.is_to_come.load(Ordering::Relaxed)
            && self.recorder.acknowledged() >= self.load.acknowledged
            && self.began.elapsed() >= self.load.duration
    }

    pub(super) fn resources(&self) -> u32 {
        u32::try_from(self.api.paths.len()).expect("fewer than four billion resources")
    }
}
