//! Answers that get lost: a client sends a write and is gone before it is answered, and asks again
//! with the same key at the other process.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::service::{ask, on_each};

const CLIENTS: i64 = 10;
const WRITES: i64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_retries_get_the_first_answer_and_no_conflict_with_themselves() {
    on_each(async |database| {
        let services = [database.start(&[]), database.start(&[])];
        let addresses = [services[0].address(), services[1].address()];
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let path = services[0].order("{}").await;
            clients.spawn(client(addresses, number, path));
        }
        let replayed: usize = clients.join_all().await.into_iter().sum();
        // Some first tries never arrived; of most only the answer was lost.
        let tries = CLIENTS * WRITES;
        assert!(replayed > 100, "of {tries} answers {replayed} were lost");
    })
    .await;
}

/// Writes to one order. Gives how often it got an answer that had been given before.
async fn client(addresses: [SocketAddr; 2], number: i64, path: String) -> usize {
    let mut replayed = 0;
    for count in 1..=WRITES {
        let (key, tag) = (format!("{number}-{count}"), format!("\"{count}\""));
        let fields = [("idempotency-key", &*key), ("if-match", &*tag)];
        let body = json!({ "count": count }).to_string();
        let [first, second] = match count % 2 {
            0 => addresses,
            _ => [addresses[1], addresses[0]],
        };
        leave_after(first, &path, &fields, &body, count % 4).await;
        let answer = loop {
            let answer = ask(second, "PATCH", &path, &fields, &body).await;
            let answer = answer.expect("nobody is killed here");
            if answer.status != 409 {
                break answer;
            }
            answer.assert_problem(409, "request-in-progress");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        // Its If-Match is stale by now, if the first try was carried out.
        answer.assert_version(200, count + 1);
        replayed += usize::from(answer.field("idempotency-replayed") == "true");
    }
    replayed
}

/// Sends a write, and leaves without reading the answer.
async fn leave_after(
    address: SocketAddr,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
    pauses: i64,
) {
    let mut head = format!("PATCH {path} HTTP/1.1\r\nhost: {address}\r\n");
    head += &format!(
        "content-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("{head}\r\n{body}");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("it is there to read");
    // Sometimes at once, sometimes in the middle of the handler, sometimes after it.
    for _ in 0..pauses {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
