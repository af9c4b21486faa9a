//! How many requests are left, and how long to wait before the next.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::layer::Settings;
use crate::runtime::Runtime;

pub(super) struct Pace {
    left: u32,
    pub(super) sent: u32,
    waits: ExponentialBackoff,
    longest: Duration,
    longest_asked: Duration,
    runtime: Runtime,
}

impl Pace {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            left: settings.requests,
            sent: 0,
            waits: ExponentialBuilder::new()
                .with_min_delay(settings.first_wait)
                // Before what chance adds, which is at most as much again.
                .with_max_delay(settings.longest_wait / 2)
                .without_max_times()
                .with_jitter()
                .build(),
            longest: settings.longest_wait,
            longest_asked: settings.longest_retry_after,
            runtime: settings.runtime.clone(),
        }
    }

    /// May one more be sent? Counts it.
    pub(super) const fn take(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.sent += 1;
        true
    }

    /// Waits before another try, at least as long as the server asks; false if that is too long.
    pub(super) async fn rest(&mut self, asked: Option<Duration>) -> bool {
        if asked.is_some_and(|asked| asked > self.longest_asked) {
            return false;
        }
        // Nobody waits for a try that there will not be.
        if self.left > 0 && self.runtime.has_timer() {
            let next = self.waits.next().unwrap_or(self.longest);
            let wait = next.max(asked.unwrap_or_default());
            self.runtime.sleep(Some(wait)).await;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientLayer;
    use tower_layer::Layer;

    #[test]
    fn waits_double_with_chance_in_them_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(8), Duration::from_millis(100));
        let layer = ClientLayer::with_runtime(Runtime::inline()).waits(first, longest);
        let pace = |_| Pace::new(&layer.layer(()).settings);
        let paces: Vec<Vec<_>> = (0..50).map(|it| pace(it).waits.take(8).collect()).collect();
        for (at, least) in [8, 16, 32, 50, 50, 50, 50, 50].into_iter().enumerate() {
            let least = Duration::from_millis(least);
            let waits: Vec<_> = paces.iter().map(|waits| waits[at]).collect();
            assert!(
                waits.iter().all(|wait| (least..=2 * least).contains(wait)),
                "{waits:?}"
            );
            assert!(
                waits.iter().any(|wait| *wait != waits[0]),
                "no chance in {waits:?}"
            );
        }
    }
}
