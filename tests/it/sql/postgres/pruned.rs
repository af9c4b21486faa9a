//! Claims that a prune overtakes: they have looked at the resource, and not claimed it yet.

use sqlx::{Executor, PgPool};
use tower_conditional::store::sql::{PostgresStore, TableName};
use tower_conditional::store::{Claim, Condition, Outcome};

use super::{pool, shared, table};
use crate::sql::shared::*;

/// Claims `key` at this isolation level, and commits `prune` when the claim waits for it.
async fn claim_amid(
    admin: &PgPool,
    level: &str,
    table: &TableName,
    key: &'static str,
    prune: &[String],
) -> Claim {
    let mut transaction = admin.begin().await.expect("the server is there");
    for statement in prune {
        transaction.execute(&**statement).await.expect("it is SQL");
    }
    let server = shared().expect("it is there already");
    let level = level.replace(' ', r"\ ");
    let options = server
        .options()
        .options([("default_transaction_isolation", level)]);
    let store = PostgresStore::attach(pool(options), table).await;
    let store = store.expect("it is there");
    let claim = tokio::spawn(async move {
        granted(try_claim(&store, &self::key(key), &Condition::Unconditional, AT_ONCE).await)
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND query LIKE $1 AND wait_event_type = 'Lock'";
    loop {
        let count: i64 = sqlx::query_scalar(waiting)
            .bind(format!("%{table}%"))
            .fetch_one(admin)
            .await
            .expect("the server is there");
        if count > 0 {
            break;
        }
        assert!(!claim.is_finished(), "it did not wait");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    transaction.commit().await.expect("the server is there");
    claim.await.expect("no panic")
}

#[tokio::test]
async fn a_claim_is_on_the_version_that_the_prune_has_left_and_on_none_from_before() {
    let Some(server) = shared() else { return };
    let admin = pool(server.options());
    for level in ["read committed", "repeatable read", "serializable"] {
        let table = table();
        let store = PostgresStore::open_table(admin.clone(), &table).await;
        let store = store.expect("it opens");
        let name = table.to_string().replace('"', "");
        let raise = format!("UPDATE {name}_meta SET baseline = nextval('{name}_numbers')");

        // Without a row, as far as the claim has seen: it was written and pruned since.
        let before = version(&current(&store, &key("/new")).await.state);
        let claim = claim_amid(&admin, level, &table, "/new", std::slice::from_ref(&raise)).await;
        let pruned = version(&current(&store, &key("/other")).await.state);
        assert_ne!(pruned, before);
        assert_eq!(version(claim.state()), pruned, "{level}");
        settle(&store, claim, Outcome::Unchanged).await;

        // With a row that goes.
        let before = pruned;
        let written = version(&write(&store, &key("/old"), Outcome::Written).await);
        let delete = format!("DELETE FROM {name} WHERE key = '/old'");
        let claim = claim_amid(&admin, level, &table, "/old", &[raise, delete]).await;
        assert!(
            ![&before, &written].contains(&&version(claim.state())),
            "{level}: {claim:?}"
        );
        settle(&store, claim, Outcome::Unchanged).await;
        let after = version(&current(&store, &key("/old")).await.state);
        assert!(![&before, &written].contains(&&after), "{level}");
    }
}
