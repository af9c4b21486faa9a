//! HTTP/1.1 by hand: no client library sends half a body, or leaves with an RST.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// Read, and not consumed yet.
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) body: Vec<u8>,
    /// Will the server take another request on this connection?
    pub(crate) keeps_open: bool,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Leaves as a process does that is killed: the server sees a reset.
    pub(crate) fn reset(self) -> Result<()> {
        self.stream.set_zero_linger()
    }

    /// Says that nothing more will be sent, and waits for what the server does about it: nothing,
    /// or an answer.
    pub(crate) async fn finish(mut self) -> Result<()> {
        self.stream.shutdown().await?;
        let mut ignored = Vec::new();
        self.stream.read_to_end(&mut ignored).await.map(drop)
    }

    /// One answer, to a request that was not `HEAD`.
    pub(crate) async fn answer(&mut self) -> Result<Answer> {
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break self.buffer.drain(..end + 4).collect::<Vec<_>>();
            }
            self.fill().await?;
        };
        let head = String::from_utf8(head).map_err(|_| invalid("a head that is not ASCII"))?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
            .ok_or_else(|| invalid("no status line"))?;
        let fields: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
        let field = |name: &str| {
            let found = fields
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim())
        };
        if field("transfer-encoding").is_some() {
            return Err(invalid("a transfer coding, which this client cannot read"));
        }
        let length: usize = match (status, field("content-length")) {
            (204 | 304, _) => 0,
            (_, Some(length)) => length.parse().map_err(|_| invalid("a length"))?,
            (_, None) => return Err(invalid("no length")),
        };
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(Answer {
            status,
            etag: field("etag").map(str::to_owned),
            body: self.buffer.drain(..length).collect(),
            keeps_open: !field("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close")),
        })
    }

    async fn fill(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
