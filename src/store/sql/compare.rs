//! Comparing versions in the application's own tables: the condition of the request as SQL, the
//! write and, if it did not happen, the row as it is; and a trigger for those who write around it.

use sqlx::query::QueryAs;
use sqlx::{Encode, Error, Execute, FromRow, QueryBuilder, Type};

use super::{Engine, TableName, TableNameError};
use crate::report::Expected;
use crate::store::{Condition, Version};

/// Puts what a request expects into the SQL of a write.
///
/// ```
/// # #[cfg(feature = "sqlx-sqlite")] {
/// use sqlx::{QueryBuilder, Sqlite};
/// use tower_conditional::report::Expected;
/// use tower_conditional::store::sql::Comparison;
///
/// let expected = Expected::default();
/// let mut update = QueryBuilder::<Sqlite>::new("UPDATE orders SET version = version + 1, body = ");
/// update.push_bind("{}").push(" WHERE uuid = ").push_bind("5f0c");
/// update.and_expected("version", &expected);
/// update.push(" RETURNING version");
/// # }
/// ```
pub trait Comparison {
    /// Appends ` AND …`: whatever `expected` says of the version, which is an integer in `column`.
    /// Nothing, if it expects nothing. `column` is SQL, and must not come from outside.
    ///
    /// `If-Unmodified-Since` is left out; a table of which it is to hold has to compare it by
    /// [`Expected::holds`], on a row that it has locked.
    fn and_expected(&mut self, column: &str, expected: &Expected) -> &mut Self;
}

impl<'a, DB> Comparison for QueryBuilder<'a, DB>
where
    DB: Engine,
    i64: Encode<'a, DB> + Type<DB>,
{
    fn and_expected(&mut self, column: &str, expected: &Expected) -> &mut Self {
        for condition in [&expected.if_match, &expected.if_none_match] {
            match condition {
                Condition::Unconditional | Condition::Exists => {}
                // The row is there, or else there is nothing to write.
                Condition::Absent => {
                    self.push(" AND 1 = 0");
                }
                Condition::AnyOf(versions) => among(self, column, "IN", versions),
                Condition::NoneOf(versions) => among(self, column, "NOT IN", versions),
            }
        }
        self
    }
}

/// Appends that the version is, or is not, among these.
fn among<'a, DB>(query: &mut QueryBuilder<'a, DB>, column: &str, test: &str, versions: &[Version])
where
    DB: Engine,
    i64: Encode<'a, DB> + Type<DB>,
{
    let number = |version: &Version| i64::try_from(version.to_u64()?).ok();
    let mut numbers = versions.iter().filter_map(number);
    let Some(first) = numbers.next() else {
        // A list of nothing is no SQL everywhere.
        let holds = if test == "IN" { "1 = 0" } else { "1 = 1" };
        query.push(format_args!(" AND {holds}"));
        return;
    };
    query.push(format_args!(" AND {column} {test} ("));
    query.push_bind(first);
    for version in numbers {
        query.push(", ").push_bind(version);
    }
    query.push(")");
}

/// What became of a write that compares.
///
/// See [`compare_and_set`] for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared<W, C> {
    /// The version is another one, and nothing was written. This is what is there now, if anything.
    Conflict(Option<C>),
    /// It was written; this is what the write gave back, its version for one.
    Wrote(W),
}

