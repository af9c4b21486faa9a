//! One case: what is set up once, what is prepared for each repetition, and the work itself.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::allocations_of;

/// A way to do the job of its table.
pub struct Case {
    pub(crate) name: &'static str,
    pub(crate) allocations: Option<u64>,
    setup: Box<dyn Fn() -> Repeat>,
}

type Repeat = Box<dyn FnMut(Repetitions) -> Cost>;

/// How often.
#[derive(Clone, Copy)]
pub(crate) struct Repetitions {
    pub(crate) prepared: usize,
    /// At most as many as are prepared; the rest is forgotten, so that two processes differ in
    /// nothing but the work.
    pub(crate) run: usize,
    /// Is the output looked at? Then nothing of the cost is worth anything.
    pub(crate) checked: bool,
}

pub(crate) struct Cost {
    pub(crate) time: Duration,
    pub(crate) allocations: u64,
}

impl Case {
    /// `setup` runs once in each process that measures the case, and not in others.
    pub fn new<I: 'static, O: 'static>(
        name: &'static str,
        setup: impl Fn() -> Work<I, O> + 'static,
    ) -> Self {
        Self {
            name,
            allocations: None,
            setup: Box::new(move || setup().repeat()),
        }
    }

    /// How many allocations the work makes, exactly, once it is warm: asserted by `--test`.
    #[must_use]
    pub fn allocates(mut self, allocations: u64) -> Self {
        self.allocations = Some(allocations);
        self
    }

    pub(crate) fn set_up(&self) -> Repeat {
        (self.setup)()
    }
}

/// The work of a case: inputs are prepared outside of what is measured; the work, and dropping what
/// it returns, is inside.
#[must_use]
pub struct Work<I, O> {
    prepare: Box<dyn FnMut() -> I>,
    run: Box<dyn FnMut(I) -> O>,
    check: Box<dyn Fn(&O)>,
}

impl<I: 'static, O: 'static> Work<I, O> {
    /// Does `run` with an input of its own for each repetition.
    pub fn new(prepare: impl FnMut() -> I + 'static, run: impl FnMut(I) -> O + 'static) -> Self {
        Self {
            prepare: Box::new(prepare),
            run: Box::new(run),
            check: Box::new(|_| {}),
        }
    }

    /// Looks at each output, outside of what is measured.
    pub fn checked(mut self, check: impl Fn(&O) + 'static) -> Self {
        self.check = Box::new(check);
        self
    }

    fn repeat(mut self) -> Repeat {
        Box::new(move |repetitions| {
            let prepared = (0..repetitions.prepared).map(|_| (self.prepare)());
            let mut inputs = prepared.collect::<Vec<I>>().into_iter();
            let started = Instant::now();
            let allocations = allocations_of(|| {
                for input in inputs.by_ref().take(repetitions.run) {
                    let output = black_box((self.run)(input));
                    if repetitions.checked {
                        (self.check)(&output);
                    }
                }
            });
            let time = started.elapsed();
            std::mem::forget(inputs);
            Cost { time, allocations }
        })
    }
}

/// What a future that never waits comes to.
///
/// # Panics
///
/// If it waits.
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
