//! Time, of cases that take turns.

use std::time::{Duration, Instant};

use crate::case::{Case, Repetitions};

const ROUNDS: usize = 41;

/// How long a case has its turn.
const TURN: Duration = Duration::from_millis(2);

/// More inputs than this would no longer be in the cache when their turn comes.
const MOST: usize = 2_000;

/// Nanoseconds of one repetition, and how many times those of the first case they are.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) nanoseconds: f64,
    pub(crate) ratio: f64,
}

pub(crate) fn of(cases: &[Case]) -> Vec<Time> {
    let mut turns: Vec<_> = cases
        .iter()
        .map(|case| {
            let mut repeat = case.set_up();
            let mut turn = move |run| {
                let repetitions = Repetitions {
                    prepared: run,
                    run,
                    checked: false,
                };
                repeat(repetitions).time.as_nanos() as f64 / run as f64
            };
            let run = calibrate(&mut turn);
            move || turn(run)
        })
        .collect();
    let rounds: Vec<Vec<f64>> = (0..ROUNDS)
        .map(|_| turns.iter_mut().map(|turn| turn()).collect())
        .collect();
    let nth = |nth: usize, of: &dyn Fn(f64, f64) -> f64| {
        median(rounds.iter().filter_map(|round| {
            let (first, own) = (round.first()?, round.get(nth)?);
            Some(of(*own, *first))
        }))
    };
    (0..cases.len())
        .map(|case| Time {
            nanoseconds: nth(case, &|own, _| own),
            // Of each round, and not of the medians: what disturbs a round disturbs both.
            ratio: nth(case, &|own, first| own / first),
        })
        .collect()
}

/// How many repetitions fill a turn.
fn calibrate(turn: &mut impl FnMut(usize) -> f64) -> usize {
    let started = Instant::now();
    let mut run = 1;
    loop {
        let each = turn(run).max(1.0);
        let fits = (TURN.as_nanos() as f64 / each) as usize;
        if run >= fits.min(MOST) || started.elapsed() > TURN * 10 {
            return fits.clamp(1, MOST);
        }
        run = (run * 4).min(MOST);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
