//! First answers in Redis, for several processes that share a server (feature `redis`).
//!
//! `begin` and `settle` are one Lua script each, run by its digest over one multiplexed connection:
//! atomic, timed by the clock of the server, and one round trip. Redis 7 or later is needed, and for
//! the user that connects the commands `EVAL`, `EVALSHA`, `SET`, `HMGET`, `HSET`, `HDEL`, `DEL`,
//! `PEXPIRE` and `TIME`.
//!
//! ```no_run
//! use tower_conditional::idempotency::redis::RedisIdempotencyStore;
//! use tower_conditional::store::redis::RedisOptions;
//!
//! # async fn example() -> Result<(), tower_conditional::store::StoreError> {
//! let options = RedisOptions::new().prefix("shop");
//! let store = RedisIdempotencyStore::connect("redis://127.0.0.1/", options).await?;
//! # drop(store);
//! # Ok(())
//! # }
//! ```
//!
//! # What is kept
//!
//! One hash for each key, under `{prefix}:key:…`, until its time to live is over: then it goes by
//! itself.
//!
//! # What Redis can lose
//!
//! Redis acknowledges before its replicas have a write, and, unless `appendfsync always` is set,
//! before its disk has it. What a failover or a crash loses are keys, and a retry of theirs is run
//! again; and answers, whose keys are then in doubt. Nor can a handler write its
//! [`Ticket`](super::Ticket) in Redis in the transaction of its data. Where a second run would be a
//! second sale, keep keys in the SQL database of the sales (`idempotency::sql`). Redis must not evict keys
//! either: set `maxmemory-policy noeviction`.
//!
//! Leases go by the wall clock of the server: let it be slewed, not set.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::redis::IntoConnectionInfo;

use super::fingerprint::Fingerprint;
use super::form;
use super::store::{Attempt, BeginOptions, Begun, Ending, IdempotencyStore, RecordKey, Settlement};
use crate::store::redis::{Connection, RedisOptions, Script, Server};
use crate::store::{Answer, StoreError};

/// The longest `Retry-After`: leases are made for the worst case, handlers mostly end long before.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lua counts in doubles: ten years of microseconds leave room.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

static BEGIN: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("row.lua"), include_str!("begin.lua"))));
static SETTLE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("row.lua"), include_str!("settle.lua"))));

/// What `begin` answers: verdict, token or turn, milliseconds that it is in flight yet, status, fields
/// and content of its answer.
type Answered = (String, u64, u64, i64, Vec<u8>, Option<Vec<u8>>);

/// First answers in Redis. Clones share one connection.
///
/// See the [module docs](self) for an example, and for what Redis can lose.
#[derive(Clone)]
pub struct RedisIdempotencyStore {
    connection: Arc<Connection>,
    prefix: Arc<str>,
}

impl RedisIdempotencyStore {
    /// A store on `server`, such as `redis://user:password@host:6379/0`. Connects when it is first
    /// asked something, and again whenever the connection is lost.
    ///
    /// # Errors
    ///
    /// If `server` is not the address of one.
    pub fn new(server: impl IntoConnectionInfo, options: RedisOptions) -> Result<Self, StoreError> {
        let server = Server::one(server, &options).map_err(StoreError::not_applied)?;
        Ok(Self::over(server, options))
    }

    /// A store on the cluster that some of its nodes lead to. Connects as [`new`](Self::new) does.
    ///
    /// # Errors
    ///
    /// If the nodes are not the addresses of one cluster.
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<A: IntoConnectionInfo>(
        nodes: impl IntoIterator<Item = A>,
        options: RedisOptions,
    ) -> Result<Self, StoreError> {
        let server = Server::cluster(nodes, &options).map_err(StoreError::not_applied)?;
        Ok(Self::over(server, options))
    }

    fn over(server: Server, options: RedisOptions) -> Self {
        let layout = format!("{}:keys", options.prefix);
        Self {
            connection: Arc::new(Connection::new(server, layout, options.connect_timeout)),
            prefix: options.prefix.into(),
        }
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

    /// Settles an attempt that nobody made: fails if the server is away, a replica, full, too old, if
    /// the user may not run scripts, or if another version of this library keeps its keys under this
    /// prefix.
    ///
    /// # Errors
    ///
    /// With the reason as its source.
    pub async fn health_check(&self) -> Result<(), StoreError> {
        let row = format!("{}:keys:health", self.prefix);
        let arguments: [&[u8]; 3] = [b"0", b"not run", b"0"];
        let answered = self.connection.run_plain(&SETTLE, &row, &arguments);
        answered.await.map(|_: String| ())
    }

    /// How many times this store and its clones have asked the server: 1 for each begin and settle, 1
    /// more for each script that the server did not know, 1 for each connection.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.connection.round_trips()
    }

