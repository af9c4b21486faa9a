//! What was measured, for people and for programs.

use serde_json::json;

use crate::time::Time;

/// The figures of one case.
pub(crate) struct Figures {
    pub(crate) case: &'static str,
    pub(crate) instructions: Option<u64>,
    pub(crate) allocations: f64,
    pub(crate) time: Option<Time>,
}

/// A table in Markdown; ratios are to the first case.
pub(crate) fn print_table(table: &str, figures: &[Figures]) {
    println!("### {table}\n");
    println!("| case | instructions | × | + | allocations | time, ns | × |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    let first = figures.first().and_then(|first| first.instructions);
    for of in figures {
        let (instructions, ratio, difference) = match (of.instructions, first) {
            (Some(own), Some(first)) => (
                own.to_string(),
                format!("{:.2}", own as f64 / first as f64),
                (own as i64 - first as i64).to_string(),
            ),
            _ => Default::default(),
        };
        let (time, times) = match of.time {
            Some(time) => (
                format!("{:.0}", time.nanoseconds),
                format!("{:.2}", time.ratio),
            ),
            None => Default::default(),
        };
        println!(
            "| {} | {instructions} | {ratio} | {difference} | {} | {time} | {times} |",
            of.case, of.allocations,
        );
    }
    println!();
}

/// One line for each case.
pub(crate) fn print_json(bench: &str, table: &str, figures: &[Figures]) {
    for of in figures {
        println!(
            "{}",
            json!({
                "bench": bench,
                "table": table,
                "case": of.case,
                "instructions": of.instructions,
                "allocations": of.allocations,
                "nanoseconds": of.time.map(|time| time.nanoseconds),
                "time_ratio": of.time.map(|time| time.ratio),
            })
        );
    }
}
