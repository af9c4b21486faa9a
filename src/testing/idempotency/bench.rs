//! What checks work with: handles on the store whose answers are complaints when they are not what
//! was asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::time;

use crate::idempotency::{
    Attempt, BeginOptions, Begun, Ending, Fingerprint, IdempotencyStore, RecordKey, Settlement,
    StoredResponse,
};
use crate::store::{Answer, StoreError};
use crate::testing::bench::{Verdict, describe, pause};

/// An attempt that no check outlasts.
pub(super) const LONG: BeginOptions = BeginOptions {
    lease: Duration::from_secs(600),
    ttl: Duration::from_secs(600),
    instead_of: None,
};

/// The same store, as several processes would have it, and a scope that is new in it.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) handles: Vec<Handle>,
    pub(super) scope: Arc<str>,
    pub(super) lease: Duration,
    pub(super) patience: Duration,
}

impl Bench {
    pub(super) fn key(&self, name: impl AsRef<str>) -> RecordKey {
        RecordKey::new(Arc::clone(&self.scope), name.as_ref())
    }

    /// The handles in turn.
    pub(super) fn handle(&self, turn: usize) -> &Handle {
        &self.handles[turn % self.handles.len()]
    }

    /// An attempt that ends soon, and is remembered.
    pub(super) const fn short(&self) -> BeginOptions {
        BeginOptions {
            lease: self.lease,
            ..LONG
        }
    }

    /// Asks until the answer is good enough.
    pub(super) async fn until(
        &self,
        key: &RecordKey,
        what: &str,
        is_it: impl Fn(&Begun) -> bool,
    ) -> Verdict<Begun> {
        let started = Instant::now();
        for turn in 0.. {
            let begun = self.handle(turn).begin(key, self.short()).await?;
            if is_it(&begun) {
                return Ok(begun);
            }
            if let Begun::Started(attempt) = begun {
                return Err(format!("it is absent, not {what}: {attempt:?}"));
            }
            if started.elapsed() > self.patience {
                return Err(format!("it never was {what}, it is {begun:?}"));
            }
            pause().await;
        }
        unreachable!("the turns do not end")
    }

    /// The same answer through every handle.
    pub(super) async fn all_see(
        &self,
        key: &RecordKey,
        what: &str,
        is_it: impl Fn(&Begun) -> bool,
    ) -> Verdict {
        for handle in &self.handles {
            let begun = handle.begin(key, LONG).await?;
            if !is_it(&begun) {
                return Err(format!("it is not {what}, it is {begun:?}"));
            }
        }
        Ok(())
    }
}

#[derive(Clone)]
pub(super) struct Handle {
    pub(super) store: Arc<dyn IdempotencyStore>,
    pub(super) patience: Duration,
}

impl Handle {
    /// Begins with the request that all checks use.
    pub(super) async fn begin(&self, key: &RecordKey, options: BeginOptions) -> Verdict<Begun> {
        let begun = self.store.begin(key, &request(), options);
        self.answered("begin", begun).await
    }

    pub(super) async fn started(&self, key: &RecordKey, options: BeginOptions) -> Verdict<Attempt> {
        match self.begin(key, options).await? {
            Begun::Started(attempt) => Ok(attempt),
            begun => Err(format!("no attempt started, but {begun:?}")),
        }
    }

    pub(super) async fn settle(&self, attempt: &Attempt, ending: Ending) -> Verdict<Settlement> {
        let settled = self.store.settle(attempt, ending);
        self.answered("settle", settled).await
    }

    pub(super) async fn done(&self, attempt: &Attempt, ending: Ending) -> Verdict {
        match self.settle(attempt, ending).await? {
            Settlement::Done => Ok(()),
            Settlement::Fenced => Err("an attempt that was its holder's was fenced".to_owned()),
        }
    }

    /// Nobody settles it: as if its process were killed.
    pub(super) fn die_with(&self, attempt: &Attempt) {
        // An attempt without a lease lives as long as its process; this one goes on.
        if attempt.lease().is_none() {
            self.store.abandon(attempt);
        }
    }

    async fn answered<T: Unpin>(
        &self,
        what: &str,
        answer: Answer<Result<T, StoreError>>,
    ) -> Verdict<T> {
        match time::timeout(self.patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("{what} failed: {}", describe(&error))),
            Err(_) => Err(format!("{what} did not end within {:?}", self.patience)),
        }
    }
}

pub(super) fn request() -> Fingerprint {
    Fingerprint::from_bytes([7; 32])
}

pub(super) fn answer(content: &str) -> StoredResponse {
    StoredResponse::new(StatusCode::CREATED).with_content(content.to_owned())
}

pub(super) fn is_done_with<'r>(expected: &'r StoredResponse) -> impl Fn(&Begun) -> bool + 'r {
    move |begun| matches!(begun, Begun::Done { response, .. } if **response == *expected)
}

pub(super) const fn is_in_doubt(begun: &Begun) -> bool {
    matches!(begun, Begun::InDoubt { .. })
}

pub(super) const fn is_in_flight(begun: &Begun) -> bool {
    matches!(begun, Begun::InFlight { .. })
}
