//! Which path does what, inside which layers.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use tower_conditional::idempotency::{
    Fingerprint, IdempotencyLayer, IdempotencyPolicy, InDoubt, KeyUse,
};
use tower_conditional::policy::Reads;
use tower_conditional::{ConditionalLayer, Policy};
use uuid::Uuid;

use crate::common::database::Database;
use crate::common::json::LIMIT;
use crate::common::keys::{Keys, LEASE};
use crate::common::problems::{self, Failure};
use crate::parts::Kind;
use crate::transport::Milestone;
use crate::versions::Versions;
use crate::{openapi, orders, parts, revisions, transport};

/// What stands around the handlers.
pub(crate) struct Layers {
    pub(crate) versioned: ConditionalLayer,
    /// Milestones, where they are set.
    pub(crate) once: ConditionalLayer,
    /// Milestones, where they are revoked.
    pub(crate) revocable: ConditionalLayer,
    /// Around writes that need an idempotency key.
    pub(crate) required: IdempotencyLayer,
    pub(crate) optional: IdempotencyLayer,
}

pub(crate) fn app(database: Database, keys: Keys, token: Option<String>) -> Router {
    // Versions are compared by the handlers, in the transaction that writes: staff edit orders in
    // SQL, which no layer sees. This one is told the versions only to know what exists, because a
    // 404 comes before every other refusal.
    let versions = Versions(database.clone());
    let once = policy().set_once("milestone-already-set");
    let revocable = policy().unset("milestone-not-set");
    let layers = Layers {
        versioned: ConditionalLayer::handler_with(versions.clone()).policy(policy()),
        once: ConditionalLayer::handler_with(versions.clone()).policy(once),
        revocable: ConditionalLayer::handler_with(versions).policy(revocable),
        required: keyed(keys.clone(), KeyUse::Required),
        optional: keyed(keys, KeyUse::Optional),
    };
    let openapi = Arc::new(openapi::document(&layers));

    let orders = Router::new()
        .route(&path(""), get(orders::list).post(orders::create))
        .route_layer(layers.required);
    let mut routes = Router::new()
        .route(
            &path("/{order}"),
            get(orders::read)
                .put(orders::put)
                .patch(orders::patch)
                .delete(orders::delete)
                .route_layer(layers.versioned.clone()),
        )
        .route(&path("/{order}/revisions"), get(revisions::list));
    for kind in [Kind::Invoices, Kind::Payments] {
        let all = get(parts::list).post(parts::create);
        let one = get(parts::read).patch(parts::patch).delete(parts::delete);
        let one = one.route_layer(layers.versioned.clone());
        let name = kind.name();
        routes = routes
            .route(
                &path(&format!("/{{order}}/{name}")),
                all.layer(Extension(kind)),
            )
            .route(
                &path(&format!("/{{order}}/{name}/{{part}}")),
                one.layer(Extension(kind)),
            );
    }
    // Append-only: nothing to compare, so no layer.
    let documents = get(parts::list).post(parts::create);
    let document = get(parts::read_unversioned);
    routes = routes
        .route(
            &path("/{order}/documents"),
            documents.layer(Extension(Kind::Documents)),
        )
        .route(
            &path("/{order}/documents/{part}"),
            document.layer(Extension(Kind::Documents)),
        );
    for milestone in [Milestone::Delivery, Milestone::Pickup] {
        let set = get(transport::read).post(transport::set);
        let set = set.route_layer(layers.once.clone());
        let revoke = post(transport::revoke).route_layer(layers.revocable.clone());
        let name = milestone.name();
        routes = routes
            .route(
                &path(&format!("/{{order}}/transport/{name}")),
                set.layer(Extension(milestone)),
            )
            .route(
                &path(&format!("/{{order}}/transport/{name}/revoke")),
                revoke.layer(Extension(milestone)),
            );
    }

    let token = token.map(Arc::from);
    routes
        // Outside of the layer that compares versions: a retry still has the If-Match of the first
        // try, which the first try has made stale.
        .route_layer(layers.optional)
        .merge(orders)
        .route_layer(from_fn(uuids))
        // For clients of this service: with a TOKEN, it takes the token too.
        .route("/openapi.json", get(async move || Json(openapi)))
        .method_not_allowed_fallback(problems::method_not_allowed)
        .fallback(problems::not_found)
        // Before anything else: strangers learn neither what exists nor which version it has.
        .layer(from_fn_with_state(token, authorised))
        .layer(from_fn(problems::render))
        .with_state(database)
}

fn path(rest: &str) -> String {
    format!("/v1/partners/{{seller}}/orders{rest}")
}

fn policy() -> Policy {
    Policy::aip154()
        // Whether something may be created where nothing is, is the handler's to say: a PUT with
        // If-Match creates nothing, a milestone belongs to an order that is there.
        .creates(Method::PUT, false)
        .creates(Method::POST, false)
        .existence_first(true)
        // From the row that the handler reads anyway.
        .reads(Reads::AfterHandler)
        .read_header(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        )
        // Whoever may write an order may see all of it, and needs it to merge.
        .current_resource_limit(usize::MAX)
}

fn keyed(keys: Keys, key_use: KeyUse) -> IdempotencyLayer {
    let policy = IdempotencyPolicy::new()
        .key_use_for(Method::POST, key_use)
        .request_limit(LIMIT)
        // No media type and no query: nothing here depends on them.
        .fingerprint(|parts, content| {
            let method = parts.method.as_str().as_bytes();
            Fingerprint::of_parts([method, parts.uri.path().as_bytes(), content])
        })
        // It is in the database already, with the change.
        .answer_limit(usize::MAX)
        // For the same reason: what was not answered did not happen.
        .in_doubt(|_| InDoubt::Rerun)
        .lease(LEASE);
    IdempotencyLayer::new(keys, seller).policy(policy)
}

/// Whose key it is: the third segment of every path that has a route.
fn seller(parts: &Parts) -> Option<String> {
    let seller = parts.uri.path().split('/').nth(3)?;
    Some(seller.to_ascii_lowercase())
}

/// Sellers, orders and their parts have UUIDs; a path that names something else names nothing.
async fn uuids(
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    // Hyphenated, that is: there are spellings without.
    let is_uuid = |text: &str| text.len() == 36 && Uuid::try_parse(text).is_ok();
    match params {
        Ok(params) if params.iter().all(|(_, text)| is_uuid(text)) => next.run(request).await,
        _ => Failure::not_found().into_response(),
    }
}

/// Stands for the authentication that your service has.
async fn authorised(
    State(token): State<Option<Arc<str>>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let sent = headers.get(header::AUTHORIZATION);
    let sent = sent.and_then(|value| value.to_str().ok()?.split_once(' '));
    match (&token, sent) {
        (None, _) => next.run(request).await,
        (Some(token), Some((scheme, sent)))
            if scheme.eq_ignore_ascii_case("bearer") && sent.trim() == &**token =>
        {
            next.run(request).await
        }
        (Some(_), _) => {
            let failure = Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized")
                .detail("Send the bearer token of this service.");
            ([(header::WWW_AUTHENTICATE, "Bearer")], failure).into_response()
        }
    }
}
