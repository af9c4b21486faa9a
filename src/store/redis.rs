//! Versions and claims in Redis, for several processes that share a server (feature `redis`).
//!
//! Claim, settle and read are one Lua script each, run by its digest over one multiplexed
//! connection: atomic, timed by the clock of the server, and one round trip, so that a conditional
//! write takes two and a read takes one. Redis 7 or later is needed, and for the user that connects
//! the commands `EVAL`, `EVALSHA`, `GET`, `SET`, `TIME` and `INFO`.
//!
//! ```no_run
//! use tower_conditional::store::redis::{RedisOptions, RedisStore};
//! # async fn example() -> Result<(), tower_conditional::store::StoreError> {
//! let options = RedisOptions::new().prefix("shop");
//! let store = RedisStore::connect("redis://127.0.0.1/", options).await?;
//! # drop(store);
//! # Ok(())
//! # }
//! ```
//!
//! # What is kept
//!
//! One string for each resource, some 300 bytes, under `{prefix}:row:{key}`: since it is one key, it
//! lies in one slot of a cluster, whatever braces the key of the resource holds. A resource gets its
//! row when it is seen first, by a read too: the row remembers the tag that the read was given. A
//! row that nobody touches for [`RedisOptions::idle`] goes by itself, and so do the tombstones of
//! deleted resources. Whoever comes after that finds the resource unseen, with a fresh version: the
//! price is one spurious conflict or one needless transfer.
//!
//! A version is a random number of 128 bits, drawn anew for each change. No counter has to survive
//! for that: no version comes twice, whether a row was deleted, pruned, flushed or lost, and
//! wherever the clock of the server goes.
//!
//! # What Redis can lose
//!
//! Redis acknowledges before its replicas have a write, and, unless `appendfsync always` is set,
//! before its disk has it: `everysec` can lose acknowledged writes even if only the process is killed.
//! A failover or a crash may then bring back an older row. Two things follow:
//!
//! - **Old versions come back.** They are not believed: a server gets a new replication id whenever
//!   it starts and whenever it is promoted. Rows carry the id under which they were written, and a
//!   row of an earlier one gets a fresh version when it is next touched. So each restart and each
//!   failover changes every tag, once; a spurious conflict, never a lost update. Nobody has to bump
//!   an epoch by hand. (The id is asked for in the same round trip, at most once a second for each
//!   process; on a cluster each time.) A restart is also the way to change all tags after the *data*
//!   were restored from a backup.
//! - **An open claim may be forgotten.** A second writer is then granted the claim while the first
//!   is still running, and an update may be lost. In a failover
//!   it takes a claim that was granted in the last moment before, and a handler that is still
//!   running when the new primary serves its first one. A server without `appendonly yes` forgets
//!   all of them when it is restarted. The same holds for two primaries at once in a partitioned
//!   network, as long as the old one still accepts writes, and for an operator who deletes rows
//!   under traffic. `appendonly yes` with `appendfsync always` rules it out for a single server;
//!   `min-replicas-to-write 1` makes it rarer in a replicated one; so would `WAIT`, but it blocks
//!   all that shares the connection, and does not rule it out either. Where that is not good enough,
//!   keep claims in an SQL database, or let the handler compare in its own statement.
//!
//! Redis must not evict rows either: set `maxmemory-policy noeviction`. A server that is full then
//! refuses, and writes are answered 503.
//!
//! Leases go by the wall clock of the server. A step forward ends leases early: let the clock be
//! slewed, not set.
//!
//! # Waiting
//!
//! Who waits for a claim asks again after short, growing and jittered pauses, up to 64 ms. That is
//! not first come first served.

mod connection;
mod link;
mod nonce;
mod script;

use std::sync::Arc;
use std::time::Duration;

use redis::IntoConnectionInfo;
use tokio::time::Instant;

pub(crate) use self::connection::Connection;
pub(crate) use self::link::Server;
use self::nonce::Nonces;
pub(crate) use self::script::Script;
use self::script::{CLAIM, CURRENT, Reply, SETTLE, Verdict};
use super::{
    Answer, Claim, ClaimOptions, ClaimStore, Claimed, Condition, Intent, Outcome, Settled,
    Snapshot, StoreError, VersionStore,
};
use crate::key::ResourceKey;

/// The first and the longest pause of a waiter: about a fast handler's time, and what a human does
/// not notice.
const PAUSES: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(64));

/// The longest `Retry-After`: leases are made for the worst case, handlers mostly end long before.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lua counts in doubles: ten years of microseconds leave room.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How a [`RedisStore`] or a
/// [`RedisIdempotencyStore`](crate::idempotency::redis::RedisIdempotencyStore) keeps its rows, and how long it waits for its server.
///
/// ```
/// use std::time::Duration;
/// use tower_conditional::store::redis::RedisOptions;
///
/// let options = RedisOptions::new()
///     .prefix("shop")
///     .idle(Some(Duration::from_secs(24 * 3600)))
///     .response_timeout(Duration::from_millis(200));
/// assert_ne!(options, RedisOptions::new());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisOptions {
    pub(crate) prefix: String,
    idle: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    response_timeout: Duration,
}

