//! What differs between databases: their SQL, how parameters are bound, what their errors mean.

use futures_core::future::BoxFuture;
use sqlx::{Database, Execute};

use super::TableName;
use super::ask::{Ask, Record};
use super::error::Meaning;
use super::link::Text;
use crate::idempotency::sql::Records;

/// A database that a [`SqlStore`](super::SqlStore) or a
/// [`SqlIdempotencyStore`](crate::idempotency::sql::SqlIdempotencyStore) can live in:
/// `sqlx::Postgres` or `sqlx::Sqlite`, by the features of their names. Nothing else can be one.
///
/// See the [module docs](super) for what they keep.
pub trait Engine: Statements + Records {}

impl<DB: Statements + Records> Engine for DB {}

/// The part of [`Engine`] that is ours alone: what each of our tables needs.
pub trait Dialect: Database {
    /// Counts the meta tables, with their name left open.
    const EXISTS: &'static str;

    /// Reads the version of the schema, with the name left open.
    const SCHEMA_VERSION: &'static str;

    /// The SQL of a trigger that counts versions, with names left open.
    const TRIGGER: &'static str;

    /// Begins a transaction that is going to write.
    const BEGIN_WRITE: &'static str;

    /// A statement that fails in a transaction which cannot be committed any more, if `COMMIT`
    /// itself does not.
    const IS_ALIVE: Option<&'static str>;

    /// Fills in the names.
    fn fill(template: &str, table: &TableName) -> String;

    /// What an error code says.
    fn meaning(code: &str) -> Meaning;

    /// Runs one statement that gives numbers.
    fn numbers<'a>(
        connection: &'a mut Self::Connection,
        text: Text<'a>,
        parameter: Option<i64>,
    ) -> BoxFuture<'a, Result<Vec<i64>, sqlx::Error>>;

    /// Runs a statement of the application's to its end, and gives all its rows.
    fn rows<'e, 'q: 'e>(
        connection: &'e mut Self::Connection,
        query: impl Execute<'q, Self> + 'q,
    ) -> BoxFuture<'e, Result<Vec<Self::Row>, sqlx::Error>>;

    /// Runs several statements, with a transaction of their own.
    fn script<'a>(
        connection: &'a mut Self::Connection,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Self::QueryResult, sqlx::Error>>;
}

/// What the table of versions needs.
pub trait Statements: Dialect {
    /// The SQL, with names left open.
    const TEMPLATES: Templates;

    /// Runs one statement to its end, commit included, and gives all its rows.
    fn ask<'a>(
        connection: &'a mut Self::Connection,
        text: Text<'a>,
        ask: &'a Ask<'a>,
    ) -> BoxFuture<'a, Result<Vec<Record>, sqlx::Error>>;
}

/// The SQL of one database, one file each.
pub struct Templates {
    pub(super) claim: &'static str,
    pub(super) current: &'static str,
    pub(super) forget: &'static str,
    pub(super) migration: &'static str,
    pub(super) prune: &'static str,
    pub(super) seen: &'static str,
    pub(super) settle: &'static str,
}

/// The same for one table.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) claim: String,
    pub(super) current: String,
    pub(super) forget: String,
    pub(super) prune: String,
    pub(super) settle: String,
}

impl Texts {
    pub(super) fn new<DB: Statements>(table: &TableName) -> Self {
        let templates = DB::TEMPLATES;
        let fill =
            |template: &str| statement::<DB>(&template.replace("{seen}", templates.seen), table);
        Self {
            claim: fill(templates.claim),
            current: fill(templates.current),
            forget: fill(templates.forget),
            prune: fill(templates.prune),
            settle: fill(templates.settle),
        }
    }
}

/// A statement without its comments: they are for readers of the files; who looks at a busy database
/// sees its statements.
pub(crate) fn statement<DB: Dialect>(template: &str, table: &TableName) -> String {
    let lines = template
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"));
    DB::fill(&lines.collect::<Vec<_>>().join("\n"), table)
}
