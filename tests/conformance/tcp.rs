//! Vectors that need a connection: a hyper server, and a client that writes and reads bytes.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::service::Harness;
use crate::vector::{Vector, header_name, header_value};
use crate::verdict::Got;

/// How long an exchange may take that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a vector over TCP, on a connection of its own.
pub(crate) async fn run(vector: &Vector) -> Got {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("the loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    let harness = Harness::of(vector);
    let server = async {
        let (stream, _) = listener.accept().await.expect("the client connects");
        let service = service_fn(|request| Arc::clone(&harness).answer(request));
        // A client that sends what hyper refuses ends the connection with an error, after its 400.
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    };
    let client = async {
        let mut stream = TcpStream::connect(address).await.expect("a server listens");
        let mut answer = Vec::new();
        let exchange = async {
            stream.write_all(&request(vector)).await?;
            stream.read_to_end(&mut answer).await
        };
        exchange.await.expect("the server answers and closes");
        answer
    };
    let both = async { tokio::join!(server, client) };
    let ended = timeout(PATIENCE, both).await;
    let ((), answer) = ended.expect("a connection that is to be closed is closed");
    read(&answer, harness.calls())
}

fn request(vector: &Vector) -> Vec<u8> {
    let mut bytes = format!("{} /orders/5 HTTP/1.1\r\n", vector.method).into_bytes();
    let length = vector.body.len().to_string();
    let ours = [
        ("host", "localhost"),
        ("connection", "close"),
        ("content-length", &length),
    ];
    let is_sent = |name| vector.lines.iter().any(|(sent, _)| sent == name);
    let ours = ours.iter().filter(|(name, _)| !is_sent(name));
    let ours = ours.map(|(name, value)| (*name, value.as_bytes()));
    let theirs = vector.lines.iter();
    for (name, value) in ours.chain(theirs.map(|(name, value)| (&**name, &**value))) {
        bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend_from_slice(&[b"\r\n", vector.body.as_bytes()].concat());
    bytes
}

/// Takes an answer apart, as far as the vectors look into it.
fn read(answer: &[u8], calls: Vec<HeaderMap>) -> Got {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("not an answer: {}", answer.escape_ascii()));
    let (head, body) = (&answer[..end], &answer[end + 4..]);
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.next().unwrap_or_default();
    let status = first
        .get(9..12)
        .and_then(|code| StatusCode::from_bytes(code).ok());
    let mut headers = HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.expect("a field has a colon"));
        let name = std::str::from_utf8(name).expect("a field name is ASCII");
        headers.append(header_name(name), header_value(value[1..].trim_ascii()));
    }
    // Whether there is content is all that is asked; a chunked answer without any is its last chunk.
    let empty = headers.contains_key("transfer-encoding") && body.starts_with(b"0\r\n");
    Got {
        status: status.expect("an answer has a status"),
        headers,
        body: if empty { Vec::new() } else { body.to_vec() },
        calls,
    }
}
