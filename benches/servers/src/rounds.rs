//! Cases that take turns: each turn is a few clients who do the same over and over, each on a
//! resource of its own or all on one.

use std::collections::BTreeMap;
use std::env;
use std::process::exit;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_core::future::BoxFuture;
use serde_json::json;

/// One client: does it once, and says how often it succeeded.
type Client = Box<dyn FnMut() -> BoxFuture<'static, u32> + Send>;

/// A way to do the job of its table.
pub(crate) struct Case {
    name: &'static str,
    /// Makes the client of this number.
    client: Box<dyn Fn(usize) -> Client>,
}

impl Case {
    /// `make` gives the client of each number what it needs, `once` does the job with it.
    pub(crate) fn new<S, F>(
        name: &'static str,
        make: impl Fn(usize) -> S + 'static,
        once: impl Fn(Arc<S>) -> F + Copy + Send + 'static,
    ) -> Self
    where
        S: Send + Sync + 'static,
        F: Future<Output = u32> + Send + 'static,
    {
        Self {
            name,
            client: Box::new(move |number| {
                let state = Arc::new(make(number));
                Box::new(move || Box::pin(once(Arc::clone(&state))))
            }),
        }
    }
}

/// How many statements or commands the server was asked so far.
pub(crate) type Calls<'a> = &'a dyn Fn() -> BoxFuture<'a, u64>;

#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Markdown,
    /// A few rounds, and no figures.
    Test,
}

pub(crate) struct Bench {
    form: Form,
    filter: Option<String>,
}

impl Bench {
    pub(crate) fn from_args() -> Self {
        let (mut form, mut filter) = (Form::Markdown, None);
        for argument in env::args().skip(1) {
            match &*argument {
                "--json" => form = Form::Json,
                "--test" => form = Form::Test,
                flag if flag.starts_with('-') => {
                    eprintln!("unknown argument {flag}");
                    exit(2);
                }
                _ => filter = Some(argument),
            }
        }
        Self { form, filter }
    }

    /// Runs the cases with so many clients; the first case is what the others are compared with.
    pub(crate) async fn table(
        &mut self,
        table: &str,
        clients: usize,
        cases: Vec<Case>,
        calls: Calls<'_>,
    ) {
        let plural = if clients == 1 { "client" } else { "clients" };
        let table = format!("{table}, {clients} {plural}");
        let wanted = |case: &Case| {
            let filter = self.filter.as_deref();
            filter.is_none_or(|word| table.contains(word) || case.name.contains(word))
        };
        let cases: Vec<_> = cases.into_iter().filter(wanted).collect();
        let mut turns: Vec<Vec<Client>> = cases
            .iter()
            .map(|case| (0..clients).map(|number| (case.client)(number)).collect())
            .collect();
        let mut trips = Vec::new();
        for (case, clients) in cases.iter().zip(&mut turns) {
            trips.push(round_trips(case, clients, calls).await);
        }
        let (rounds, turn) = match self.form {
            Form::Test => (1, Duration::from_millis(5)),
            _ => (25, Duration::from_millis(120)),
        };
        let mut times: Vec<BTreeMap<usize, f64>> = Vec::new();
        for round in 0..=rounds {
            let mut row = BTreeMap::new();
            for (nth, clients) in turns.iter_mut().enumerate() {
                row.insert(nth, take_turn(clients, turn).await);
            }
            // The first one warms up.
            if round > 0 {
                times.push(row);
            }
        }
        let figures = cases
            .iter()
            .zip(trips)
            .enumerate()
            .map(|(nth, (case, trips))| {
                // Of each round, and not of the medians: what disturbs a round disturbs both.
                let ratio = median(times.iter().map(|row| row[&nth] / row[&0]));
                (
                    case.name,
                    trips,
                    median(times.iter().map(|row| row[&nth])),
                    ratio,
                )
            });
        self.print(&table, figures);
    }

    fn print(&self, table: &str, figures: impl Iterator<Item = (&'static str, f64, f64, f64)>) {
        match self.form {
            Form::Json => {
                for (case, trips, nanoseconds, ratio) in figures {
                    println!(
                        "{}",
                        json!({
                            "bench": "servers",
                            "table": table,
                            "case": case,
                            "round_trips": trips,
                            "nanoseconds": nanoseconds,
                            "time_ratio": ratio,
                        })
                    );
                }
            }
            Form::Markdown => {
                println!("### {table}\n");
                println!("| case | round trips | time of one, µs | × |");
                println!("|---|--:|--:|--:|");
                for (case, trips, nanoseconds, ratio) in figures {
                    let micros = nanoseconds / 1000.0;
                    println!("| {case} | {trips} | {micros:.0} | {ratio:.2} |");
                }
                println!();
            }
            Form::Test => println!("{table}: every case ran"),
        }
    }
}

/// What one client asks of the server each time that it succeeds, once it is warm.
async fn round_trips(case: &Case, clients: &mut [Client], calls: Calls<'_>) -> f64 {
    const TIMES: u32 = 20;
    let Some(client) = clients.first_mut() else {
        return f64::NAN;
    };
    client().await;
    let before = calls().await;
    let mut done = 0;
    for _ in 0..TIMES {
        done += client().await;
    }
    let asked = calls().await - before;
    assert!(done > 0, "{} never succeeds", case.name);
    f64::from(u32::try_from(asked).expect("a few")) / f64::from(done)
}

/// Nanoseconds for each success of all clients together.
async fn take_turn(clients: &mut Vec<Client>, turn: Duration) -> f64 {
    let began = Instant::now();
    let tasks: Vec<_> = clients
        .drain(..)
        .map(|mut client| {
            tokio::spawn(async move {
                let mut done = 0;
                loop {
                    done += client().await;
                    if began.elapsed() > turn {
                        return (client, done);
                    }
                }
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        let (client, by_it) = task.await.expect("a client does not panic");
        clients.push(client);
        done += by_it;
    }
    began.elapsed().as_nanos() as f64 / f64::from(done.max(1))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
