//! The tables: first one row for each question, then every case.

use serde_json::Value;

/// The cases of one table, in their order.
struct Table<'a> {
    bench: &'a str,
    name: &'a str,
    cases: Vec<&'a Value>,
}

/// Both kinds of tables, in Markdown.
pub(crate) fn written(figures: &[Value]) -> String {
    let tables = tables(figures);
    let mut page = "\n## Questions and answers\n\n\
        | question | floor | ours | × | peers |\n|---|--:|--:|--:|---|\n"
        .to_owned();
    for table in &tables {
        page += &question(table);
    }
    page += "\n## Every case\n";
    for table in &tables {
        page += &whole(table);
    }
    page
}

fn tables(figures: &[Value]) -> Vec<Table<'_>> {
    let mut tables: Vec<Table<'_>> = Vec::new();
    for figure in figures {
        let (Some(bench), Some(name)) = (figure["bench"].as_str(), figure["table"].as_str()) else {
            continue;
        };
        match tables
            .iter_mut()
            .find(|table| (table.bench, table.name) == (bench, name))
        {
            Some(table) => table.cases.push(figure),
            None => tables.push(Table {
                bench,
                name,
                cases: vec![figure],
            }),
        }
    }
    tables
}

fn name(case: &Value) -> &str {
    case["case"].as_str().unwrap_or_default()
}

fn is_ours(case: &Value) -> bool {
    ["layer", "ours", "detached"]
        .iter()
        .any(|word| name(case).starts_with(word))
}

/// By what the cases of a table are compared in one row: time where it is all there is, or where
/// instructions are not those of the machine.
fn unit<'a>(table: &Table<'_>) -> (&'a str, &'a str) {
    let counted = |case: &&Value| case["instructions"].is_u64();
    match table.cases.iter().all(counted) {
        true => ("instructions", "instr"),
        false => ("nanoseconds", "ns"),
    }
}

fn question(table: &Table<'_>) -> String {
    let (unit, short) = unit(table);
    let Some(floor) = table.cases.first().copied() else {
        return String::new();
    };
    let shown = |case: &Value| format!("{} {short}", number(&case[unit]));
    let ratio = |case: &Value| ratio(table, case, unit);
    let Some(ours) = table.cases.iter().copied().find(|case| is_ours(case)) else {
        return String::new();
    };
    let others = table
        .cases
        .iter()
        .copied()
        .skip(1)
        .filter(|case| !is_ours(case));
    let others: Vec<_> = others
        .map(|case| format!("{} {}×", name(case), ratio(case)))
        .collect();
    format!(
        "| {} | {} | {} | {} | {} |\n",
        table.name,
        shown(floor),
        shown(ours),
        ratio(ours),
        others.join("; "),
    )
}

fn whole(table: &Table<'_>) -> String {
    let has = |unit: &str| table.cases.iter().any(|case| case[unit].is_number());
    let columns = [
        ("instructions", "instructions"),
        ("allocations", "allocations"),
        ("round trips", "round_trips"),
        ("time, ns", "nanoseconds"),
    ];
    let columns: Vec<_> = columns.into_iter().filter(|(_, unit)| has(unit)).collect();
    let mut heads = String::new();
    for (head, unit) in &columns {
        heads += &format!(" {head} |{}", if has_ratio(unit) { " × |" } else { "" });
    }
    let bars = heads.matches('|').count();
    let mut written = format!(
        "\n### {}\n\n| case |{heads}\n|---|{}\n",
        table.name,
        "--:|".repeat(bars)
    );
    for case in &table.cases {
        written += &format!("| {} |", name(case));
        for (_, unit) in &columns {
            written += &format!(" {} |", number(&case[*unit]));
            if has_ratio(unit) {
                written += &format!(" {} |", ratio(table, case, unit));
            }
        }
        written += "\n";
    }
    written
}

fn has_ratio(unit: &str) -> bool {
    matches!(unit, "instructions" | "nanoseconds")
}

/// How many times the first case's figure this case's is.
fn ratio(table: &Table<'_>, case: &Value, unit: &str) -> String {
    // Of times it is the median of each round's ratio.
    if let ("nanoseconds", Some(ratio)) = (unit, case["time_ratio"].as_f64()) {
        return format!("{ratio:.2}");
    }
    let first = table.cases.first().and_then(|first| first[unit].as_f64());
    match (case[unit].as_f64(), first) {
        (Some(own), Some(first)) if first > 0.0 => format!("{:.2}", own / first),
        _ => String::new(),
    }
}

/// A whole number with its thousands apart.
fn number(value: &Value) -> String {
    let Some(value) = value.as_f64() else {
        return String::new();
    };
    if value.fract() != 0.0 && value < 10.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut apart = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth) % 3 == 0 {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}
