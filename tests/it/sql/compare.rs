//! Comparing versions in the application's own tables.

use tower_conditional::report::Expected;
use tower_conditional::store::{Condition, State, Version};

/// What requests may expect of a row.
pub(super) fn expectations() -> Vec<Expected> {
    let versions = |texts: &[&str]| -> Vec<Version> {
        let version = |text: &&str| Version::new(text).expect("a tag may hold it");
        texts.iter().map(version).collect()
    };
    let lists = [
        &["5"][..],
        &["7", "5"],
        &["6"],
        &["05"],
        &["abc", "-5"],
        &[],
    ]
    .map(versions);
    let mut conditions = vec![
        Condition::Unconditional,
        Condition::Exists,
        Condition::Absent,
    ];
    for list in lists {
        conditions.push(Condition::AnyOf(list.clone()));
        conditions.push(Condition::NoneOf(list));
    }
    let mut expectations = Vec::new();
    for if_match in &conditions {
        for if_none_match in &conditions {
            let mut expected = Expected::default();
            expected.if_match = if_match.clone();
            expected.if_none_match = if_none_match.clone();
            expectations.push(expected);
        }
    }
    expectations
}

pub(super) fn expecting(version: u64) -> Expected {
    let mut expected = Expected::default();
    expected.if_match = Condition::AnyOf(vec![Version::from(version)]);
    expected
}

/// The tests that run on both databases; `$pool` makes a pool with a database of its own.
macro_rules! compares {
    ($database:ty, $pool:path) => {
        use sqlx::{Executor, QueryBuilder};
        use tower_conditional::report::Expected;
        use tower_conditional::store::sql::{Compared, Comparison, compare_and_set};

        type Connection = <$database as sqlx::Database>::Connection;

        async fn make(connection: &mut Connection, table: &str) {
            let make = format!(
                "CREATE TABLE {table} (uuid TEXT PRIMARY KEY, version BIGINT NOT NULL, body TEXT);
                INSERT INTO {table} VALUES ('one', 5, 'first'), ('two', 5, 'second')"
            );
            connection.execute(&*make).await.expect("a new table");
        }

        async fn save(
            connection: &mut Connection,
            table: &str,
            expected: &Expected,
        ) -> Result<Compared<(i64,), (i64, String)>, sqlx::Error> {
            let mut update = QueryBuilder::<$database>::new(format!("UPDATE {table} SET body = "));
            update.push_bind("changed").push(", version = version + 1 WHERE uuid = ");
            update.push_bind("one").and_expected("version", expected).push(" RETURNING version");
            let current = format!("SELECT version, body FROM {table} WHERE uuid = 'one'");
            compare_and_set(connection, update.build_query_as(), sqlx::query_as(&current)).await
        }

        #[tokio::test]
        async fn sql_expects_what_the_request_does() {
            let Some((pool, table)) = $pool().await else { return };
            let mut connection = pool.acquire().await.expect("there is one");
            make(&mut connection, &table).await;
            let state = super::State::present(super::Version::from(5));
            let mut wrote = 0;
            for expected in super::expectations() {
                let saved = save(&mut connection, &table, &expected).await.expect("it is SQL");
                if expected.holds(&state) {
                    assert_eq!(saved, Compared::Wrote((6,)), "{expected:?}");
                    wrote += 1;
                } else {
                    let first = Some((5, "first".to_owned()));
                    assert_eq!(saved, Compared::Conflict(first), "{expected:?}");
                }
                let back = format!("UPDATE {table} SET version = 5, body = 'first'");
                connection.execute(&*back).await.expect("it can be set back");
            }
            assert!(wrote > 30, "{wrote}");
            let delete = format!("DELETE FROM {table} WHERE uuid = 'one'");
            connection.execute(&*delete).await.expect("it can be deleted");
            let saved = save(&mut connection, &table, &Expected::default()).await;
            assert_eq!(saved.expect("it is SQL"), Compared::Conflict(None));
        }

        #[tokio::test]
        async fn who_writes_around_http_bumps_the_version_too() {
            use tower_conditional::store::sql::{TableName, version_trigger};
            let Some((pool, table)) = $pool().await else { return };
            let mut connection = pool.acquire().await.expect("there is one");
            make(&mut connection, &table).await;
            let name = TableName::new(&table).expect("a plain name");
            let trigger = version_trigger::<$database>(&name, "uuid", "version").expect("plain");
            for _ in 0..2 {
                connection.execute(&*trigger).await.expect("it may be run again");
            }
            let mut last = 5;
            for update in [
                "body = 'by staff'",
                "version = 5",
                "version = 1000, body = 'far ahead'",
                "version = version",
                "version = version + 1",
                "uuid = 'one'",
                "version = 0, uuid = 'one'",
            ] {
                let update = format!("UPDATE {table} SET {update} WHERE uuid = 'one'");
                connection.execute(&*update).await.expect("it is SQL");
                let select = format!("SELECT version FROM {table} ORDER BY uuid");
                let versions: Vec<i64> = sqlx::query_scalar(&select)
                    .fetch_all(&mut *connection)
                    .await
                    .expect("it is SQL");
                last += 1;
                assert_eq!(versions, [last, 5], "{update}");
            }
            let saved = save(&mut connection, &table, &super::expecting(5)).await;
            assert!(matches!(saved, Ok(Compared::Conflict(Some((now, _)))) if now == last));
            let saved = save(&mut connection, &table, &super::expecting(12)).await;
            assert!(matches!(saved, Ok(Compared::Wrote((13,)))), "{saved:?}");
        }
    };
}