impl RedisOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: "conditional".to_owned(),
            idle: Some(Duration::from_secs(7 * 24 * 3600)),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
        }
    }

    /// What all keys of this store begin with. Processes guard each other only if they have the same
    /// prefix, and services that do not know each other's resources need different ones.
    ///
    /// Defaults to `conditional`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a row stays that nobody reads or writes; `None` means for ever. A client that comes
    /// back later with its tag gets a spurious conflict.
    ///
    /// Keys of an idempotency store have a time to live of their own instead.
    ///
    /// Defaults to 7 days: a form may stay open over the weekend, and rows of paths that somebody
    /// only tried out do not stay.
    #[must_use]
    pub const fn idle(mut self, idle: Option<Duration>) -> Self {
        self.idle = idle;
        self
    }

    /// How long to wait for a new connection, with all that is asked when it is opened. Who comes
    /// while the server is away gets [`StoreError::NotApplied`] after this time, or at once if the
    /// server refuses.
    ///
    /// Defaults to 1 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait for one answer; after that it is [`StoreError::Unknown`]. Must be well below
    /// the lease of claims: a claim whose answer is lost blocks its resource until then.
    ///
    /// Defaults to 1 s.
    #[must_use]
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Versions and claims in Redis. Clones share one connection.
///
/// See the [module docs](crate::store::redis) for an example, and for what Redis can lose.
#[derive(Debug, Clone)]
pub struct RedisStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Connection,
    nonces: Nonces,
    options: RedisOptions,
}

impl RedisStore {
    /// A store on `server`, such as `redis://user:password@host:6379/0`. Connects when it is first
    /// asked something, and again whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// If `server` is not the address of one.
    ///
    /// ```
    /// use tower_conditional::store::redis::{RedisOptions, RedisStore};
    ///
    /// assert!(RedisStore::new("redis://127.0.0.1:6379/", RedisOptions::new()).is_ok());
    /// assert!(RedisStore::new("http://127.0.0.1/", RedisOptions::new()).is_err());
    /// ```
    pub fn new(server: impl IntoConnectionInfo, options: RedisOptions) -> Result<Self, StoreError> {
        let server = Server::one(server, &options).map_err(StoreError::not_applied)?;
        Ok(Self::over(server, options))
    }

    /// A store on the cluster that some of its nodes lead to. Connects as [`new`](Self::new) does.
    ///
    /// The driver sends a request again that was redirected or interrupted. So every failure but the
    /// one to connect is [`StoreError::Unknown`]; and a claim that was granted twice to one request
    /// looks like somebody else's, and ends with its lease.
    ///
    /// # Errors
    ///
    /// If the nodes are not the addresses of one cluster.
    ///
    /// ```
    /// use tower_conditional::store::redis::{RedisOptions, RedisStore};
    ///
    /// let nodes = ["redis://10.0.0.1/", "redis://10.0.0.2/"];
    /// assert!(RedisStore::cluster(nodes, RedisOptions::new()).is_ok());
    /// ```
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<A: IntoConnectionInfo>(
        nodes: impl IntoIterator<Item = A>,
        options: RedisOptions,
    ) -> Result<Self, StoreError> {
        let server = Server::cluster(nodes, &options).map_err(StoreError::not_applied)?;
        Ok(Self::over(server, options))
    }

    fn over(server: Server, options: RedisOptions) -> Self {
        let schema_key = format!("{}:schema", options.prefix);
        Self(Arc::new(Inner {
            connection: Connection::new(server, schema_key, options.connect_timeout),
            nonces: Nonces::new(),
            options,
        }))
    }

    /// The same, and asks the server whether all is well: a service had better not start if it is
    /// not.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new) and [`health_check`](Self::health_check).
    pub async fn connect(
        server: impl IntoConnectionInfo,
        options: RedisOptions,
    ) -> Result<Self, StoreError> {
        let store = Self::new(server, options)?;
        store.health_check().await?;
        Ok(store)
    }

    /// Does what a read does, on a row of its own: fails if the server (of a cluster, one of them) is
    /// away, a replica, full, too old, if the user may not run what the scripts run, or if another
    /// version of this library keeps its rows under this prefix.
    ///
    /// # Errors
    ///
    /// With the reason as its source.
    pub async fn health_check(&self) -> Result<(), StoreError> {
        let row = format!("{}:health", self.0.options.prefix);
        let answered = self.0.run_on(&row, &CURRENT, Duration::ZERO, &[]).await?;
        read(&answered).map(drop)
    }