/// Runs `write`, an `UPDATE … RETURNING …`; if it wrote nothing, runs `current`, to say what there
/// is instead.
///
/// These are two statements on purpose: a single one (`WITH … UPDATE …, SELECT …`) shows the row as
/// it was before it waited for another writer, and would refuse version 5 for not being version 5.
/// A serialization failure of PostgreSQL (40001) counts as nothing written.
///
/// # Errors
///
/// If the database fails, and also if a serialization failure ended a transaction around this.
///
/// ```
/// # #[cfg(feature = "sqlx-sqlite")]
/// # async fn example() -> Result<(), sqlx::Error> {
/// use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};
/// use tower_conditional::report::Expected;
/// use tower_conditional::store::sql::{Compared, Comparison, compare_and_set};
///
/// async fn save(
///     connection: &mut SqliteConnection,
///     id: &str,
///     body: &str,
///     expected: &Expected,
/// ) -> Result<Compared<(i64,), (i64, String)>, sqlx::Error> {
///     let mut update = QueryBuilder::<Sqlite>::new("UPDATE orders SET version = version + 1, body = ");
///     update.push_bind(body).push(" WHERE uuid = ").push_bind(id);
///     update.and_expected("version", expected).push(" RETURNING version");
///     let current = sqlx::query_as("SELECT version, body FROM orders WHERE uuid = $1").bind(id);
///     compare_and_set(connection, update.build_query_as(), current).await
/// }
///
/// let pool = SqlitePool::connect("sqlite::memory:").await?;
/// let mut connection = pool.acquire().await?;
/// sqlx::raw_sql("CREATE TABLE orders (uuid TEXT, version INTEGER, body TEXT);
///         INSERT INTO orders VALUES ('5f0c', 1, '{}')")
///     .execute(&mut *connection)
///     .await?;
/// let anything = Expected::default();
/// let saved = save(&mut connection, "5f0c", "{}", &anything).await?;
/// assert_eq!(saved, Compared::Wrote((2,)));
/// let missing = save(&mut connection, "other", "{}", &anything).await?;
/// assert_eq!(missing, Compared::Conflict(None));
/// # Ok(())
/// # }
/// # #[cfg(feature = "sqlx-sqlite")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
pub async fn compare_and_set<'w, 'c, DB, W, C, AW, AC>(
    connection: &mut DB::Connection,
    write: QueryAs<'w, DB, W, AW>,
    current: QueryAs<'c, DB, C, AC>,
) -> Result<Compared<W, C>, Error>
where
    DB: Engine,
    QueryAs<'w, DB, W, AW>: Execute<'w, DB> + 'w,
    QueryAs<'c, DB, C, AC>: Execute<'c, DB> + 'c,
    W: for<'r> FromRow<'r, DB::Row>,
    C: for<'r> FromRow<'r, DB::Row>,
{
    let serialization = match DB::rows(connection, write).await {
        Ok(rows) => match rows.first() {
            Some(row) => return W::from_row(row).map(Compared::Wrote),
            None => None,
        },
        Err(error) if is_serialization_failure(&error) => Some(error),
        Err(error) => return Err(error),
    };
    match (DB::rows(connection, current).await, serialization) {
        (Ok(rows), _) => {
            let row = rows.first().map(C::from_row).transpose()?;
            Ok(Compared::Conflict(row))
        }
        // The transaction around this was over with the first error.
        (Err(_), Some(error)) | (Err(error), None) => Err(error),
    }
}

fn is_serialization_failure(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some("40001")
}

/// SQL for a trigger on a table of the application, so that every update gives its row the next
/// version: also one by a writer who knows nothing of versions, or who tries to set one back.
///
/// `key` is the column of the primary key, `version` that of the version, an integer. Writers who
/// say `version = version + 1` themselves get the same. The SQL may be run again. On SQLite the
/// trigger runs after the update, so that only an update which says `version = version + 1` itself
/// sees the new version in its `RETURNING`.
///
/// A row that is deleted and inserted again starts where its `INSERT` says: where keys come back,
/// keep deleted rows, or insert above the last version.
///
/// ```
/// # #[cfg(feature = "sqlx-postgres")] {
/// use tower_conditional::store::sql::{TableName, TableNameError, version_trigger};
///
/// # fn example() -> Result<(), TableNameError> {
/// let orders = TableName::new("orders")?;
/// let sql = version_trigger::<sqlx::Postgres>(&orders, "uuid", "version")?;
/// assert!(sql.contains("BEFORE UPDATE ON \"orders\""));
/// # Ok(())
/// # }
/// # example().unwrap();
/// # }
/// ```
///
/// # Errors
///
/// If `key` or `version` is no plain name.
pub fn version_trigger<DB: Engine>(
    table: &TableName,
    key: &str,
    version: &str,
) -> Result<String, TableNameError> {
    let column = |name: &str| TableName::new(name).map(|name| name.to_string());
    let (key, version) = (column(key)?, column(version)?);
    let filled = DB::fill(DB::TRIGGER, table);
    Ok(filled.replace("{key}", &key).replace("{version}", &version))
}
