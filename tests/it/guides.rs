//! The guides name tests: for each threat and for each promise those that turn red. They have to be
//! there.

use std::fs;
use std::path::Path;

#[test]
fn every_threat_and_every_promise_names_tests_that_are_there() {
    for (guide, lines) in [
        (include_str!("../../src/docs/security.md"), 20),
        (include_str!("../../src/docs/promises.md"), 7),
    ] {
        let last_cells = guide
            .lines()
            .filter_map(|line| line.trim_end().strip_suffix('|')?.rsplit('|').next());
        let mut found = 0;
        for cell in last_cells {
            let names = cell.split('`').skip(1).step_by(2);
            let names: Vec<_> = names.filter(|name| name.contains("::")).collect();
            found += usize::from(!names.is_empty());
            for name in names {
                assert!(is_there(name), "there is no test {name}");
            }
        }
        assert!(found >= lines, "the table was found");
    }
}

/// A test as `cargo test` prints its name: of the library if it is in a module `tests`, and else of
/// this binary.
fn is_there(name: &str) -> bool {
    let Some((module, function)) = name.rsplit_once("::") else {
        return false;
    };
    let (folder, module) = match module.strip_suffix("::tests") {
        Some(module) => ("src", module),
        None => ("tests/it", module),
    };
    let path = module.replace("::", "/");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = [
        root.join(format!("{path}.rs")),
        root.join(path).join("mod.rs"),
    ];
    let sources = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    let declared = format!("fn {function}(");
    sources.into_iter().any(|source| {
        let mut before = source.split(&declared);
        before.next().is_some_and(|before| {
            // The attribute stands right above it.
            let above = before.trim_end().trim_end_matches("async").trim_end();
            source.contains(&declared) && above.ends_with(']')
        })
    })
}

#[test]
fn a_name_of_no_test_is_noticed() {
    assert!(is_there("guides::a_name_of_no_test_is_noticed"));
    for name in ["guides::is_there", "guides::none", "none::none", "none"] {
        assert!(!is_there(name), "{name}");
    }
}
