//! An example as a service: several processes on one database.

use sqlx::{Connection, Executor, PgConnection};

use super::client::{Reply, send};
use super::example::Example;
use super::folder::Folder;
use super::postgres;

pub(crate) struct Service {
    pub(crate) processes: Vec<Example>,
    pub(crate) database_url: String,
    name: &'static str,
    // Goes last.
    _folder: Option<Folder>,
}

impl Service {
    /// `name` on a SQLite file of its own.
    pub(crate) fn on_sqlite(
        name: &'static str,
        processes: usize,
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = Folder::new();
        let url = format!("sqlite://{}/data.db", folder.path().display());
        Self::start(name, url, processes, environment, Some(folder))
    }

    /// `name` in a PostgreSQL database of its own; None where there is no PostgreSQL.
    pub(crate) fn on_postgres(
        name: &'static str,
        processes: usize,
        environment: &[(&str, &str)],
    ) -> Option<Self> {
        let server = postgres::shared()?;
        let folder = Folder::new();
        let database = folder
            .path()
            .file_name()?
            .to_string_lossy()
            .replace('-', "_");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        runtime.block_on(async {
            let mut connection = PgConnection::connect_with(&server.options())
                .await
                .expect("a server that runs");
            let create = format!("CREATE DATABASE {database}");
            connection.execute(&*create).await.expect("a new name");
        });
        let socket = server.folder().display().to_string().replace('/', "%2F");
        let url = format!("postgres://test@localhost/{database}?host={socket}");
        Some(Self::start(name, url, processes, environment, Some(folder)))
    }

    fn start(
        name: &'static str,
        database_url: String,
        processes: usize,
        environment: &[(&str, &str)],
        folder: Option<Folder>,
    ) -> Self {
        let mut service = Self {
            processes: Vec::new(),
            database_url,
            name,
            _folder: folder,
        };
        for _ in 0..processes {
            service.add(environment);
        }
        service
    }

    /// One more process.
    pub(crate) fn add(&mut self, environment: &[(&str, &str)]) {
        let url = ("DATABASE_URL", &*self.database_url);
        let environment = [environment, &[url]].concat();
        self.processes.push(Example::start(self.name, &environment));
    }

    /// The URL of a process.
    pub(crate) fn url(&self, process: usize) -> &str {
        &self.processes[process % self.processes.len()].url
    }

    #[track_caller]
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let json = ("content-type", "application/json");
        let fields = match body.is_empty() {
            true => fields.to_vec(),
            false => [fields, &[json]].concat(),
        };
        send(self.url(0), method, path, &fields, body.as_bytes())
    }
}

/// Runs a test on every database that there is.
pub(crate) fn on_each_database(
    name: &'static str,
    processes: usize,
    environment: &[(&str, &str)],
    test: impl Fn(&Service),
) {
    test(&Service::on_sqlite(name, processes, environment));
    if let Some(service) = Service::on_postgres(name, processes, environment) {
        test(&service);
    }
}
