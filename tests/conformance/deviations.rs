//! The vectors that we fail on purpose, each with its reason.

use std::collections::HashMap;

/// Reads `- id or area/topic: reason` lines; everything else is prose.
pub(crate) fn read(text: &str) -> HashMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("- ")?.split_once(": "))
        .collect()
}
