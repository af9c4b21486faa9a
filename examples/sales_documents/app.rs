//! Which function does what, and which of them wait for their turn.

use axum::extract::{RawQuery, State};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower_conditional::SequenceLayer;

use crate::common::json::JsonObject;
use crate::common::problems;
use crate::documents::{Documents, Kind, Sent, id_in, parse_id};
use crate::envelope::{self, Record, Refused};

pub(crate) fn app(documents: Documents, turns: SequenceLayer) -> Router {
    let mut routes = Router::new();
    for kind in Kind::ALL {
        let name = kind.name();
        let about = Extension(kind);
        routes = routes
            .route(&format!("/api/get{name}"), get(read).layer(about))
            .route(&format!("/api/save{name}"), post(save).layer(about));
        // What was paid stays paid.
        if kind != Kind::Payment {
            routes = routes.route(&format!("/api/delete{name}"), post(delete).layer(about));
        }
    }
    routes
        .route_layer(turns)
        .method_not_allowed_fallback(problems::method_not_allowed)
        .fallback(problems::not_found)
        .layer(from_fn(envelope::write))
        .with_state(documents)
}

async fn save(
    State(documents): State<Documents>,
    Extension(kind): Extension<Kind>,
    JsonObject(body): JsonObject,
) -> Result<Record, Refused> {
    let sent = Sent::try_from(body)?;
    let document = match sent.id {
        Some(id) => documents.replace(kind, id, sent).await?,
        None => documents.create(kind, sent).await?,
    };
    Ok(Record(document))
}

async fn delete(
    State(documents): State<Documents>,
    Extension(kind): Extension<Kind>,
    JsonObject(body): JsonObject,
) -> Result<Record, Refused> {
    let id = id_in(&body)?.ok_or(Refused::UNKNOWN_ID)?;
    Ok(Record(documents.delete(kind, id).await?))
}

async fn read(
    State(documents): State<Documents>,
    Extension(kind): Extension<Kind>,
    RawQuery(query): RawQuery,
) -> Result<Record, Refused> {
    let query = query.unwrap_or_default();
    // Taken as it is: nothing in an id is ever percent-encoded.
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id="));
    let id = parse_id(id.ok_or(Refused::UNKNOWN_ID)?)?;
    Ok(Record(documents.read(kind, id).await?))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::{Request, header};
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};
    use tokio::task::JoinSet;
    use tower::ServiceExt as _;

    use super::*;
    use crate::common::database::Database;
    use crate::documents::SCHEMA;
    use crate::turns;

    /// Documents in memory, and claims at `url`.
    async fn app_with(url: Option<&str>) -> Router {
        let database = Database::in_memory(&SCHEMA).await.expect("a database");
        let store = turns::store(url).await.expect("a store");
        let hour = Duration::from_secs(3600);
        app(Documents::new(database, hour), turns::layer(store, hour))
    }

    /// A database that goes when the test is over.
    struct File(PathBuf);

    impl Drop for File {
        fn drop(&mut self) {
            for suffix in ["", "-shm", "-wal"] {
                let _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
            }
        }
    }

    async fn call(app: &Router, function: &str, body: &Value) -> Value {
        let request = Request::post(format!("/api/{function}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let response = app.clone().oneshot(request).await.expect("an answer");
        let body = response.into_body().collect().await.expect("its body");
        serde_json::from_slice(&body.to_bytes()).expect("JSON")
    }

    #[tokio::test]
    async fn a_retry_creates_nothing() {
        let app = app_with(None).await;
        for (body, code) in [
            (json!({"temporaryUUID": "u"}), 0),
            (json!({"temporaryUUID": "u"}), 1206),
            (json!({"temporaryUUID": "v"}), 0),
        ] {
            let answer = call(&app, "saveSalesDocument", &body).await;
            assert_eq!(answer["status"]["errorCode"], code, "{body}");
        }
    }

    // One thread, whose tasks start in the order in which they were spawned.
    #[tokio::test(flavor = "current_thread")]
    async fn saves_happen_in_the_order_of_arrival_though_the_database_keeps_none() {
        let file = File(std::env::temp_dir().join(format!("{}.db", uuid::Uuid::new_v4())));
        let app = app_with(Some(&format!("sqlite://{}", file.0.display()))).await;
        let created = call(&app, "savePayment", &json!({"n": 0})).await;
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut saves = JoinSet::new();
        for n in 1..=50 {
            let (app, done) = (app.clone(), Arc::clone(&done));
            let body = json!({"id": created["records"][0]["id"], "n": n});
            saves.spawn(async move {
                let saved = call(&app, "savePayment", &body).await;
                done.lock()
                    .expect("no panic")
                    .push(saved["records"][0]["n"].clone());
            });
        }
        saves.join_all().await;
        let expected: Vec<_> = (1..=50).map(Value::from).collect();
        assert_eq!(*done.lock().expect("no panic"), expected);
    }
}
