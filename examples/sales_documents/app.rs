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
