//! One request and what becomes of it, if the client stays at all.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::random::rest;
use super::wire::{Answer, Connection};

/// Longer than any answer takes; afterwards the client gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request, ready to be sent.
pub(super) struct Request {
    bytes: Vec<u8>,
    /// How much of it is clearly not all of it.
    half: usize,
}

impl Request {
    /// `head` ends with its last field.
    pub(super) fn new(head: &str, content: Option<(&str, &str)>) -> Self {
        let (fields, body) = match content {
            None => (String::new(), ""),
            Some((media_type, body)) => {
                let length = body.len();
                let fields = format!("content-type: {media_type}\r\ncontent-length: {length}\r\n");
                (fields, body)
            }
        };
        let head = format!("{head}{fields}\r\n");
        // Half of a request with content has a whole head, so that the body is what breaks off.
        let half = match body.len() {
            0 => head.len() / 2,
            length => head.len() + length / 2,
        };
        Self {
            bytes: (head + body).into_bytes(),
            half,
        }
    }
}

/// How a client goes before its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave {
    /// In the middle of what it sends; else while the server is at work.
    pub(super) half_sent: bool,
    /// With a RST; else with a FIN.
    pub(super) resets: bool,
    /// This long after it has sent what it sends.
    pub(super) after: Duration,
}

/// What became of a request.
pub(super) enum Exchanged {
    Answered(Answer),
    /// The connection failed, or the server never answered.
    Broken,
    Left,
    /// The server cannot have seen all of it.
    NeverSent,
}

/// A connection that is opened when it is needed, to one of several processes.
pub(super) struct Line {
    addresses: Vec<SocketAddr>,
    /// Which of them is next.
    address: usize,
    connection: Option<Connection>,
}

impl Line {
    pub(super) const fn new(addresses: Vec<SocketAddr>, first: usize) -> Self {
        Self {
            addresses,
            address: first,
            connection: None,
        }
    }

    /// Sends `request`, and waits for the answer or leaves.
    pub(super) async fn exchange(&mut self, request: &Request, leave: Option<Leave>) -> Exchanged {
        let Some(mut connection) = self.connect().await else {
            return Exchanged::NeverSent;
        };
        match timeout(PATIENCE, exchange_on(&mut connection, request, leave)).await {
            Ok(Ok(Some(answer))) => {
                if answer.keeps_open {
                    self.connection = Some(connection);
                }
                Exchanged::Answered(answer)
            }
            Ok(Ok(None)) => {
                // Whether it went well says nothing: the server may have hung up first.
                drop(match leave {
                    Some(Leave { resets: true, .. }) => connection.reset(),
                    _ => timeout(PATIENCE, connection.finish())
                        .await
                        .unwrap_or(Ok(())),
                });
                match leave {
                    Some(Leave {
                        half_sent: true, ..
                    }) => Exchanged::NeverSent,
                    _ => Exchanged::Left,
                }
            }
            Ok(Err(error)) => {
                assert_ne!(error.kind(), io::ErrorKind::InvalidData, "{error}");
                Exchanged::Broken
            }
            Err(_) => Exchanged::Broken,
        }
    }

    /// A connection to some process of the service; `None` if there is none just now.
    async fn connect(&mut self) -> Option<Connection> {
        if let Some(connection) = self.connection.take() {
            return Some(connection);
        }
        let address = self.addresses[self.address % self.addresses.len()];
        self.address += 1;
        match timeout(PATIENCE, Connection::open(address)).await {
            Ok(Ok(connection)) => Some(connection),
            _ => {
                rest(Duration::from_millis(20)).await;
                None
            }
        }
    }
}

/// The answer, or `None` if it is time to leave.
async fn exchange_on(
    connection: &mut Connection,
    request: &Request,
    leave: Option<Leave>,
) -> io::Result<Option<Answer>> {
    let Some(leave) = leave else {
        connection.send(&request.bytes).await?;
        return connection.answer().await.map(Some);
    };
    let sent = match leave.half_sent {
        true => &request.bytes[..request.half],
        false => &request.bytes[..],
    };
    connection.send(sent).await?;
    rest(leave.after).await;
    Ok(None)
}