    /// How many times this store and its clones have asked the server: 1 for each read, claim and
    /// settle, 1 more for each script that the server did not know, 1 for each connection. The
    /// handshake of the driver does not count.
    ///
    /// See the [module docs](crate::store::redis) for an example of a store.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.0.connection.round_trips()
    }
}

impl VersionStore for RedisStore {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        Answer::later(async move {
            let answered = inner.run(&key, &CURRENT, Duration::ZERO, &[]).await?;
            let reply = read(&answered)?;
            Ok(Snapshot {
                settled: reply.remaining.is_zero(),
                state: reply.state,
            })
        })
    }
}

impl ClaimStore for RedisStore {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let (inner, key, condition) = (Arc::clone(&self.0), key.clone(), condition.clone());
        Answer::later(async move { inner.claim(key, &condition, options).await })
    }

    fn settle(&self, claim: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let inner = Arc::clone(&self.0);
        Answer::later(async move { inner.settle(&claim, outcome).await })
    }

    /// Does nothing: the server ends the lease by its own clock.
    fn abandon(&self, claim: Claim) {
        drop(claim);
    }
}

impl Inner {
    async fn claim(
        &self,
        key: ResourceKey,
        condition: &Condition,
        options: ClaimOptions,
    ) -> Result<Claimed, StoreError> {
        let began = Instant::now();
        let lease = options.lease.min(LONGEST);
        let micros = lease.as_micros().to_string();
        let (kind, versions) = spelled(condition);
        let mut arguments = vec![micros.as_bytes(), intent(options.intent), kind];
        arguments.extend(versions.iter().map(|version| version.as_bytes()));

        let mut pause = PAUSES.0;
        loop {
            let asked = Instant::now();
            let answered = self.run(&key, &CLAIM, lease, &arguments).await?;
            let reply = read(&answered)?;
            match reply.verdict {
                Verdict::Granted => {
                    // The lease runs since the server granted it, which was after we asked.
                    let left = lease.saturating_sub(asked.elapsed());
                    return Ok(Claimed::Granted(
                        Claim::new(key, reply.token, reply.state).with_lease(left),
                    ));
                }
                Verdict::Failed => return Ok(Claimed::Failed(reply.state)),
                _ => {}
            }
            let left = options.wait.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(Claimed::Busy {
                    retry_after: reply.remaining.min(RETRY_AFTER),
                    holder: reply.holder,
                });
            }
            tokio::time::sleep(self.nonces.jitter(pause).min(left)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn settle(&self, claim: &Claim, outcome: Outcome) -> Result<Settled, StoreError> {
        let token = claim.token().to_string();
        let base = claim.state().current();
        let base = base.and_then(|current| current.version.as_ref());
        let outcome: &[u8] = match outcome {
            Outcome::Deleted => b"deleted",
            Outcome::Unchanged => b"unchanged",
            Outcome::Unknown => b"unknown",
            Outcome::Written => b"written",
        };
        let base = base.map_or(&b""[..], |version| version.as_bytes());
        let arguments = [token.as_bytes(), base, outcome];
        let answered = self.run(claim.key(), &SETTLE, Duration::ZERO, &arguments);
        let answered = answered.await?;
        let reply = read(&answered)?;
        Ok(match reply.verdict {
            Verdict::Done => Settled::Done(reply.state),
            _ => Settled::Fenced(reply.state),
        })
    }

    async fn run(
        &self,
        key: &ResourceKey,
        script: &Script,
        lease: Duration,
        arguments: &[&[u8]],
    ) -> Result<String, StoreError> {
        let row = format!("{}:row:{key}", self.options.prefix);
        self.run_on(&row, script, lease, arguments).await
    }

    async fn run_on(
        &self,
        row: &str,
        script: &Script,
        lease: Duration,
        arguments: &[&[u8]],
    ) -> Result<String, StoreError> {
        // To the script 0 means for ever. A row does not go before the lease of its claim is over.
        let idle = self.options.idle.map_or(0, |idle| {
            let stays = idle.min(LONGEST) + lease;
            u64::try_from(stays.as_millis()).map_or(1, |millis| millis + 1)
        });
        let fresh = self.nonces.version();
        self.connection
            .run(script, row, &fresh, idle, arguments)
            .await
    }
}

fn read(answered: &str) -> Result<Reply<'_>, StoreError> {
    Reply::read(answered).map_err(StoreError::unknown)
}

/// How the claim script spells a condition.
fn spelled(condition: &Condition) -> (&'static [u8], &[super::Version]) {
    match condition {
        Condition::Absent => (b"absent", &[]),
        Condition::AnyOf(versions) => (b"any_of", versions),
        Condition::Exists => (b"exists", &[]),
        Condition::NoneOf(versions) => (b"none_of", versions),
        Condition::Unconditional => (b"unconditional", &[]),
    }
}

const fn intent(intent: Intent) -> &'static [u8] {
    match intent {
        Intent::Delete => b"delete",
        Intent::Write => b"write",
    }
}
