//! What differs between databases in the table of keys. Both have the same parameters and columns.

use futures_core::future::BoxFuture;

use crate::store::sql::{Dialect, TableName, Text, statement};

/// What the table of keys needs of a database.
pub trait Records: Dialect {
    /// The SQL, with names left open.
    const RECORDS: Templates;

    /// Runs one statement to its end, commit included, and gives all its rows.
    fn begin<'a>(
        connection: &'a mut Self::Connection,
        text: Text<'a>,
        begin: &'a Begin<'a>,
    ) -> BoxFuture<'a, Result<Vec<Record>, sqlx::Error>>;

    /// The same, of a statement that only reads.
    fn look<'a>(
        connection: &'a mut Self::Connection,
        text: Text<'a>,
        begin: &'a Begin<'a>,
    ) -> BoxFuture<'a, Result<Vec<Record>, sqlx::Error>>;

    /// Runs one statement that gives a number if it is so.
    fn settle<'a>(
        connection: &'a mut Self::Connection,
        text: Text<'a>,
        settle: &'a Settle<'a>,
    ) -> BoxFuture<'a, Result<Option<i64>, sqlx::Error>>;
}

/// The SQL of one database, one file each.
pub struct Templates {
    pub(super) begin: &'static str,
    pub(super) complete: &'static str,
    pub(super) doubt: &'static str,
    /// Of databases that cannot say in one statement why nothing was begun.
    pub(super) look: Option<&'static str>,
    pub(super) migration: &'static str,
    pub(super) prune: &'static str,
    pub(super) release: &'static str,
}

/// The same for one table.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) begin: String,
    pub(super) complete: String,
    pub(super) doubt: String,
    pub(super) look: Option<String>,
    pub(super) prune: String,
    pub(super) release: String,
}

impl Texts {
    pub(super) fn new<DB: Records>(table: &TableName) -> Self {
        let templates = DB::RECORDS;
        let fill = |template: &str| statement::<DB>(template, table);
        Self {
            begin: fill(templates.begin),
            complete: fill(templates.complete),
            doubt: fill(templates.doubt),
            look: templates.look.map(fill),
            prune: fill(templates.prune),
            release: fill(templates.release),
        }
    }
}

/// The parameters of a beginning; durations in milliseconds.
pub struct Begin<'a> {
    pub(super) scope: &'a str,
    pub(super) key: &'a str,
    pub(super) fingerprint: &'a [u8],
    pub(super) lease: i64,
    pub(super) ttl: i64,
    pub(super) instead_of: Option<i64>,
}

/// The parameters of an ending.
pub struct Settle<'a> {
    pub(super) scope: &'a str,
    pub(super) key: &'a str,
    pub(super) token: i64,
    /// If there is an answer to keep.
    pub(super) answer: Option<Kept<'a>>,
}

/// An answer.
pub(super) struct Kept<'a> {
    pub(super) status: i64,
    pub(super) headers: Vec<u8>,
    pub(super) content: Option<&'a [u8]>,
    /// In milliseconds.
    pub(super) ttl: i64,
}

/// A row as it comes: was an attempt started; is it the same request; the token of the attempt, or
/// whose turn it is; milliseconds that it is in flight yet; status, fields and content of its answer.
pub(super) type Record = (
    bool,
    bool,
    i64,
    Option<i64>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);
