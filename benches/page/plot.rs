//! Plots, as SVG: both axes logarithmic, since all of them are about growth.

use std::fmt::Write as _;

use serde_json::Value;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
/// Room for the numbers beside and below.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 232.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 32.0;
const COLOURS: [&str; 5] = ["#c0392b", "#2c3e50", "#2980b9", "#27ae60", "#8e44ad"];

/// Lines over one pair of axes.
pub(crate) struct Plot<'a> {
    name: &'a str,
    lines: Vec<(&'a str, Vec<(f64, f64)>)>,
}

/// One for each that was measured, and one of the parser by the number of tags.
pub(crate) fn all(figures: &[Value]) -> Vec<Plot<'_>> {
    let mut plots: Vec<Plot<'_>> = Vec::new();
    for figure in figures {
        let point = of_scale(figure).or_else(|| of_parser(figure));
        let Some((name, line, x, y)) = point else {
            continue;
        };
        let plot = match plots.iter().position(|plot| plot.name == name) {
            Some(place) => place,
            None => {
                plots.push(Plot {
                    name,
                    lines: Vec::new(),
                });
                plots.len() - 1
            }
        };
        let lines = &mut plots[plot].lines;
        match lines.iter_mut().find(|(other, _)| *other == line) {
            Some((_, points)) => points.push((x, y)),
            None => lines.push((line, vec![(x, y)])),
        }
    }
    plots
}

fn of_scale(figure: &Value) -> Option<(&str, &str, f64, f64)> {
    let (x, y) = (figure["x"].as_f64()?, figure["y"].as_f64()?);
    Some((figure["plot"].as_str()?, figure["line"].as_str()?, x, y))
}

/// `If-None-Match, 1,000 tags, none current` is a point at 1,000.
fn of_parser(figure: &Value) -> Option<(&str, &str, f64, f64)> {
    let rest = figure["table"].as_str()?.strip_prefix("If-None-Match, ")?;
    let (count, rest) = rest.split_once(" tag")?;
    if !(rest.ends_with("another") || rest.ends_with("none current")) {
        return None;
    }
    let x = count.replace(',', "").parse().ok()?;
    let y = figure["nanoseconds"].as_f64()?;
    Some(("If-None-Match, ns, by tags", figure["case"].as_str()?, x, y))
}

impl Plot<'_> {
    pub(crate) fn file_name(&self) -> String {
        let words: Vec<_> = self
            .name
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        format!("{}.svg", words.join("-"))
    }

    /// The plot's heading, the plot itself, and its numbers. The picture stands in the page, which
    /// is shown where files beside it are not.
    pub(crate) fn to_markdown(&self) -> String {
        let mut page = format!("\n### {}\n\n{}\n\n|", self.name, self.to_svg());
        let mut xs: Vec<f64> = self.points().map(|(x, _)| x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        for x in &xs {
            write!(page, " | {x}").expect("writing to a string does not fail");
        }
        page += &format!(" |\n|---|{}\n", "--:|".repeat(xs.len()));
        for (line, points) in &self.lines {
            page += &format!("| {line}");
            for x in &xs {
                let point = points.iter().find(|(other, _)| other == x);
                let y = point.map_or(String::new(), |(_, y)| format!("{y:.1}"));
                page += &format!(" | {y}");
            }
            page += " |\n";
        }
        page
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        self.lines
            .iter()
            .flat_map(|(_, points)| points.iter().copied())
    }

    /// On one line: Markdown ends what is not its own at an empty one.
    pub(crate) fn to_svg(&self) -> String {
        let across = Axis::of(self.points().map(|(x, _)| x), LEFT, WIDTH - RIGHT);
        let up = Axis::of(self.points().map(|(_, y)| y), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"11\"><rect width=\"100%\" height=\"100%\" \
             fill=\"white\"/><text x=\"{LEFT}\" y=\"20\" font-size=\"13\">{}</text>",
            escaped(self.name)
        );
        for (value, at) in across.marks() {
            svg += &format!(
                "<path d=\"M{at:.1} {TOP}V{}\" stroke=\"#ddd\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{value}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 16.0,
            );
        }
        for (value, at) in up.marks() {
            svg += &format!(
                "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
            );
        }
        for (nth, (line, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[nth % COLOURS.len()];
            let path: Vec<_> = points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", across.at(*x), up.at(*y)))
                .collect();
            svg += &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            for (x, y) in points {
                svg += &format!(
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    across.at(*x),
                    up.at(*y)
                );
            }
            let y = TOP + 12.0 + 18.0 * nth as f64;
            svg += &format!(
                "<text x=\"{}\" y=\"{y}\" fill=\"{colour}\">{}</text>",
                WIDTH - RIGHT + 12.0,
                escaped(line)
            );
        }
        svg + "</svg>"
    }
}

/// A logarithmic axis.
struct Axis {
    /// Powers of ten.
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let powers = values.filter(|value| *value > 0.0).map(f64::log10);
        let least = powers.clone().fold(f64::INFINITY, f64::min).floor();
        let most = powers.fold(f64::NEG_INFINITY, f64::max).ceil();
        Self {
            least,
            most: most.max(least + 1.0),
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.max(f64::MIN_POSITIVE).log10() - self.least) / (self.most - self.least);
        self.from + part.max(0.0) * (self.to - self.from)
    }

    fn marks(&self) -> impl Iterator<Item = (String, f64)> {
        let powers = (self.most - self.least) as i32;
        (0..=powers).map(|power| {
            let value = 10_f64.powf(self.least + f64::from(power));
            (format!("{value}"), self.at(value))
        })
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
