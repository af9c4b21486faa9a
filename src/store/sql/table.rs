//! What the table is called. Names become part of the SQL text, where no parameter can stand, so
//! nothing but a plain identifier may be one.

use std::error::Error;
use std::fmt;

/// Room for our suffixes: PostgreSQL silently cuts names after 63 bytes.
const LONGEST: usize = 48;

/// The name of the table that a store keeps, and its schema.
///
/// Defaults to `conditional_versions` for a [`SqlStore`](super::SqlStore), and to `conditional_keys`
/// for a [`SqlIdempotencyStore`](crate::idempotency::sql::SqlIdempotencyStore), in the schema where the database makes tables that are given
/// none. Beside it stand its meta table (`…_meta`) and, in PostgreSQL, its sequence (`…_numbers`).
///
/// ```
/// use tower_conditional::store::sql::TableName;
///
/// let table = TableName::new("versions")?.in_schema("app")?;
/// assert_eq!(table.to_string(), r#""app"."versions""#);
/// assert!(TableName::new("versions; DROP TABLE orders").is_err());
/// # Ok::<(), tower_conditional::store::sql::TableNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    /// A table of this name: ASCII letters, digits and underscores, not a digit first, at most 48
    /// bytes. Upper case stays upper case.
    ///
    /// # Errors
    ///
    /// If it is not such a name.
    pub fn new(table: &str) -> Result<Self, TableNameError> {
        Ok(Self {
            schema: None,
            table: checked(table)?,
        })
    }

    /// The same in this schema, which must exist; in SQLite, the name of an attached database.
    ///
    /// # Errors
    ///
    /// If it is not a name as [`new`](Self::new) wants it.
    pub fn in_schema(mut self, schema: &str) -> Result<Self, TableNameError> {
        self.schema = Some(checked(schema)?);
        Ok(self)
    }

    /// One of our constants.
    pub(crate) fn ours(table: &'static str) -> Self {
        Self {
            schema: None,
            table: table.to_owned(),
        }
    }

    /// The quoted name with `suffix`, which is one of our constants.
    pub(super) fn quoted(&self, suffix: &str) -> String {
        let bare = self.bare(suffix);
        match &self.schema {
            Some(schema) => format!("\"{schema}\".{bare}"),
            None => bare,
        }
    }

    /// The quoted name without its schema.
    pub(super) fn bare(&self, suffix: &str) -> String {
        format!("\"{}{suffix}\"", self.table)
    }

    /// The name without its schema and quotes.
    #[cfg(feature = "sqlx-sqlite")]
    pub(super) fn plain(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.table)
    }

    /// The schema.
    #[cfg(feature = "sqlx-sqlite")]
    pub(super) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }
}

impl Default for TableName {
    fn default() -> Self {
        Self::ours("conditional_versions")
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quoted(""))
    }
}

fn checked(name: &str) -> Result<String, TableNameError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts = name
        .bytes()
        .next()
        .is_some_and(|byte| !byte.is_ascii_digit());
    if starts && name.len() <= LONGEST && name.bytes().all(plain) {
        Ok(name.to_owned())
    } else {
        Err(TableNameError {
            name: name.to_owned(),
        })
    }
}

/// A name that cannot be a [`TableName`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNameError {
    name: String,
}

impl fmt::Display for TableNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no name for a table: wanted up to {LONGEST} ASCII letters, digits and underscores, no digit first",
            self.name
        )
    }
}

impl Error for TableNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_identifiers_are_names() {
        for name in ["versions", "_v2", "Versions", &"a".repeat(48)] {
            assert!(TableName::new(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "2v",
            "a b",
            "a\"b",
            "a'b",
            "a.b",
            "ä",
            "a\0",
            &"a".repeat(49),
        ] {
            assert!(TableName::new(name).is_err(), "{name}");
            assert!(TableName::default().in_schema(name).is_err(), "{name}");
        }
    }
}
