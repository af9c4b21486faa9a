//! Tells the layer what exists, and in which version.

use tower_conditional::store::{Answer, Snapshot, State, StoreError, Version};
use tower_conditional::{ResourceKey, VersionStore};
use uuid::Uuid;

use crate::common::database::Database;

/// The versions in the tables. Keys are paths.
#[derive(Clone)]
pub(crate) struct Versions(pub(crate) Database);

impl VersionStore for Versions {
    fn current(&self, key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let database = self.0.clone();
        let key = key.clone();
        Answer::later(async move {
            let version = find(&database, key.as_str()).await;
            let version = version.map_err(StoreError::not_applied)?;
            let state = version.map_or(State::Absent, |version| {
                State::present(Version::from(version))
            });
            // There is no state in between: what is written is committed.
            Ok(Snapshot::settled(state))
        })
    }
}

async fn find(database: &Database, path: &str) -> Result<Option<i64>, sqlx::Error> {
    // Whatever the spelling in the path, the tables have it in lower case.
    let uuid = |text: &str| Uuid::try_parse(text).map(|uuid| uuid.to_string()).ok();
    let segments: Vec<_> = path.split('/').collect();
    let ["", "v1", "partners", seller, "orders", order, ref rest @ ..] = *segments else {
        return Ok(None);
    };
    let (select, kind, item) = match *rest {
        [] => (
            "SELECT version FROM orders WHERE seller = $1 AND uuid = $2",
            None,
            None,
        ),
        // Also the path that revokes it.
        ["transport", milestone, ..] => (
            "SELECT id FROM milestones WHERE seller = $1 AND order_uuid = $2 AND name = $3",
            Some(milestone),
            None,
        ),
        [kind, part] => (
            "SELECT version FROM order_parts \
             WHERE seller = $1 AND order_uuid = $2 AND kind = $3 AND uuid = $4",
            Some(kind),
            uuid(part),
        ),
        _ => return Ok(None),
    };
    let mut query = sqlx::query_scalar(select)
        .bind(uuid(seller))
        .bind(uuid(order));
    for parameter in [kind.map(str::to_owned), item].into_iter().flatten() {
        query = query.bind(parameter);
    }
    query.fetch_optional(database.pool()).await
}
