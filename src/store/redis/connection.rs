//! One multiplexed connection that is replaced when it breaks.
//!
//! redis-rs brings a manager of its own, but to its callers a connection that could not be opened
//! and one that broke with a command under way look alike. For us the first means that nothing was
//! changed, and the second that nobody knows; and a request had better fail at once than wait for
//! several attempts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};

use super::link::{Link, Server};
use super::script::{Reply, Script};
use crate::store::StoreError;

/// The layout of the rows. A version of this library that changes it counts up.
const LAYOUT: u32 = 1;

/// How long the era of a server is believed. To lose writes unnoticed, one and the same server would
/// have to be demoted and promoted again within this time, without closing our connection.
const ERA_BELIEVED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Connection {
    server: Server,
    schema_key: String,
    connect_timeout: Duration,
    live: RwLock<Option<Arc<Live>>>,
    /// Held by who opens a connection; the error of the last attempt.
    opening: tokio::sync::Mutex<Option<RedisError>>,
    failed_attempts: AtomicU64,
    round_trips: AtomicU64,
}

/// A connection that worked when it was opened.
struct Live {
    link: Link,
    /// Set when the server hangs up, also while nothing is under way.
    closed: Arc<AtomicBool>,
    era: Mutex<Option<(Instant, String)>>,
}

impl Connection {
    pub(crate) fn new(server: Server, schema_key: String, connect_timeout: Duration) -> Self {
        Self {
            server,
            schema_key,
            connect_timeout,
            live: RwLock::new(None),
            opening: tokio::sync::Mutex::new(None),
            failed_attempts: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
        }
    }

    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// Runs `script` on the row `key`, in one round trip if the server knows the script. Gives the
    /// text of a [`Reply`].
    pub(super) async fn run(
        &self,
        script: &Script,
        key: &str,
        fresh: &str,
        idle: u64,
        more: &[&[u8]],
    ) -> Result<String, StoreError> {
        let live = self.live().await.map_err(StoreError::not_applied)?;
        let asked = Instant::now();
        let era = live.era(asked);
        let complete = |mut command: Cmd| {
            command.arg(1).arg(key).arg(fresh).arg(idle).arg(&era);
            for argument in more {
                command.arg(argument);
            }
            command
        };
        let answered: String = self.evaluate(&live, script, complete).await?;
        // The nodes of a cluster have eras of their own: there it is asked each time.
        if era.is_empty()
            && live.link.is_one_server()
            && let Ok(reply) = Reply::read(&answered)
        {
            live.remember_era(asked, reply.era);
        }
        Ok(answered)
    }

    /// Runs a script that is not about versions, on the row `key`.
    pub(crate) async fn run_plain<T: FromRedisValue>(
        &self,
        script: &Script,
        key: &str,
        arguments: &[&[u8]],
    ) -> Result<T, StoreError> {
        let live = self.live().await.map_err(StoreError::not_applied)?;
        let complete = |mut command: Cmd| {
            command.arg(1).arg(key);
            for argument in arguments {
                command.arg(argument);
            }
            command
        };
        self.evaluate(&live, script, complete).await
    }

    async fn evaluate<T: FromRedisValue>(
        &self,
        live: &Arc<Live>,
        script: &Script,
        complete: impl Fn(Cmd) -> Cmd,
    ) -> Result<T, StoreError> {
        let mut answered = self.ask(live, &complete(script.by_digest())).await;
        let no_script = ErrorKind::Server(ServerErrorKind::NoScript);
        if matches!(&answered, Err(error) if error.kind() == no_script) {
            // A new server, or one that was restarted: it keeps the script from now on.
            answered = self.ask(live, &complete(script.by_text())).await;
        }
        answered.map_err(|error| {
            if is_broken(&error) {
                self.discard(live);
            }
            told_apart(error, &live.link)
        })
    }

    async fn ask<T: FromRedisValue>(&self, live: &Live, command: &Cmd) -> Result<T, RedisError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        live.link.ask(command).await
    }

    /// The connection, opened by whoever comes first; the others wait for that one attempt.
    async fn live(&self) -> Result<Arc<Live>, RedisError> {
        if let Some(live) = self.alive() {
            return Ok(live);
        }
        let failed = self.failed_attempts.load(Ordering::Acquire);
        let opened = tokio::time::timeout(self.connect_timeout, async {
            let mut last_error = self.opening.lock().await;
            if let Some(live) = self.alive() {
                return Ok(live);
            }
            let failed_meanwhile = self.failed_attempts.load(Ordering::Acquire) != failed;
            if let Some(error) = last_error.clone().filter(|_| failed_meanwhile) {
                return Err(error);
            }
            match self.open().await {
                Ok(live) => {
                    let live = Arc::new(live);
                    let mut current = self.live.write().unwrap_or_else(PoisonError::into_inner);
                    *current = Some(Arc::clone(&live));
                    Ok(live)
                }
                Err(error) => {
                    *last_error = Some(error.clone());
                    self.failed_attempts.fetch_add(1, Ordering::Release);
                    Err(error)
                }
            }
        });
        opened
            .await
            .unwrap_or_else(|elapsed| Err(std::io::Error::from(elapsed).into()))
    }

    fn alive(&self) -> Option<Arc<Live>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.as_ref()
            .filter(|live| !live.closed.load(Ordering::Acquire))
            .cloned()
    }

    fn discard(&self, broken: &Arc<Live>) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have replaced it already.
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(live, broken)) {
            *live = None;
        }
    }

    async fn open(&self) -> Result<Live, RedisError> {
        let closed = Arc::new(AtomicBool::new(false));
        let live = Live {
            link: self.server.open(Arc::clone(&closed)).await?,
            closed,
            era: Mutex::new(None),
        };
        self.check_layout(&live).await?;
        Ok(live)
    }

    /// Two layouts over one set of rows would not see each other's claims.
    async fn check_layout(&self, live: &Live) -> Result<(), RedisError> {
        let mut command = redis::cmd("SET");
        command
            .arg(&self.schema_key)
            .arg(LAYOUT)
            .arg("NX")
            .arg("GET");
        let found: Option<String> = self.ask(live, &command).await?;
        match found {
            Some(layout) if layout != LAYOUT.to_string() => Err(RedisError::from((
                ErrorKind::Client,
                "another version of this library keeps its rows here",
                format!(
                    "layout {layout} under {}, ours is {LAYOUT}",
                    self.schema_key
                ),
            ))),
            _ => Ok(()),
        }
    }
}

impl Live {
    /// The era, if the server told it a moment ago; else empty.
    fn era(&self, now: Instant) -> String {
        let era = self.era.lock().unwrap_or_else(PoisonError::into_inner);
        let believed = era
            .as_ref()
            .filter(|(asked, _)| now.saturating_duration_since(*asked) < ERA_BELIEVED);
        believed.map(|(_, era)| era.clone()).unwrap_or_default()
    }

    fn remember_era(&self, asked: Instant, told: &str) {
        let mut era = self.era.lock().unwrap_or_else(PoisonError::into_inner);
        *era = Some((asked, told.to_owned()));
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// Is a new connection more likely to work? Yes after a time-out too: the server may be gone without
/// a word. And a server that has become a replica may no longer be what its name resolves to.
fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// A server that refuses has changed nothing: the writes of a script are its last step. Anything else
/// leaves open whether the script ran. So does a refusal by a cluster, whose driver tries again: it
/// may have answered the second attempt.
fn told_apart(error: RedisError, link: &Link) -> StoreError {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension if link.is_one_server() => {
            StoreError::not_applied(error)
        }
        _ => StoreError::unknown(error),
    }
}
