//! Ten editors of one order of the example `orders`, a process of its own, through a network that
//! loses, delays and repeats requests; and the example `client`, which shows the same to people.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http::Uri;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::Layer;
use tower_conditional::client::{ClientLayer, ErrorKind};

use super::faulty::{Faulty, Plan};
use super::notes::add;
use crate::support::example::{Example, run};

const SELLER: &str = "/v1/partners/0b0e7a1e-93a5-4c3f-8a5e-0d6f6b6f2a11";

const EDITORS: usize = 10;
const EDITS: usize = 3;

/// Sends everything on to `url`.
fn forwarding(url: String) -> Router {
    let hyper = Hyper::builder(TokioExecutor::new()).build_http::<Body>();
    Router::new().fallback(move |mut request: Request| {
        let uri = format!("{url}{}", request.uri()).parse();
        *request.uri_mut() = uri.expect("a path behind an address");
        let answer = hyper.request(request);
        async { answer.await.expect("the example serves").map(Body::new) }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_editors_of_one_order_lose_nothing_on_a_bad_network() {
    let example = Example::start("orders", &[]);
    let plan = Plan {
        lost_before: 40,
        lost_after: 60,
        error_before: 20,
        error_after: 40,
        repeated: 60,
        silent: 0,
        delay: Duration::from_millis(3),
        either_answer: true,
        seed: 7,
    };
    let network = Faulty::new(forwarding(example.url.clone()), plan);
    let layer = ClientLayer::new()
        .keys_honoured()
        .waits(Duration::from_millis(5), Duration::from_secs(2))
        .requests(60);
    let client = layer.layer(network.clone());
    let orders = format!("{SELLER}/orders").parse().expect("a path");
    let created = client.create(orders, &json!({"edits": []})).await;
    let created = created.expect("keys make a creation safe to repeat");
    let location = created.headers()["location"].to_str().expect("a path");
    let order: Uri = location.parse().expect("a path");

    let mut editors = JoinSet::new();
    for editor in 0..EDITORS {
        let (client, order) = (client.clone(), order.clone());
        editors.spawn(async move {
            let mut told = Vec::new();
            for edit in 0..EDITS {
                let name = format!("{editor}-{edit}");
                told.push((name.clone(), client.update(order.clone(), add(&name)).await));
            }
            told
        });
    }
    let told: Vec<_> = editors.join_all().await.into_iter().flatten().collect();
    tokio::time::sleep(plan.delay * 10).await;
    let read = client.read(order.clone()).await.expect("it is there");
    let edits = read.value()["edits"].as_array().expect("a list");
    let (mut conflicts, mut acknowledged) = (0, 0);
    for (name, update) in &told {
        let times = edits.iter().filter(|edit| *edit == name).count();
        match update {
            Ok(updated) => {
                assert_eq!(times, 1, "{name} was acknowledged");
                conflicts += updated.conflicts();
                acknowledged += 1;
            }
            Err(error) if error.kind() == ErrorKind::InDoubt => assert!(times <= 1, "{name}"),
            Err(error) => assert_eq!(times, 0, "{name}: {error}"),
        }
    }
    assert!(
        acknowledged > EDITORS * EDITS / 2,
        "{acknowledged} got through"
    );
    assert!(conflicts > 0, "they never met");
    let tally = &network.tally;
    for count in [&tally.lost_before, &tally.lost_after, &tally.repeated] {
        assert!(
            count.load(std::sync::atomic::Ordering::Relaxed) > 0,
            "{tally:?}"
        );
    }
    // The audit trail has one row for each edit, and one for the creation.
    let trail: Uri = format!("{}/revisions", order.path())
        .parse()
        .expect("a path");
    let hyper = Hyper::builder(TokioExecutor::new()).build_http::<Body>();
    let trail = format!("{}{trail}", example.url).parse().expect("a URI");
    let trail = hyper.get(trail).await.expect("the example serves");
    let trail = http_body_util::BodyExt::collect(trail.into_body()).await;
    let trail: Value = serde_json::from_slice(&trail.expect("it serves").to_bytes()).expect("JSON");
    let rows = trail["items"].as_array().expect("a list").len();
    assert_eq!(rows, edits.len() + 1);
    assert_eq!(read.value()["version"], rows);
}

#[test]
fn the_example_shows_ten_editors_and_what_became_of_their_edits() {
    let orders = Example::start("orders", &[]);
    let output = run("client", &[&orders.url]);
    let told = String::from_utf8(output.stdout).expect("text");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{complaints}");
    for line in [
        "50 of 50",
        "50 edits acknowledged, 50 in the order",
        "/note: base",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
}

#[test]
fn the_example_says_what_is_missing_where_nobody_serves() {
    let output = run("client", &["http://127.0.0.1:1"]);
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.contains("cargo run --example orders"),
        "{complaint}"
    );
}
