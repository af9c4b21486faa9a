//! Runs the conformance vectors through the real layer.
//!
//! The vectors are those of the folder that `CONFORMANCE_VECTORS` names, or else the ones in
//! `tests/vectors`, whose README tells the format. Prints every vector that fails, and counts on
//! its last line. Fails if a `must` fails, if a handler runs that must not (a fail-open), or if
//! another vector fails that `tests/conformance-deviations.md` does not list.
//!
//! It has no harness, so that its last line is its own; the arguments of one are taken and ignored.

#[path = "conformance/deviations.rs"]
mod deviations;
#[path = "conformance/service.rs"]
mod service;
#[path = "conformance/store.rs"]
mod store;
#[path = "conformance/tcp.rs"]
mod tcp;
#[path = "conformance/vector.rs"]
mod vector;
#[path = "conformance/verdict.rs"]
mod verdict;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use http::HeaderValue;
use vector::Vector;
use verdict::{Got, Report};

/// What this layer cannot do. A vector that needs it is skipped.
const LACKING: [&str; 1] = ["replay-detection"];

#[derive(Default)]
struct Count {
    passed: u32,
    failed: u32,
    skipped: u32,
    fail_open: u32,
    /// Those among the failed that no list excuses.
    not_excused: u32,
}

fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--list") {
        // Test runners ask for the ignored ones apart; there are none.
        if !env::args().any(|argument| argument == "--ignored") {
            println!("conformance: test");
        }
        return ExitCode::SUCCESS;
    }
    let folder = env::var_os("CONFORMANCE_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors")),
        PathBuf::from,
    );
    let vectors = vector::read_all(&folder);
    assert!(!vectors.is_empty(), "no vectors in {}", folder.display());
    let listed = deviations::read(include_str!("conformance-deviations.md"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");

    let mut count = Count::default();
    for vector in &vectors {
        if vector.needs.iter().any(|need| LACKING.contains(&&**need)) {
            count.skipped += 1;
            continue;
        }
        let got = runtime.block_on(run(vector));
        let complaints = got.complaints(vector);
        if complaints.is_empty() {
            count.passed += 1;
            continue;
        }
        count.failed += 1;
        count.fail_open += u32::from(got.is_fail_open(vector));
        println!("FAIL {} {}", vector.id, vector.strictness);
        let report = Report {
            vector,
            got: &got,
            complaints: &complaints,
        };
        println!("{report}");
        let reason = listed
            .get(&*vector.id)
            .or_else(|| listed.get(&*vector.subject));
        match reason.filter(|_| vector.strictness != "must") {
            Some(reason) => println!("  listed:   {reason}"),
            None => count.not_excused += 1,
        }
    }
    println!(
        "conformance: {} passed, {} failed, {} skipped, {} fail-open",
        count.passed, count.failed, count.skipped, count.fail_open
    );
    if count.not_excused == 0 && count.fail_open == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn run(vector: &Vector) -> Got {
    // What no `HeaderMap` can hold is for the server to refuse.
    let mut lines = vector.lines.iter();
    let wire_only = lines.any(|(_, value)| HeaderValue::from_bytes(value).is_err());
    if wire_only || vector.needs.iter().any(|need| need == "connection") {
        tcp::run(vector).await
    } else {
        service::run(vector).await
    }
}
