//! What goes wrong inside of the server, and how often it did.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use http::{Response, StatusCode};

use super::random::{Random, rest};
use super::record::mix;

/// How often, in a thousand requests, and how long.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) panics: u64,
    pub(crate) errors: u64,
    /// Handlers that take longer than any timeout but end.
    pub(crate) stalls: u64,
    /// Handlers that never end, unless somebody drops them.
    pub(crate) hangs: u64,
    /// How many handlers have a timeout right around them.
    pub(crate) inner_timeouts: u64,
    pub(crate) inner_timeout: Duration,
    /// Around everything.
    pub(crate) outer_timeout: Duration,
    pub(crate) stall: Duration,
    /// The most that a handler takes for each of its steps on a good day.
    pub(crate) step: Duration,
    pub(crate) seed: u64,
}

impl Plan {
    /// Some of everything that ends by itself.
    pub(crate) const USUAL: Self = Self {
        panics: 10,
        errors: 30,
        stalls: 10,
        hangs: 0,
        // Few: what one cuts off blocks its resource for a lease.
        inner_timeouts: 50,
        inner_timeout: Duration::from_millis(25),
        outer_timeout: Duration::from_millis(60),
        stall: Duration::from_millis(100),
        step: Duration::from_millis(3),
        seed: 0,
    };
}

/// What the server lived through.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) panics: AtomicUsize,
    pub(crate) errors: AtomicUsize,
    pub(crate) inner_timeouts: AtomicUsize,
    pub(crate) outer_timeouts: AtomicUsize,
    /// Writes that were dropped before they were done: their client left, or a timeout struck.
    pub(crate) dropped: AtomicUsize,
    /// Of these, the ones that had changed the data.
    pub(crate) dropped_after_effect: AtomicUsize,
    pub(crate) running: AtomicUsize,
    /// The most writes that ever ran at once.
    pub(crate) most_running: AtomicUsize,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::Relaxed)
    }
}

/// Draws faults by plan, and keeps count.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) plan: Plan,
    pub(crate) tally: Tally,
    drawn: AtomicU64,
}

impl Faults {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            tally: Tally::default(),
            drawn: AtomicU64::new(0),
        }
    }

    fn random(&self) -> Random {
        Random::new(self.plan.seed ^ mix(self.drawn.fetch_add(1, Ordering::Relaxed)))
    }

    /// What happens in the handler of one write.
    pub(crate) fn work(&self) -> Work<'_> {
        let running = self.tally.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.tally.most_running.fetch_max(running, Ordering::SeqCst);
        let mut pace = self.pace();
        let random = &mut pace.random;
        let strikes_after = random.per_mille(500);
        let Plan {
            panics,
            errors,
            stalls,
            hangs,
            ..
        } = self.plan;
        let fault = match random.below(1000) {
            drawn if drawn < panics => Some(Fault::Panic),
            drawn if drawn < panics + errors => Some(Fault::Error),
            drawn if drawn < panics + errors + stalls => Some(Fault::Stall),
            drawn if drawn < panics + errors + stalls + hangs => Some(Fault::Hang),
            _ => None,
        };
        let (before, after) = if strikes_after {
            (None, fault)
        } else {
            (fault, None)
        };
        Work {
            faults: self,
            pace,
            before,
            after,
            has_effect: false,
            done: false,
        }
    }

    /// How one handler idles.
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            random: self.random(),
            step: self.plan.step,
        }
    }

    /// A timeout around everything that `next` is: 504, and whatever it was doing is dropped.
    pub(crate) async fn outer_timeout(&self, request: Request, next: Next) -> Response<Body> {
        match tokio::time::timeout(self.plan.outer_timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                Tally::add(&self.tally.outer_timeouts);
                status(StatusCode::GATEWAY_TIMEOUT)
            }
        }
    }

    /// A timeout right around the handler, on some requests; it answers 504, or 408 as that of
    /// `tower-http` does.
    pub(crate) async fn inner_timeout(&self, request: Request, next: Next) -> Response<Body> {
        let mut random = self.random();
        if !random.per_mille(self.plan.inner_timeouts) {
            return next.run(request).await;
        }
        match tokio::time::timeout(self.plan.inner_timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                Tally::add(&self.tally.inner_timeouts);
                status(match random.below(2) {
                    0 => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::REQUEST_TIMEOUT,
                })
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Error,
    Hang,
    Panic,
    Stall,
}

/// The pauses and the whims of one handler.
pub(crate) struct Pace {
    random: Random,
    step: Duration,
}

impl Pace {
    pub(crate) async fn pause(&mut self) {
        let pause = self.random.pause(self.step);
        rest(pause).await;
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.random.per_mille(500)
    }
}

/// One write at work.
pub(crate) struct Work<'a> {
    faults: &'a Faults,
    pace: Pace,
    before: Option<Fault>,
    after: Option<Fault>,
    has_effect: bool,
    done: bool,
}

impl Work<'_> {
    /// Takes its time, and strikes if a fault is due before the effect.
    pub(crate) async fn before_effect(&mut self) -> Result<(), Response<Body>> {
        self.pace.pause().await;
        self.strike(self.before).await
    }

    /// The same, once the data is changed.
    pub(crate) async fn after_effect(&mut self) -> Result<(), Response<Body>> {
        self.has_effect = true;
        self.pace.pause().await;
        self.strike(self.after).await
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.pace.flip()
    }

    pub(crate) fn done(mut self) {
        self.done = true;
    }

    async fn strike(&mut self, fault: Option<Fault>) -> Result<(), Response<Body>> {
        match fault {
            None => {}
            Some(Fault::Error) => {
                self.done = true;
                Tally::add(&self.faults.tally.errors);
                return Err(status(StatusCode::INTERNAL_SERVER_ERROR));
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Panic) => {
                self.done = true;
                Tally::add(&self.faults.tally.panics);
                // As `panic!` does, but without a word on standard error.
                resume_unwind(Box::new("a planned panic"));
            }
            Some(Fault::Stall) => tokio::time::sleep(self.faults.plan.stall).await,
        }
        Ok(())
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        let tally = &self.faults.tally;
        tally.running.fetch_sub(1, Ordering::SeqCst);
        if !self.done {
            Tally::add(&tally.dropped);
            if self.has_effect {
                Tally::add(&tally.dropped_after_effect);
            }
        }
    }
}

pub(crate) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
