//! Waiting for a claim that is held: the only part of the store that is asynchronous.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::rt::Sleep;

use super::Shards;
use super::digest_map::Digest;
use super::queue::{Ticket, Wanted};
use super::shard::{Answered, Busy};
use crate::key::ResourceKey;
use crate::runtime::Runtime;
use crate::store::{Claimed, StoreError};

type Timer = Pin<Box<dyn Sleep>>;

/// Waits for its turn, up to the limit. Dropped, it leaves the queue at once.
pub(super) struct Waiting {
    place: Place,
    key: ResourceKey,
    wanted: Wanted,
    limit: Limit,
    end_of_claim: EndOfClaim,
}

impl Waiting {
    pub(super) const fn new(place: Place, key: ResourceKey, wanted: Wanted) -> Self {
        Self {
            place,
            key,
            wanted,
            limit: Limit::NotStarted,
            end_of_claim: EndOfClaim(None),
        }
    }
}

impl Future for Waiting {
    type Output = Result<Claimed, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waiting = self.get_mut();
        loop {
            let busy = match waiting.place.poll(&waiting.wanted, context) {
                Ok(answered) => {
                    let claimed = answered.claimed(&waiting.key, waiting.place.digest);
                    return Poll::Ready(Ok(claimed));
                }
                Err(busy) => busy,
            };
            let runtime = &waiting.place.shards.runtime;
            let limit = &mut waiting.limit;
            if busy.is_full || limit.poll(runtime, &waiting.wanted, context).is_ready() {
                return Poll::Ready(Ok(busy.claimed()));
            }
            // Once it is over, the store has to be asked again: nobody else may come by.
            ready!(waiting.end_of_claim.poll(runtime, busy.ends, context));
        }
    }
}

/// A place in a queue.
pub(super) struct Place {
    shards: Arc<Shards>,
    digest: Digest,
    ticket: Option<Ticket>,
}

impl Place {
    /// Not taken yet.
    pub(super) const fn new(shards: Arc<Shards>, digest: Digest) -> Self {
        Self {
            shards,
            digest,
            ticket: None,
        }
    }

    fn poll(&mut self, wanted: &Wanted, context: &Context<'_>) -> Result<Answered, Busy> {
        let (digest, ticket) = (self.digest, &mut self.ticket);
        self.shards.with(digest, |shard, sequence| {
            shard.poll_claim(digest, wanted, ticket, context.waker(), sequence)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let digest = self.digest;
        if let Some(ticket) = self.ticket {
            let left = self.shards.with(digest, |shard, sequence| {
                shard.leave(digest, ticket, sequence)
            });
            drop(left);
        }
    }
}

/// How long the wait may last, from the first time that it is polled on.
enum Limit {
    NotStarted,
    /// There is no timer to end it.
    Never,
    Started(Timer),
}

impl Limit {
    fn poll(&mut self, runtime: &Runtime, wanted: &Wanted, context: &mut Context<'_>) -> Poll<()> {
        if let Self::NotStarted = self {
            let timer = runtime.timer(wanted.options.wait);
            *self = timer.map_or(Self::Never, Self::Started);
        }
        match self {
            Self::NotStarted | Self::Never => Poll::Pending,
            Self::Started(timer) => timer.as_mut().poll(context),
        }
    }
}

/// A timer for the claim in the way: claims end by themselves only once they were abandoned.
struct EndOfClaim(Option<(Instant, Timer)>);

impl EndOfClaim {
    fn poll(
        &mut self,
        runtime: &Runtime,
        ends: Option<Instant>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(ends) = ends else {
            self.0 = None;
            return Poll::Pending;
        };
        if self
            .0
            .as_ref()
            .is_none_or(|(started_for, _)| *started_for != ends)
        {
            let remaining = ends.saturating_duration_since(Instant::now());
            self.0 = runtime.timer(remaining).map(|timer| (ends, timer));
        }
        let Some((_, timer)) = &mut self.0 else {
            return Poll::Pending;
        };
        ready!(timer.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(())
    }
}
