//! The example on each of its databases, and a client that sends what it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{AnyPool, ConnectOptions as _, Executor as _};
use tokio::net::TcpStream;

use crate::support::example::Example;
use crate::support::folder::Folder;
use crate::support::postgres;

pub(crate) const SELLER: &str = "/v1/partners/0b0e7a1e-93a5-4c3f-8a5e-0d6f6b6f2a11";
pub(crate) const OTHER: &str = "/v1/partners/6d2f36ad-0f0f-4d3c-b3a5-60d0a3e2a702";
/// No order has this one.
pub(crate) const NOBODY: &str = "11111111-2222-4333-8444-555555555555";

/// A database of one's own, which goes with the last process that uses it.
pub(crate) struct Database {
    pub(crate) url: String,
    _folder: Option<Folder>,
}

impl Database {
    fn sqlite() -> Self {
        let folder = Folder::new();
        let url = format!("sqlite://{}", folder.path().join("orders.db").display());
        Self {
            url,
            _folder: Some(folder),
        }
    }

    async fn postgres() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = postgres::shared()?;
        let name = format!("orders_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut connection = server.options().connect().await.expect("it serves");
        let create = format!("CREATE DATABASE {name}");
        connection.execute(&*create).await.expect("a new name");
        let folder = server.folder().display();
        Some(Self {
            url: format!("postgres://test@localhost/{name}?host={folder}"),
            _folder: None,
        })
    }

    /// One on a server of its own, which may be restarted.
    pub(crate) fn on(server: &postgres::Server) -> Self {
        let folder = server.folder().display();
        Self {
            url: format!("postgres://test@localhost/postgres?host={folder}"),
            _folder: None,
        }
    }

    /// One that staff use.
    pub(crate) async fn connect(&self) -> AnyPool {
        install_default_drivers();
        let options = AnyPoolOptions::new().max_connections(2);
        options.connect(&self.url).await.expect("it serves")
    }

    pub(crate) fn start(&self, environment: &[(&str, &str)]) -> Service {
        let url = [("DATABASE_URL", &*self.url)];
        let example = Example::start("orders", &[&url, environment].concat());
        Service { example }
    }
}

/// Runs `test` on each database there is.
pub(crate) async fn on_each(test: impl AsyncFn(&Database)) {
    test(&Database::sqlite()).await;
    if let Some(database) = Database::postgres().await {
        test(&database).await;
    }
}

/// A process of the example.
pub(crate) struct Service {
    pub(crate) example: Example,
}

impl Service {
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.example.url.strip_prefix("http://");
        address
            .and_then(|address| address.parse().ok())
            .expect("an address")
    }

    /// Sends a request with a body that is JSON unless `fields` say otherwise, or with none.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        ask(self.address(), method, path, fields, body)
            .await
            .expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[], body).await
    }

    /// Creates an order, and gives its path.
    pub(crate) async fn order(&self, body: &str) -> String {
        let orders = format!("{SELLER}/orders");
        let key = uuid::Uuid::new_v4().to_string();
        let key = [("idempotency-key", &*key)];
        let created = self.ask("POST", &orders, &key, body).await;
        assert_eq!(created.status, 201, "{created:?}");
        created.field("location").to_owned()
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Result<Answer, Error> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut client, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", address.to_string());
    if !body.is_empty() && !fields.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in fields {
        request = request.header(*name, value.as_bytes());
    }
    let body = Full::<Bytes>::from(body.to_owned());
    let (head, body) = client.send_request(request.body(body)?).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
    })
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Empty if it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A success with this version, wherever it is told.
    #[track_caller]
    pub(crate) fn assert_version(&self, status: u16, version: i64) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.field("etag"), format!("\"{version}\""), "{self:?}");
        assert_eq!(self.json()["version"], version, "{self:?}");
    }

    /// The problem document, after a look at what all of them have.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, name: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.field("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{name}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["title", "detail", "traceId"] {
            let text = problem[member].as_str();
            assert!(text.is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem
    }

    /// A stale write, whose answer speaks of one state throughout. Gives its version.
    #[track_caller]
    pub(crate) fn assert_stale(&self, sent: &str) -> i64 {
        let problem = self.assert_problem(409, "version-mismatch");
        assert_eq!(problem["title"], "Version Mismatch");
        let version = problem["currentResource"]["version"].as_i64();
        let version = version.unwrap_or_else(|| panic!("no version: {problem}"));
        assert_eq!(self.field("etag"), format!("\"{version}\""), "{problem}");
        let detail = format!("If-Match version {sent} does not match current version {version}.");
        assert_eq!(problem["detail"], detail);
        assert_ne!(sent, version.to_string(), "{detail}");
        version
    }
}