    async fn start(
        &self,
        key: RecordKey,
        fingerprint: Fingerprint,
        options: BeginOptions,
    ) -> Result<Begun, StoreError> {
        let (lease, ttl) = (millis(options.lease), millis(options.ttl));
        let instead_of = options.instead_of.map(|token| token.to_string());
        let arguments = [
            &fingerprint.as_bytes()[..],
            lease.as_bytes(),
            ttl.as_bytes(),
            instead_of.as_deref().unwrap_or_default().as_bytes(),
        ];
        let row = self.row(&key);
        let answered = self.connection.run_plain(&BEGIN, &row, &arguments);
        let (verdict, token, left, status, headers, content): Answered = answered.await?;
        Ok(match verdict.as_str() {
            "done" => {
                let response = form::read(status, &headers, content);
                let response = Arc::new(response.map_err(StoreError::unknown)?);
                Begun::Done { token, response }
            }
            "in doubt" => Begun::InDoubt { token },
            "in flight" => Begun::InFlight {
                retry_after: Duration::from_millis(left).min(RETRY_AFTER),
            },
            "mismatch" => Begun::Mismatch,
            // What begin.lua answers otherwise: `started`.
            _ => Begun::Started(Attempt::new(key, fingerprint, token, &options)),
        })
    }

    async fn end(&self, attempt: Attempt, ending: Ending) -> Result<Settlement, StoreError> {
        let (token, ttl) = (attempt.token().to_string(), millis(attempt.ttl()));
        let (word, answer) = match &ending {
            Ending::Done(answer) => ("done", Some(answer)),
            Ending::InDoubt => ("in doubt", None),
            Ending::NotRun => ("not run", None),
        };
        let mut arguments = vec![token.as_bytes(), word.as_bytes(), ttl.as_bytes()];
        let head = answer.map(|answer| (answer.status(), form::lines(answer.headers())));
        if let Some((status, lines)) = &head {
            arguments.extend([status.as_str().as_bytes(), lines]);
        }
        let content = answer.and_then(|answer| answer.content());
        arguments.extend(content.map(|content| &**content));
        let row = self.row(attempt.key());
        let settled = self.connection.run_plain(&SETTLE, &row, &arguments);
        let settled: String = settled.await?;
        Ok(match settled.as_str() {
            "settled" => Settlement::Done,
            _ => Settlement::Fenced,
        })
    }

    /// No two keys have one row, whatever is in them.
    fn row(&self, key: &RecordKey) -> String {
        let (scope, key) = (key.scope(), key.key());
        format!("{}:key:{}:{scope}:{key}", self.prefix, scope.len())
    }
}

impl IdempotencyStore for RedisIdempotencyStore {
    fn begin(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
        options: BeginOptions,
    ) -> Answer<Result<Begun, StoreError>> {
        let (store, key, fingerprint) = (self.clone(), key.clone(), *fingerprint);
        Answer::later(async move { store.start(key, fingerprint, options).await })
    }

    fn settle(&self, attempt: &Attempt, ending: Ending) -> Answer<Result<Settlement, StoreError>> {
        let (store, attempt) = (self.clone(), attempt.clone());
        Answer::later(async move { store.end(attempt, ending).await })
    }

    /// Does nothing: the server ends the lease by its own clock.
    fn abandon(&self, _attempt: &Attempt) {}
}

impl fmt::Debug for RedisIdempotencyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisIdempotencyStore")
            .field("prefix", &self.prefix)
            .field("round_trips", &self.round_trips())
            .finish_non_exhaustive()
    }
}

/// Rounded up, and at least one: nothing can live for no time at all.
fn millis(duration: Duration) -> String {
    let millis = duration.min(LONGEST).as_nanos().div_ceil(1_000_000);
    millis.max(1).to_string()
}
