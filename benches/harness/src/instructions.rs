//! Instructions, counted by callgrind in processes of their own.

use std::env;
use std::io;
use std::process::{Command, Stdio, exit};
use std::sync::Once;

use crate::case::{Case, Repetitions};

/// Holds the order for a process of callgrind's.
const ORDER: &str = "HARNESS_COUNT";

/// Enough that one odd repetition does not show.
const FEW: usize = 100;
const MANY: usize = 400;

/// What a process of callgrind's is to do.
pub(crate) struct Order {
    table: String,
    case: String,
    run: usize,
}

impl Order {
    pub(crate) fn from_env() -> Option<Self> {
        let order = env::var(ORDER).ok()?;
        let mut parts = order.split('\n');
        Some(Self {
            run: parts.next()?.parse().ok()?,
            table: parts.next()?.to_owned(),
            case: parts.next()?.to_owned(),
        })
    }

    /// Runs the case that is meant, if it is one of these, and ends the process.
    pub(crate) fn carry_out(&self, table: &str, cases: &[Case]) {
        if table != self.table {
            return;
        }
        if let Some(case) = cases.iter().find(|case| case.name == self.case) {
            let mut repeat = case.set_up();
            repeat(Repetitions {
                prepared: MANY,
                run: self.run,
                checked: false,
            });
            exit(0);
        }
    }
}

/// The instructions of one repetition; `None` without callgrind.
pub(crate) fn of(table: &str, case: &str) -> Option<u64> {
    static MISSING: Once = Once::new();
    let counted = |run| match count(table, case, run) {
        Ok(count) => Some(count),
        Err(error) => {
            MISSING.call_once(|| eprintln!("no instructions, for want of callgrind: {error}"));
            None
        }
    };
    let (few, many) = (counted(FEW)?, counted(MANY)?);
    Some(many.saturating_sub(few) / (MANY - FEW) as u64)
}

fn count(table: &str, case: &str, run: usize) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .env(ORDER, format!("{run}\n{table}\n{case}"))
        .stdout(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| {
        let (_, count) = line.split_once("Collected : ")?;
        count.trim().parse().ok()
    });
    count.ok_or_else(|| io::Error::other(said.into_owned()))
}
