//! axum-idempotent, as its README has it: sessions in memory, the key in a field.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use axum_idempotent::{IdempotentLayer, IdempotentOptions};
use harness::{Case, Work};
use http::header::{CONTENT_TYPE, COOKIE, HeaderValue, SET_COOKIE};
use http::{Request, StatusCode};
use ruts::store::Ttl;
use ruts::store::moka::MokaStore;
use ruts::{CookieOptions, Session, SessionLayer};
use tokio::runtime;
use tower::{Service, ServiceExt};
use tower_cookies::CookieManagerLayer;

fn app() -> Router {
    let options =
        IdempotentOptions::default().use_idempotency_key_header(Some("idempotency-key"), true);
    let resource = super::resource();
    let sell = move || async move {
        (
            StatusCode::CREATED,
            [(CONTENT_TYPE, "application/json")],
            resource,
        )
    };
    let an_hour = Ttl::new(3_600).expect("an hour is some time");
    let log_in = move |session: Session<MokaStore>| async move {
        session
            .set("user", &"till-3", an_hour, None)
            .await
            .expect("sessions are in memory");
    };
    let sessions = SessionLayer::new(Arc::new(MokaStore::builder().build()))
        .with_cookie_options(CookieOptions::build().name("session"));
    Router::new()
        .route(super::PATH, post(sell))
        .layer(IdempotentLayer::<MokaStore>::new(options))
        .route("/log-in", post(log_in))
        .layer(sessions)
        .layer(CookieManagerLayer::new())
}

pub(crate) fn replay(name: &'static str) -> Case {
    Case::new(name, move || {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime of one thread");
        let mut app = app();
        let log_in = Request::post("/log-in").body(Body::empty());
        let answer = runtime
            .block_on(app.clone().oneshot(log_in.expect("it is a request")))
            .expect("a router does not fail");
        let cookie = answer
            .headers()
            .get(SET_COOKIE)
            .expect("there is a session");
        let cookie = cookie.to_str().expect("a cookie is text");
        let cookie = cookie.split(';').next().unwrap_or_default();
        let cookie = HeaderValue::try_from(cookie).expect("a cookie is a field value");
        let sale = move || {
            let mut sale = super::sale().map(Body::new);
            sale.headers_mut().insert(COOKIE, cookie.clone());
            sale
        };
        runtime
            .block_on(app.call(sale()))
            .expect("a router does not fail");
        Work::new(sale, move |sale| {
            runtime
                .block_on(app.call(sale))
                .expect("a router does not fail")
        })
        .checked(move |answer| {
            assert_eq!(answer.status(), StatusCode::CREATED, "{name}");
            assert!(
                answer.headers().contains_key("idempotency-replayed"),
                "{name}"
            );
        })
    })
}