#[cfg(feature = "sqlx-sqlite")]
mod sqlite {
    async fn pool() -> Option<(sqlx::SqlitePool, String)> {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect("sqlite::memory:").await;
        Some((pool.expect("it is built in"), "orders".to_owned()))
    }

    compares!(sqlx::Sqlite, pool);
}

#[cfg(feature = "sqlx-postgres")]
mod postgres {
    use std::time::Duration;

    use crate::sql::postgres::{name, pool as pool_on};
    use crate::support::postgres::shared;

    async fn pool() -> Option<(sqlx::PgPool, String)> {
        Some((pool_on(shared()?.options()), name()))
    }

    compares!(sqlx::Postgres, pool);

    /// A conflict that is found after a wait is with the row as it is after the wait.
    #[tokio::test]
    async fn a_conflict_is_told_with_the_row_that_it_is_with_at_every_isolation_level() {
        let Some(server) = shared() else { return };
        for level in ["read committed", "repeatable read", "serializable"] {
            let level = level.replace(' ', r"\ ");
            let options = server
                .options()
                .options([("default_transaction_isolation", level)]);
            let (pool, table) = (pool_on(options), name());
            let mut connection = pool.acquire().await.expect("there is one");
            make(&mut connection, &table).await;
            drop(connection);

            let mut first = pool.begin().await.expect("the server is there");
            let saved = save(&mut first, &table, &super::expecting(5)).await;
            assert!(matches!(saved, Ok(Compared::Wrote((6,)))), "{saved:?}");
            let second = {
                let (pool, table) = (pool.clone(), table.clone());
                tokio::spawn(async move {
                    let mut connection = pool.acquire().await?;
                    save(&mut connection, &table, &super::expecting(5)).await
                })
            };
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1";
            loop {
                let count: i64 = sqlx::query_scalar(waiting)
                    .bind(format!("%{table}%"))
                    .fetch_one(&pool)
                    .await
                    .expect("the server is there");
                if count > 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            first.commit().await.expect("the server is there");
            let saved = second.await.expect("no panic").expect("it is no error");
            assert_eq!(saved, Compared::Conflict(Some((6, "changed".to_owned()))));
        }
    }
}
