//! What differs between databases: their SQL, how parameters are bound, what their errors mean.

use futures_core::future::BoxFuture;
use sqlx::Database;

use super::TableName;
use super::ask::{Ask, Record};
use super::error::Meaning;

/// A database that a [`SqlStore`](super::SqlStore) can live in: `sqlx::Postgres` or `sqlx::Sqlite`,
/// by the features of their names. Nothing else can be one.
///
/// See the [module docs](super) for what they keep.
pub trait Engine: Statements {}

impl<DB: Statements> Engine for DB {}

/// The part of [`Engine`] that is ours alone.
pub trait Statements: Database {
    /// The SQL, with names left open.
    const TEMPLATES: Templates;

    /// Fills in the names.
    fn fill(template: &str, table: &TableName) -> String;

    /// What an error code says.
    fn meaning(code: &str) -> Meaning;

    /// Runs one statement to its end, commit included, and gives all its rows.
    fn ask<'a>(
        connection: &'a mut Self::Connection,
        text: &'a str,
        ask: &'a Ask<'a>,
    ) -> BoxFuture<'a, Result<Vec<Record>, sqlx::Error>>;

    /// Runs one statement that gives numbers.
    fn numbers<'a>(
        connection: &'a mut Self::Connection,
        text: &'a str,
        parameter: Option<i64>,
    ) -> BoxFuture<'a, Result<Vec<i64>, sqlx::Error>>;

    /// Runs several statements, with a transaction of their own.
    fn script<'a>(
        connection: &'a mut Self::Connection,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Self::QueryResult, sqlx::Error>>;
}

/// The SQL of one database, one file each.
pub struct Templates {
    pub(super) claim: &'static str,
    pub(super) current: &'static str,
    pub(super) exists: &'static str,
    pub(super) forget: &'static str,
    pub(super) migration: &'static str,
    pub(super) prune: &'static str,
    pub(super) schema_version: &'static str,
    pub(super) seen: &'static str,
    pub(super) settle: &'static str,
}

/// The same for one table.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) claim: String,
    pub(super) current: String,
    pub(super) exists: String,
    pub(super) forget: String,
    pub(super) migration: String,
    pub(super) prune: String,
    pub(super) schema_version: String,
    pub(super) settle: String,
}

impl Texts {
    pub(super) fn new<DB: Statements>(table: &TableName) -> Self {
        let templates = DB::TEMPLATES;
        // Comments are for readers of the files; who looks at a busy database sees its statements.
        let fill = |template: &str| {
            let whole = template.replace("{seen}", templates.seen);
            let lines = whole
                .lines()
                .filter(|line| !line.trim_start().starts_with("--"));
            DB::fill(&lines.collect::<Vec<_>>().join("\n"), table)
        };
        Self {
            claim: fill(templates.claim),
            current: fill(templates.current),
            exists: fill(templates.exists),
            forget: fill(templates.forget),
            migration: DB::fill(templates.migration, table),
            prune: fill(templates.prune),
            schema_version: fill(templates.schema_version),
            settle: fill(templates.settle),
        }
    }
}
