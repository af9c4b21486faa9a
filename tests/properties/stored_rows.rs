//! An answer comes back from a database as it was stored, whatever is in it; and what somebody else
//! has written there is read as an answer or as an error, and never panics.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use tokio::runtime::{Builder, Runtime};
use tower_conditional::idempotency::sql::SqliteIdempotencyStore;
use tower_conditional::idempotency::{
    BeginOptions, Begun, Ending, Fingerprint, IdempotencyStore, RecordKey, Settlement,
    StoredResponse,
};
use tower_conditional::store::StoreError;

use super::Property;

pub(super) const PROPERTY: Property = Property {
    name: "stored_rows",
    kinds: &["an answer", "no key", "not ours"],
    holds,
};

const OPTIONS: BeginOptions = BeginOptions {
    lease: Duration::from_secs(60),
    ttl: Duration::from_secs(600),
    instead_of: None,
};

struct Database {
    runtime: Runtime,
    pool: SqlitePool,
    store: SqliteIdempotencyStore,
}

thread_local! {
    static DATABASE: Database = Database::open();
}

/// Two bytes of a status; then lines: scope, key, content, and the fields of the answer.
fn holds(input: &[u8]) -> &'static str {
    let (status, rest) = input.split_first_chunk().unwrap_or((&[0, 200], &[]));
    let status = u16::from_be_bytes(*status);
    let mut lines = rest.splitn(4, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (scope, key, content, fields) = (next(), next(), next(), next());
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let key = RecordKey::new(text(scope), text(key));
    let response = answer(status, content, fields);
    DATABASE.with(|database| {
        let checked = database.check(&key, response, status, fields);
        database.runtime.block_on(checked)
    })
}

/// As much of it as can be an answer.
fn answer(status: u16, content: &[u8], fields: &[u8]) -> StoredResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::CREATED);
    let mut response = StoredResponse::new(status).with_content(content.to_vec());
    for line in fields.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(0));
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            response = response.with_header(name, value);
        }
    }
    match content {
        b"-" => response.without_content(),
        _ => response,
    }
}

impl Database {
    fn open() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without I/O can be built");
        let (pool, store) = runtime.block_on(async {
            let pool = SqlitePoolOptions::new().max_connections(1);
            let pool = pool.connect("sqlite::memory:").await.expect("it opens");
            let store = SqliteIdempotencyStore::open(pool.clone()).await;
            (pool, store.expect("it opens"))
        });
        Self {
            runtime,
            pool,
            store,
        }
    }

    async fn check(
        &self,
        key: &RecordKey,
        response: StoredResponse,
        status: u16,
        fields: &[u8],
    ) -> &'static str {
        sqlx::query("DELETE FROM conditional_keys")
            .execute(&self.pool)
            .await
            .expect("the table is there");
        // What no database can index, or none of them can hold.
        let (scope, name) = (key.scope(), key.key());
        let is_key = scope.len() + name.len() <= 2_048 && ![scope, name].join("").contains('\0');
        let attempt = match self.begin(key).await {
            Ok(Begun::Started(attempt)) if is_key => attempt,
            Err(StoreError::NotApplied(_)) if !is_key => return "no key",
            other => panic!("a new key does not start: {other:?}"),
        };
        assert!(matches!(self.begin(key).await, Ok(Begun::InFlight { .. })));
        let settled = self.store.settle(&attempt, Ending::Done(response.clone()));
        assert_eq!(settled.await.expect("it is stored"), Settlement::Done);
        match self.begin(key).await {
            Ok(Begun::Done { response: kept, .. }) => assert_eq!(*kept, response),
            other => panic!("there is no answer: {other:?}"),
        }

        sqlx::query("UPDATE conditional_keys SET status = ?, headers = ?")
            .bind(i64::from(status))
            .bind(fields)
            .execute(&self.pool)
            .await
            .expect("the table is there");
        match self.begin(key).await {
            Ok(Begun::Done { response, .. }) => {
                assert_eq!(response.status().as_u16(), status);
                "an answer"
            }
            Err(StoreError::Unknown(_)) => "not ours",
            other => panic!("what was done is not: {other:?}"),
        }
    }

    async fn begin(&self, key: &RecordKey) -> Result<Begun, StoreError> {
        let request = Fingerprint::of_nothing();
        self.store.begin(key, &request, OPTIONS).await
    }
}
