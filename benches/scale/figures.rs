//! What is printed: one line of JSON for each figure.

use serde_json::json;

/// A point of a plot.
pub(crate) struct Figure {
    pub(crate) plot: &'static str,
    pub(crate) line: &'static str,
    pub(crate) x: usize,
    pub(crate) y: f64,
}

impl Figure {
    pub(crate) fn print(&self) {
        let Self { plot, line, x, y } = self;
        println!(
            "{}",
            json!({ "bench": "scale", "plot": plot, "line": line, "x": x, "y": y })
        );
    }
}

/// The middle one of some.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
