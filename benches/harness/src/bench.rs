//! The tables of one bench, and what its arguments ask of them.

use std::env;
use std::process::exit;

use crate::case::{Case, Repetitions};
use crate::instructions;
use crate::report::{self, Figures};
use crate::time;

/// As often as a case is run in a test, once warm.
const TESTED: usize = 3;

/// One bench: a program with some tables.
pub struct Bench {
    name: &'static str,
    mode: Mode,
    filter: Option<String>,
    failures: Vec<String>,
}

enum Mode {
    /// In a process of callgrind's: one case, so often, and no more.
    Count(instructions::Order),
    Measure {
        json: bool,
        time: bool,
    },
    Test,
}

impl Bench {
    /// The bench of this name, as the arguments of the program want it.
    #[must_use]
    pub fn from_args(name: &'static str) -> Self {
        let mut json = false;
        let mut time = true;
        // As with criterion: cargo says `--bench` where it is to be measured.
        let (mut measured, mut tested) = (false, false);
        let mut filter = None;
        for argument in env::args().skip(1) {
            match argument.as_str() {
                "--bench" => measured = true,
                "--json" => json = true,
                "--quick" => time = false,
                "--test" => tested = true,
                flag if flag.starts_with('-') => {
                    eprintln!("unknown argument {flag}");
                    exit(2);
                }
                _ => filter = Some(argument),
            }
        }
        let mode = match instructions::Order::from_env() {
            Some(order) => Mode::Count(order),
            None if measured && !tested => Mode::Measure { json, time },
            None => Mode::Test,
        };
        Self {
            name,
            mode,
            filter,
            failures: Vec::new(),
        }
    }

    /// Runs the cases; the first one is what the others are compared with.
    pub fn table(&mut self, table: &str, cases: impl IntoIterator<Item = Case>) {
        let is_wanted = |case: &Case| {
            let filter = self.filter.as_deref();
            filter.is_none_or(|word| table.contains(word) || case.name.contains(word))
        };
        let cases: Vec<Case> = cases.into_iter().filter(is_wanted).collect();
        match self.mode {
            _ if cases.is_empty() => {}
            Mode::Count(ref order) => order.carry_out(table, &cases),
            Mode::Measure { json, time } => {
                let figures = measure(table, &cases, time);
                match json {
                    true => report::print_json(self.name, table, &figures),
                    false => report::print_table(table, &figures),
                }
            }
            Mode::Test => self.failures.extend(cases.iter().filter_map(|case| {
                let failure = test(case)?;
                Some(format!("{}: {table}: {}: {failure}", self.name, case.name))
            })),
        }
    }

    /// Ends the program, with an error if an assertion has failed.
    pub fn finish(self) {
        for failure in &self.failures {
            eprintln!("{failure}");
        }
        if !self.failures.is_empty() {
            exit(1);
        }
        if matches!(self.mode, Mode::Test) {
            println!("{}: every case ran", self.name);
        }
    }
}

fn measure(table: &str, cases: &[Case], timed: bool) -> Vec<Figures> {
    let times = timed.then(|| time::of(cases));
    let figures = cases.iter().enumerate().map(|(nth, case)| Figures {
        case: case.name,
        instructions: instructions::of(table, case.name),
        allocations: allocations(case),
        time: times.as_ref().and_then(|times| times.get(nth).copied()),
    });
    figures.collect()
}

fn test(case: &Case) -> Option<String> {
    let mut repeat = case.set_up();
    repeat(Repetitions {
        prepared: TESTED,
        run: TESTED,
        checked: true,
    });
    let counted = allocations(case);
    let expected = case
        .allocations
        .filter(|expected| *expected as f64 != counted)?;
    Some(format!("{counted} allocations, and not {expected}"))
}

/// How often a warm case allocates: a fraction where not each repetition is like the others.
fn allocations(case: &Case) -> f64 {
    const RUN: usize = 64;
    let mut repeat = case.set_up();
    let mut warm = Repetitions {
        prepared: RUN,
        run: RUN,
        checked: false,
    };
    repeat(warm);
    warm.run = 1;
    let mut cost = || repeat(warm).allocations;
    let total: u64 = (0..RUN).map(|_| cost()).sum();
    total as f64 / RUN as f64
}
