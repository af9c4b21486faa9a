//! Which path does what, inside which layers.

use axum::extract::DefaultBodyLimit;
use axum::http::request::Parts;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tower_conditional::axum::IncludeVersion;
use tower_conditional::digest::{DigestLayer, Field};
use tower_conditional::policy::{CurrentResource, IfMatch};
use tower_conditional::{ConditionalLayer, Policy, ResourceKey};

use crate::common::database::Database;
use crate::common::problems;
use crate::row::Kind;
use crate::{contributions, resources};

pub(crate) fn app(database: Database) -> Router {
    let policy = Policy::rfc9110()
        .if_match(IfMatch::Optional)
        // One member more, so other bytes: a tag of its own.
        .variant("version", IncludeVersion::is_asked)
        .current_resource(CurrentResource::Omit);
    let conditional = ConditionalLayer::handler().policy(policy).key(resource);
    // However long a record is, its bytes are in memory already.
    let digest = DigestLayer::new([Field::ReprDigest]).limit(usize::MAX);

    let all = |kind| post(resources::create).layer(Extension(kind));
    let one = |kind| {
        get(resources::read)
            .put(resources::put)
            .patch(resources::patch)
            .delete(resources::delete)
            .layer(Extension(kind))
    };
    let contribute: MethodRouter<Database> = post(contributions::contribute);
    let models = Router::new()
        .route("/models", all(Kind::Model))
        .route("/models/{id}", one(Kind::Model))
        .route_layer(conditional.clone());
    let records = Router::new()
        .route("/records", all(Kind::Record))
        .route("/records/{id}", one(Kind::Record))
        .route("/records/{id}/contributions", contribute)
        .route_layer(conditional)
        // Of the bytes that are sent, so outside of whatever makes them.
        .route_layer(digest);
    models
        .merge(records)
        .method_not_allowed_fallback(problems::method_not_allowed)
        .fallback(problems::not_found)
        // The handlers have a limit of their own, with a problem document.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(problems::render))
        .with_state(database)
}

/// The resource that a path is about: a contribution is a write of its record.
fn resource(parts: &Parts) -> Option<ResourceKey> {
    let path = ResourceKey::from_path(parts).as_str().to_ascii_lowercase();
    let resource = path.strip_suffix("/contributions").unwrap_or(&path);
    Some(ResourceKey::new(resource))
}
