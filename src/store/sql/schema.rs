//! Is a table there, and is it ours? It is made once by whoever comes first, found by all others,
//! and refused by other versions of the library.

use super::engine::{Dialect, statement};
use super::link::Link;
use super::pause::persist;
use super::{OpenError, TableName};

/// How one of our tables is made and recognised.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) migration: String,
    exists: String,
    schema_version: String,
    /// What the statements of this version of the library expect.
    expected: i64,
}

impl Schema {
    pub(crate) fn new<DB: Dialect>(migration: &str, expected: i64, table: &TableName) -> Self {
        Self {
            migration: DB::fill(migration, table),
            exists: statement::<DB>(DB::EXISTS, table),
            schema_version: statement::<DB>(DB::SCHEMA_VERSION, table),
            expected,
        }
    }

    /// Makes the table if it is missing.
    pub(crate) async fn open<DB: Dialect>(&self, link: &Link<DB>) -> Result<(), OpenError> {
        match self.check(link).await {
            Err(OpenError::Missing) => {
                persist(|| link.script(&self.migration)).await?;
                self.check(link).await
            }
            other => other,
        }
    }

    /// One round trip, three at most if all is not well.
    pub(crate) async fn check<DB: Dialect>(&self, link: &Link<DB>) -> Result<(), OpenError> {
        let versions = match link.numbers(&self.schema_version, None).await {
            Ok(versions) => versions,
            Err(_) => self.look_closer(link).await?,
        };
        match versions.first() {
            Some(&found) if found == self.expected => Ok(()),
            Some(&found) => Err(OpenError::SchemaVersion {
                found,
                expected: self.expected,
            }),
            None => Err(OpenError::Missing),
        }
    }

    async fn look_closer<DB: Dialect>(&self, link: &Link<DB>) -> Result<Vec<i64>, OpenError> {
        let tables = link.numbers(&self.exists, None).await?;
        if tables.contains(&0) {
            return Err(OpenError::Missing);
        }
        // It may have been made between the two.
        Ok(link.numbers(&self.schema_version, None).await?)
    }
}
