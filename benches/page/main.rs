//! Writes the page on performance, and its plots, out of what the benches say in JSON.
//!
//! Reads lines from the standard input; takes the folder of the page, and lines about the commit and
//! the machine. What was not run has no place on the page: nothing of an older one is kept.

mod plot;
mod tables;

use std::io::{self, Read};
use std::path::Path;
use std::{env, fs};

use serde_json::Value;

const TOP: &str = "\
# What it costs

Made by `benches/report`, which runs every bench and writes this page; nothing on it is written by
hand. Instructions are callgrind's, and repeatable; allocations are exact, and asserted in the tests;
of times only the ratios hold, since the cases of one table take turns in one run. `×` is always to
the first case of the table: the *floor*, the least code that does the job with the promises left
out, or what the job stands beside.

callgrind knows no instructions for SHA-256, and counts some 3,500 for each block of 64 bytes where
most processors need about 150: for what hashes a request, go by the time.
";

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().expect("the folder of the page");
    let facts: Vec<String> = arguments.collect();
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    let figures: Vec<Value> = input
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();

    let folder = Path::new(&folder);
    let plots = folder.join("performance");
    fs::remove_dir_all(&plots).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    fs::create_dir_all(&plots)?;

    let mut page = TOP.to_owned();
    for fact in facts {
        page += &format!("\n- {fact}");
    }
    page += "\n";
    page += &tables::written(&figures);
    page += "\n## Growth\n";
    for plot in plot::all(&figures) {
        fs::write(plots.join(plot.file_name()), plot.to_svg())?;
        page += &plot.to_markdown();
    }
    fs::write(folder.join("performance.md"), page)
}
