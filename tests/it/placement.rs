//! Where the layer can stand, and what that means for keys, for unknown methods and for unknown
//! paths.

use axum::Router;
use axum::body::Body;
use axum::routing::{MethodRouter, get_service};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_conditional::{ConditionalLayer, Policy};

use crate::support::{ScriptedStore, Seen, Server, Site, http2, in_time, request, see};

const PATH: &str = "/notes/1";

fn note() -> (Site, ScriptedStore, ConditionalLayer) {
    let site = Site::new(&[(PATH, "old")]);
    let store = ScriptedStore::at_once().present(PATH, 5);
    let layer = ConditionalLayer::new(store.clone());
    (site, store, layer)
}

fn methods(site: &Site) -> MethodRouter {
    get_service(site.service())
        .put_service(site.service())
        .delete_service(site.service())
}

async fn through(router: Router, request: Request<Full<Bytes>>) -> Seen {
    see(router.oneshot(request.map(Body::new)).await.unwrap()).await
}

fn put(path: &str, tag: &str) -> Request<Full<Bytes>> {
    request("PUT", path, &[("if-match", tag)], "new")
}

fn routers() -> [(&'static str, fn(&Site, ConditionalLayer) -> Router); 5] {
    [
        ("Router::layer", |site, layer| {
            Router::new()
                .route("/notes/{id}", methods(site))
                .layer(layer)
        }),
        ("Router::route_layer", |site, layer| {
            Router::new()
                .route("/notes/{id}", methods(site))
                .route_layer(layer)
        }),
        ("MethodRouter::layer", |site, layer| {
            Router::new().route("/notes/{id}", methods(site).layer(layer))
        }),
        ("MethodRouter::route_layer", |site, layer| {
            Router::new().route("/notes/{id}", methods(site).route_layer(layer))
        }),
        ("ServiceBuilder", |site, layer| {
            let layers = ServiceBuilder::new()
                .map_request(|request: Request<Body>| request)
                .layer(layer)
                .map_response(|response: http::Response<Body>| response);
            Router::new()
                .route("/notes/{id}", methods(site))
                .layer(layers)
        }),
    ]
}

#[tokio::test]
async fn every_place_in_an_axum_router_guards_the_same() {
    for (place, router) in routers() {
        let (site, store, layer) = note();
        let router = || router(&site, layer.clone());

        let read = through(router(), request("GET", PATH, &[], "")).await;
        assert_eq!((read.status, read.etag()), (200, Some(r#""5""#)), "{place}");
        let same = [("if-none-match", r#""5""#)];
        let unchanged = through(router(), request("GET", PATH, &same, "")).await;
        assert_eq!(unchanged.status, 304, "{place}");

        let stale = through(router(), put(PATH, r#""4""#)).await;
        assert_eq!(stale.status, 412, "{place}");
        assert_eq!(site.calls(), ["GET /notes/1"], "{place}");
        let written = through(router(), put(PATH, r#""5""#)).await;
        assert_eq!(
            (written.status, written.etag()),
            (200, Some(r#""6""#)),
            "{place}"
        );
        assert_eq!(store.keys(), [PATH], "{place}");
    }
}

#[tokio::test]
async fn a_layer_around_a_whole_router_guards_the_same() {
    let (site, store, layer) = note();
    let router = Router::new().route("/notes/{id}", methods(&site));
    let service = layer.layer(router);
    let ask = |request: Request<Full<Bytes>>| service.clone().oneshot(request);

    let stale = see(ask(put(PATH, r#""4""#)).await.unwrap()).await;
    assert_eq!(stale.status, 412);
    let written = see(ask(put(PATH, r#""5""#)).await.unwrap()).await;
    assert_eq!((written.status, written.etag()), (200, Some(r#""6""#)));
    assert_eq!(store.keys(), [PATH]);
}

#[tokio::test]
async fn a_plain_hyper_service_is_guarded_the_same() {
    let (site, _, layer) = note();
    let server = Server::start(layer.layer(site.service())).await;
    let mut client = http2(&server).await;
    let mut ask = async |request: Request<Full<Bytes>>| {
        see(in_time(client.send_request(request)).await.unwrap()).await
    };
    let absolute = |path| format!("http://notes.example{path}");

    let stale = ask(put(&absolute(PATH), r#""4""#)).await;
    assert_eq!(stale.status, 412);
    let written = ask(put(&absolute(PATH), r#""5""#)).await;
    assert_eq!((written.status, written.etag()), (200, Some(r#""6""#)));
}

/// The feature `axum` sees what a nested router cut off; without it, the layer stands outside.
#[tokio::test]
async fn two_nests_with_the_same_inner_path_have_different_keys() {
    let site = Site::new(&[(PATH, "old")]);
    let store = ScriptedStore::at_once()
        .present("/drafts/notes/1", 5)
        .present("/final/notes/1", 7);
    let layer = ConditionalLayer::new(store.clone());
    let inner = || {
        Router::new()
            .route("/notes/{id}", methods(&site))
            .layer(layer.clone())
    };
    let router = || {
        let deeper = Router::new().nest("/final", inner());
        Router::new().nest("/drafts", inner()).merge(deeper)
    };

    let written = through(router(), put("/drafts/notes/1", r#""5""#)).await;
    assert_eq!((written.status, written.etag()), (200, Some(r#""6""#)));
    let stale = through(router(), put("/final/notes/1", r#""5""#)).await;
    assert_eq!((stale.status, stale.etag()), (412, Some(r#""7""#)));
    assert_eq!(store.keys(), ["/drafts/notes/1", "/final/notes/1"]);
}

#[tokio::test]
async fn nests_have_different_keys_under_a_layer_around_them() {
    let site = Site::new(&[(PATH, "old")]);
    let store = ScriptedStore::at_once()
        .present("/drafts/notes/1", 5)
        .present("/final/notes/1", 7);
    let inner = || Router::new().route("/notes/{id}", methods(&site));
    let router = Router::new()
        .nest("/drafts", inner())
        .nest("/final", inner())
        .layer(ConditionalLayer::new(store.clone()));

    let stale = through(router, put("/final/notes/1", r#""5""#)).await;
    assert_eq!((stale.status, stale.etag()), (412, Some(r#""7""#)));
    assert_eq!(store.keys(), ["/drafts/notes/1", "/final/notes/1"]);
}

/// axum wraps its own 405 and 404 in all layers but those of `MethodRouter::route_layer`.
#[tokio::test]
async fn an_unknown_method_is_405_at_once_under_the_route_layer_of_its_method_router() {
    for (place, router) in routers() {
        let (site, store, layer) = note();
        let patch = request("PATCH", PATH, &[], "new");
        let seen = through(router(&site, layer.clone()), patch).await;
        if place == "MethodRouter::route_layer" {
            assert_eq!(seen.status, 405, "{place}");
            assert_eq!(seen.header("allow"), Some("GET,HEAD,PUT,DELETE"));
            assert_eq!(store.asked(), [], "{place}");
        } else {
            assert_eq!(seen.status, 428, "{place}");
        }

        // Who sends If-Match learns it everywhere, and nothing changes.
        let patch = request("PATCH", PATH, &[("if-match", r#""5""#)], "new");
        let seen = through(router(&site, layer), patch).await;
        assert_eq!(seen.status, 405, "{place}");
        assert_eq!(seen.etag(), None, "{place}");
        assert_eq!(site.note(PATH).as_deref(), Some("old"), "{place}");
        assert_eq!((store.version(PATH), store.claims()), (Some(5), 0));
    }
}

#[tokio::test]
async fn an_unknown_method_is_405_where_the_policy_lets_it_through() {
    let (site, _, layer) = note();
    let policy = std::sync::Arc::new(Policy::rfc9110());
    let layer = layer.policy_for(move |parts| {
        let known = ["GET", "HEAD", "PUT", "DELETE"].contains(&parts.method.as_str());
        known.then(|| policy.clone())
    });
    let router = Router::new()
        .route("/notes/{id}", methods(&site))
        .layer(layer);
    let seen = through(router, request("PATCH", PATH, &[], "new")).await;
    assert_eq!(seen.status, 405);
}

#[tokio::test]
async fn an_unknown_path_is_404_at_once_under_a_route_layer() {
    for (place, router) in routers() {
        let (site, store, layer) = note();
        let write = request("PUT", "/nowhere", &[], "new");
        let seen = through(router(&site, layer.clone()), write).await;
        let around_the_fallback = ["Router::layer", "ServiceBuilder"].contains(&place);
        let expected = if around_the_fallback { 428 } else { 404 };
        assert_eq!(seen.status, expected, "{place}");

        let read = through(router(&site, layer), request("GET", "/nowhere", &[], "")).await;
        assert_eq!((read.status, read.etag()), (404, None), "{place}");
        if !around_the_fallback {
            assert_eq!(store.keys(), [PATH], "{place}");
        }
    }
}
