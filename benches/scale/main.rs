//! How the store in memory grows: with its resources, with threads, and with those who wait for one
//! of them.
//!
//! Each figure comes from a process of its own, so that none is measured in what another one left
//! behind.

mod figures;
mod queue;
mod table;

use std::env;
use std::process::{Command, exit};

use self::figures::Figure;

/// A figure by its name: what makes it, and for how many.
type Measure = fn(usize) -> Vec<Figure>;

fn plan(full: bool) -> Vec<(&'static str, Measure, Vec<usize>)> {
    let sizes = match full {
        true => vec![1_000, 10_000, 100_000, 1_000_000, 1_800_000, 10_000_000],
        false => vec![1_000],
    };
    let waiters = match full {
        true => vec![16, 64, 256, 1_000, 10_000],
        false => vec![16],
    };
    vec![
        ("ours", table::ours as Measure, sizes.clone()),
        ("floor", table::floor, sizes.clone()),
        ("rwlock", table::rwlock, sizes.clone()),
        ("dashmap", table::dashmap, sizes),
        ("threads", table::threads, vec![1, 2]),
        ("queue", queue::ours, waiters.clone()),
        ("tokio", queue::tokio_mutex, waiters),
    ]
}

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let full = has("--bench") && !has("--test") && !has("--quick");
    if let Ok(order) = env::var("SCALE") {
        carry_out(&order, full);
        return;
    }
    for (name, _, sizes) in plan(full) {
        for size in sizes {
            let program = env::current_exe().expect("a program knows where it is");
            let status = Command::new(program)
                .args(&arguments)
                .env("SCALE", format!("{name} {size}"))
                .status();
            if !status.is_ok_and(|status| status.success()) {
                eprintln!("scale: {name} of {size} failed");
                exit(1);
            }
        }
    }
    if !full {
        println!("scale: every case ran");
    }
}

fn carry_out(order: &str, full: bool) {
    let (name, size) = order.split_once(' ').expect("an order has two words");
    let size = size.parse().expect("a size is a number");
    let (_, measure, _) = plan(full)
        .into_iter()
        .find(|(other, _, _)| *other == name)
        .expect("the order is of the plan");
    let figures = measure(size);
    if full {
        figures.iter().for_each(Figure::print);
    }
}
