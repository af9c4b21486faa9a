//! Waiting for a claim that is held: the only part of the store that is asynchronous.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_core::future::BoxFuture;

use super::Shards;
use super::digest_map::Digest;
use super::queue::{Ticket, Wanted};
use super::shard::{Answered, Busy};
use crate::key::ResourceKey;
use crate::runtime::Runtime;
use crate::store::Claimed;

/// Waits for its turn, up to the limit. Dropped, it leaves the queue at once.
pub(super) async fn wait(shards: Arc<Shards>, key: ResourceKey, wanted: Wanted) -> Claimed {
    let mut place = Place {
        shards: &shards,
        digest: shards.digest(&key),
        ticket: None,
    };
    let mut limit = pin!(shards.runtime.sleep(Some(wanted.options.wait)));
    let mut end_of_claim = EndOfClaim {
        runtime: &shards.runtime,
        timer: None,
    };
    poll_fn(|context| {
        loop {
            let busy = match place.poll(&wanted, context) {
                Ok(answered) => return Poll::Ready(answered.claimed(key.clone())),
                Err(busy) => busy,
            };
            if busy.is_full || limit.as_mut().poll(context).is_ready() {
                return Poll::Ready(busy.claimed());
            }
            // Once it is over, the store has to be asked again: nobody else may come by.
            ready!(end_of_claim.poll(busy.ends, context));
        }
    })
    .await
}

/// A place in a queue.
struct Place<'a> {
    shards: &'a Shards,
    digest: Digest,
    ticket: Option<Ticket>,
}

impl Place<'_> {
    fn poll(&mut self, wanted: &Wanted, context: &Context<'_>) -> Result<Answered, Busy> {
        let (digest, ticket) = (self.digest, &mut self.ticket);
        self.shards.with(digest, |shard, sequence| {
            shard.poll_claim(digest, wanted, ticket, context.waker(), sequence)
        })
    }
}

impl Drop for Place<'_> {
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

/// A timer for the claim in the way: claims end by themselves only once they were abandoned.
struct EndOfClaim<'a> {
    runtime: &'a Runtime,
    timer: Option<(Instant, BoxFuture<'a, ()>)>,
}

impl EndOfClaim<'_> {
    fn poll(&mut self, ends: Option<Instant>, context: &mut Context<'_>) -> Poll<()> {
        let Some(ends) = ends else {
            self.timer = None;
            return Poll::Pending;
        };
        let runtime = self.runtime;
        let start = || {
            let remaining = ends.saturating_duration_since(Instant::now());
            (ends, Box::pin(runtime.sleep(Some(remaining))) as _)
        };
        let timer = match self.timer.take() {
            Some(timer) if timer.0 == ends => self.timer.insert(timer),
            _ => self.timer.insert(start()),
        };
        ready!(timer.1.as_mut().poll(context));
        self.timer = None;
        Poll::Ready(())
    }
}
