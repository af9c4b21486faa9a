//! Versions and claims in the SQL database that the application already runs: [`PostgresStore`]
//! (feature `sqlx-postgres`) and [`SqliteStore`] (feature `sqlx-sqlite`), over the application's
//! own `sqlx` pool.
//!
//! They keep a table of their own, which a migration makes that a database administrator can read
//! (see [`SqlStore::migration`]). Each operation is one statement, committed by itself: no session
//! state, no advisory lock outlives it, so that a pooler in transaction mode may stand between. All
//! processes on one database share its claims, and leases end by the clock of the database. (A pooler
//! that tears even one statement apart needs `PostgresStore::behind_pooler`.)
//!
//! | operation | statements, as counted by [`SqlStore::round_trips`] |
//! |---|---|
//! | `current` | 1 |
//! | `claim`, granted; also over a claim that has run out | 1 |
//! | `claim`, refused or busy | 1; on SQLite 2 |
//! | `claim` that waits | as above, for each try |
//! | `settle` | 1 |
//! | `settle` of a claim whose lease is over | 2 |
//! | `abandon` | 0 |
//!
//! Beyond these, `sqlx` prepares each statement once per connection, and pings a connection before
//! it hands it out unless the pool is built with `test_before_acquire(false)`: recommended, for a
//! connection that turns out to be lost is an error that a client may retry.
//!
//! # What readers see of a claim
//!
//! While it is open, [`Snapshot::settled`](super::Snapshot::settled) is false. When its lease is
//! over, nobody has to take it over: from that moment every reader and writer reads the row as
//! [`State::Unseen`](super::State::Unseen) with a version that no earlier state ever had, since
//! nobody knows what the holder did. The same holds after [`Outcome::Unknown`](super::Outcome).
//!
//! # Limits
//!
//! - A key is at most 2048 bytes long and holds no NUL; other keys are errors.
//! - The state is only as durable as a commit: with `synchronous_commit = off`, with
//!   `PRAGMA synchronous = NORMAL` on SQLite in WAL mode, or after a failover to a replica that
//!   lagged behind, acknowledged versions can be lost, and then used again. After such a failover,
//!   or a restored backup, move the numbers on: see [`SqlStore::migration`] for where they are.
//! - Writers that bypass HTTP are not seen. Where there are such, compare versions in the
//!   application's own tables.

#[expect(
    unnameable_types,
    reason = "`Engine` is sealed by what others cannot name"
)]
mod ask;
mod compare;
#[expect(
    unnameable_types,
    reason = "`Engine` is sealed by what others cannot name"
)]
mod engine;
#[expect(
    unnameable_types,
    reason = "`Engine` is sealed by what others cannot name"
)]
mod error;
#[expect(
    unnameable_types,
    reason = "`Engine` is sealed by what others cannot name"
)]
mod link;
mod pause;
#[cfg(feature = "sqlx-postgres")]
mod postgres;
mod schema;
#[cfg(feature = "sqlx-sqlite")]
mod sqlite;
mod store;
mod table;

pub(crate) use self::ask::millis;
pub use self::compare::{Compared, Comparison, compare_and_set, version_trigger};
pub use self::engine::Engine;
pub(crate) use self::engine::{Dialect, statement};
pub use self::error::OpenError;
pub(crate) use self::error::{Failure, store_error};
pub(crate) use self::link::{Link, Text, storable};
pub(crate) use self::pause::persist;
#[cfg(feature = "sqlx-postgres")]
pub use self::postgres::PostgresStore;
pub(crate) use self::schema::Schema;
#[cfg(feature = "sqlx-sqlite")]
pub use self::sqlite::SqliteStore;
pub use self::store::SqlStore;
pub use self::table::{TableName, TableNameError};
