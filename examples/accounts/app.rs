//! Which path does what, inside which layers.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use tower_conditional::policy::{CurrentResource, IfMatch};
use tower_conditional::tags::Opaque;
use tower_conditional::{ConditionalLayer, Policy, ResourceKey};

use crate::accounts;
use crate::common::database::Database;
use crate::common::problems;

pub(crate) fn app(database: Database, tags: Opaque) -> Router {
    let policy = Policy::rfc9110()
        .if_match(IfMatch::Optional)
        .tags(tags)
        // On the 200, and the same on the 304.
        .read_header(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        )
        .current_resource(CurrentResource::Omit);
    let conditional = ConditionalLayer::handler().policy(policy).key(account);
    Router::new()
        .route(
            "/accounts",
            post(accounts::create).route_layer(conditional.clone()),
        )
        .route(
            "/accounts/{id}",
            get(accounts::read)
                .put(accounts::put)
                .patch(accounts::patch)
                .delete(accounts::delete)
                .route_layer(conditional.clone()),
        )
        .route(
            "/accounts/{id}/close",
            post(accounts::close).route_layer(conditional),
        )
        .method_not_allowed_fallback(problems::method_not_allowed)
        .fallback(problems::not_found)
        // The handlers have a limit of their own, with a problem document.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(problems::render))
        .with_state(database)
}

/// The account that a path is about, whoever spells its id in upper case: tags are bound to this
/// key, and those of an account are good for its actions too.
fn account(parts: &Parts) -> Option<ResourceKey> {
    let path = ResourceKey::from_path(parts).as_str().to_ascii_lowercase();
    let account = path.strip_suffix("/close").unwrap_or(&path);
    Some(ResourceKey::new(account))
}
