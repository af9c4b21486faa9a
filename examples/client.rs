//! Ten editors of one order at once: some are programs that count, some are people who edit what
//! they have read a while ago. Nobody's work is lost, and nobody wrote a retry loop.
//!
//! Run with: cargo run --example orders
//! and in another terminal: cargo run --example client
//!
//! ```text
//! $ cargo run --example client http://127.0.0.1:3000
//! order http://127.0.0.1:3000/v1/partners/…/orders/…
//!  1 of 50  counter 1   edit 1
//!  2 of 50  counter 3   edit 1   1 conflict solved
//! …
//! editor       edits  conflicts  requests
//! counter 1        5          3        14
//! …
//! 50 edits acknowledged, 50 in the order, which is at version 51
//!
//! Two people change the same field:
//! /note: base "fragile", theirs "by hand", mine "by crane"
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `TOKEN` | the bearer token, if `orders` was started with one |

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};
use tower_conditional::client::{Change, ClientError, ClientLayer, ErrorKind, Updated};

type Hyper = legacy::Client<HttpConnector, Full<Bytes>>;
type Client = tower_conditional::client::Client<Hyper>;

const COUNTERS: usize = 6;
const PEOPLE: usize = 4;
const EDITS: usize = 5;
const ALL: usize = (COUNTERS + PEOPLE) * EDITS;

/// Any seller will do.
const ORDERS: &str = "/v1/partners/0b0e7a1e-93a5-4c3f-8a5e-0d6f6b6f2a11/orders";

/// What one editor has got through so far.
#[derive(Default)]
struct Score {
    edits: usize,
    conflicts: u32,
    requests: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args().nth(1);
    let base = base.unwrap_or_else(|| "http://127.0.0.1:3000".to_owned());
    let base = base.trim_end_matches('/');
    let client = client()?;

    // As a plain service it sends each request once: a good way to see whether anybody is there.
    let orders: Uri = format!("{base}{ORDERS}").parse()?;
    let request = Request::get(&orders).body(Full::default())?;
    if let Err(error) = client.clone().oneshot(request).await {
        let hint = "is it running? cargo run --example orders";
        return Err(format!("no orders at {base}, {hint}: {}", with_cause(&error)).into());
    }

    let new = json!({"pieces": 0, "note": "fragile"});
    let created = client.create(orders, &new).await?;
    let location = created.headers().get(LOCATION).ok_or("no Location")?;
    let order: Uri = format!("{base}{}", location.to_str()?).parse()?;
    println!("order {order}");

    edit_at_once(&client, &order).await?;
    contradict(&client, &order).await
}

/// A client of `orders`, which completes idempotency keys in the transaction of the write.
fn client() -> Result<Client, Box<dyn Error>> {
    let hyper: Hyper = legacy::Client::builder(TokioExecutor::new()).build_http();
    let client = ClientLayer::new().keys_honoured().requests(60).layer(hyper);
    let Ok(token) = std::env::var("TOKEN") else {
        return Ok(client);
    };
    let mut token = HeaderValue::try_from(format!("Bearer {token}"))?;
    token.set_sensitive(true);
    Ok(client.with_field(AUTHORIZATION, token))
}

async fn edit_at_once(client: &Client, order: &Uri) -> Result<(), Box<dyn Error>> {
    let (progress, mut news) = mpsc::unbounded_channel();
    let mut editors = JoinSet::new();
    for editor in 0..COUNTERS + PEOPLE {
        let (client, order, progress) = (client.clone(), order.clone(), progress.clone());
        editors.spawn(async move {
            for edit in 1..=EDITS {
                let updated = match editor < COUNTERS {
                    true => count(&client, &order).await,
                    false => note_down(&client, &order, editor, edit).await,
                };
                let failed = updated.is_err();
                // Whoever listens has left after the first failure.
                if progress.send((editor, updated)).is_err() || failed {
                    break;
                }
            }
        });
    }
    drop(progress);

    let mut scores: Vec<_> = (0..COUNTERS + PEOPLE).map(|_| Score::default()).collect();
    let mut done = 0;
    while let Some((editor, updated)) = news.recv().await {
        let updated =
            updated.map_err(|error| format!("{}: {}", name(editor), with_cause(&error)))?;
        done += 1;
        let score = &mut scores[editor];
        score.edits += 1;
        score.conflicts += updated.conflicts();
        score.requests += updated.requests();
        let solved = match updated.conflicts() {
            0 => String::new(),
            1 => "1 conflict solved".to_owned(),
            many => format!("{many} conflicts solved"),
        };
        let line = format!(
            "{done:2} of {ALL}  {:<11} edit {}   {solved}",
            name(editor),
            score.edits
        );
        println!("{}", line.trim_end());
    }

    println!(
        "\n{:<11} {:>6} {:>10} {:>9}",
        "editor", "edits", "conflicts", "requests"
    );
    for (editor, score) in scores.iter().enumerate() {
        let (edits, conflicts, requests) = (score.edits, score.conflicts, score.requests);
        println!(
            "{:<11} {edits:>6} {conflicts:>10} {requests:>9}",
            name(editor)
        );
    }
    let read = client.read(order.clone()).await?;
    let counted = read.value()["pieces"].as_u64().unwrap_or(0);
    let noted =
        (COUNTERS..COUNTERS + PEOPLE).filter_map(|editor| read.value()[name(editor)].as_u64());
    let found = counted + noted.sum::<u64>();
    let version = &read.value()["version"];
    println!("{done} edits acknowledged, {found} in the order, which is at version {version}");
    match found == done {
        true => Ok(()),
        false => Err("edits were lost".into()),
    }
}

/// What a program computes: on top of whatever is there by then.
async fn count(client: &Client, order: &Uri) -> Result<Updated, ClientError> {
    let one_more = |order: &Value| {
        let pieces = order["pieces"].as_u64().unwrap_or(0);
        Change::Patch(json!({"pieces": pieces + 1}))
    };
    client.update(order.clone(), one_more).await
}

/// What a person edits: reads, thinks, and saves the whole form.
async fn note_down(
    client: &Client,
    order: &Uri,
    editor: usize,
    edit: usize,
) -> Result<Updated, ClientError> {
    let base = client.read(order.clone()).await?;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut mine = base.value().clone();
    mine[name(editor)] = edit.into();
    client.save(&base, &mine).await
}

/// Two people change the same field: the second is told what stands against what.
async fn contradict(client: &Client, order: &Uri) -> Result<(), Box<dyn Error>> {
    println!("\nTwo people change the same field:");
    let base = client.read(order.clone()).await?;
    let with_note = |note: &str| {
        let mut mine = base.value().clone();
        mine["note"] = note.into();
        mine
    };
    client.save(&base, &with_note("by hand")).await?;
    match client.save(&base, &with_note("by crane")).await {
        Err(error) if error.kind() == ErrorKind::Unmerged => {
            for conflict in error.conflicts() {
                let shown = |value: &Option<Value>| match value {
                    Some(value) => value.to_string(),
                    None => "nothing".to_owned(),
                };
                let (base, theirs) = (shown(&conflict.base), shown(&conflict.current));
                let mine = shown(&conflict.mine);
                println!(
                    "{}: base {base}, theirs {theirs}, mine {mine}",
                    conflict.pointer
                );
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err("the first note was overwritten".into()),
    }
}

fn name(editor: usize) -> String {
    match editor < COUNTERS {
        true => format!("counter {}", editor + 1),
        false => format!("person {}", editor + 1),
    }
}

/// An error and what has caused it.
fn with_cause(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_cause(source)),
        None => error.to_string(),
    }
}
