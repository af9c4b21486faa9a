//! HTTP/1.1 on a socket: what stands in the bytes, and what is not read.

use axum::Router;
use axum::routing::get_service;
use tower::Layer;
use tower_conditional::policy::{Reads, RequestBodies};
use tower_conditional::runtime::Runtime;
use tower_conditional::store::Intent;
use tower_conditional::{ConditionalLayer, Policy};

use crate::support::{CallEnd, Raw, ScriptedStore, Server, Site, Step, in_time, until, watched};

const PATH: &str = "/notes/1";

/// Plain hyper and axum, reads before and after the handler: axum and hyper each have their own
/// idea of what a response without content says of its length.
async fn readers() -> Vec<(&'static str, Server)> {
    let mut servers = Vec::new();
    for (name, reads) in [
        ("before", Reads::BeforeHandler),
        ("after", Reads::AfterHandler),
    ] {
        let site = Site::marking(&[(PATH, "text")], |_, response| {
            let tag = http::HeaderValue::from_static(r#""5""#);
            response.headers_mut().insert("etag", tag);
        });
        let layer = ConditionalLayer::new(ScriptedStore::at_once().present(PATH, 5))
            .policy(Policy::rfc9110().reads(reads));
        let router = Router::new().route("/notes/{id}", get_service(site.service()));
        let inside = router.clone().layer(layer.clone());
        servers.extend([
            (name, Server::start(layer.layer(site.service())).await),
            (name, Server::start(inside).await),
            (name, Server::start(layer.layer(router)).await),
        ]);
    }
    servers
}

#[tokio::test]
async fn a_304_says_nothing_of_content() {
    for (reads, server) in readers().await {
        let mut client = Raw::connect(&server).await;
        for method in ["HEAD", "GET", "HEAD", "GET"] {
            // One connection: a single byte of content would spoil the next answer.
            let ask =
                format!("{method} {PATH} HTTP/1.1\r\nhost: a\r\nif-none-match: \"5\"\r\n\r\n");
            client.send(ask).await;
            let head = client.head().await;
            assert!(
                head.starts_with("http/1.1 304 "),
                "{reads} {method}: {head}"
            );
            assert!(head.contains("etag: \"5\""), "{reads} {method}: {head}");
            for absent in ["content-length", "transfer-encoding", "content-type"] {
                assert!(!head.contains(absent), "{reads} {method}: {head}");
            }
        }
        client
            .send(format!("GET {PATH} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await;
        let head = client.head().await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(head.contains("content-length: 4"), "{head}");
    }
}

const MEGABYTES: usize = 3 * 1024 * 1024;

/// Refused by their header alone: field, policy, status.
fn refused() -> [(&'static str, Policy, &'static str); 4] {
    [
        ("if-match: \"4\"", Policy::rfc9110(), "412"),
        ("if-match: \"4\"", Policy::aip154(), "409"),
        ("x-nothing: 1", Policy::rfc9110(), "428"),
        ("if-none-match: *", Policy::rfc9110(), "412"),
    ]
}

#[tokio::test]
async fn an_upload_that_is_refused_is_not_read() {
    for store in [ScriptedStore::at_once(), ScriptedStore::later()] {
        for (field, policy, status) in refused() {
            for length in [
                format!("content-length: {MEGABYTES}"),
                "transfer-encoding: chunked".to_owned(),
            ] {
                let site = Site::new(&[(PATH, "old")]);
                let store = store.clone().present(PATH, 5);
                let layer = ConditionalLayer::new(store.clone()).policy(policy.clone());
                let server = Server::start(layer.layer(site.service())).await;
                let mut client = Raw::connect(&server).await;
                // Nothing but the header is sent before the answer is there.
                let head = format!("PUT {PATH} HTTP/1.1\r\nhost: a\r\n{field}\r\n{length}\r\n\r\n");
                client.send(head).await;
                let head = client.head().await;
                assert!(
                    head.starts_with(&format!("http/1.1 {status} ")),
                    "{field}: {head}"
                );
                assert!(head.contains("cache-control: no-store"), "{head}");
                assert!(site.calls().is_empty(), "the handler ran: {field}");
                assert!(!store.asked().contains(&Step::Claim), "{field}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_expects_100_is_refused_without_one() {
    for store in [ScriptedStore::at_once(), ScriptedStore::later()] {
        let site = Site::new(&[(PATH, "old")]);
        let layer = ConditionalLayer::new(store.present(PATH, 5));
        let server = Server::start(layer.layer(site.service())).await;
        for (fields, status) in [
            (
                format!("if-match: \"4\"\r\ncontent-length: {MEGABYTES}"),
                412,
            ),
            (format!("content-length: {MEGABYTES}"), 428),
            (
                format!("if-match: \"5\"\r\ncontent-length: {MEGABYTES}"),
                413,
            ),
        ] {
            let mut client = Raw::connect(&server).await;
            client
                .send(format!(
                    "PUT {PATH} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n{fields}\r\n\r\n"
                ))
                .await;
            let head = client.head().await;
            assert!(
                head.starts_with(&format!("http/1.1 {status} ")),
                "{fields}: {head}"
            );
        }
        assert!(site.calls().is_empty(), "the handler ran");

        let mut client = Raw::connect(&server).await;
        client
            .send(format!(
                "PUT {PATH} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nif-match: \"5\"\r\n\
                 content-length: 3\r\n\r\n"
            ))
            .await;
        assert!(client.head().await.starts_with("http/1.1 100 "));
        client.send("new").await;
        let head = client.head().await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(head.contains("etag: \"6\""), "{head}");
    }
}

/// A small site behind a limit of 16 bytes.
struct Limited {
    site: Site,
    store: ScriptedStore,
    server: Server,
    ends: tokio::sync::mpsc::UnboundedReceiver<CallEnd>,
}

async fn limited() -> Limited {
    let site = Site::new(&[(PATH, "old")]);
    let store = ScriptedStore::at_once().present(PATH, 5);
    let layer = ConditionalLayer::new(store.clone())
        .policy(Policy::rfc9110().request_body(RequestBodies::Buffer(16)));
    let (service, ends) = watched(layer.layer(site.service()));
    Limited {
        site,
        store,
        server: Server::start(service).await,
        ends,
    }
}

#[tokio::test]
async fn content_is_accepted_up_to_the_limit_and_no_further() {
    let exact = "0123456789abcdef";
    for (name, framed, status) in [
        ("exact", format!("content-length: 16\r\n\r\n{exact}"), 200),
        (
            "exact in chunks",
            "transfer-encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n89abcdef\r\n0\r\n\r\n"
                .to_owned(),
            200,
        ),
        // Not one byte of it is sent.
        ("one more", "content-length: 17\r\n\r\n".to_owned(), 413),
        // Nor does it ever end.
        (
            "one more in chunks",
            format!("transfer-encoding: chunked\r\n\r\n10\r\n{exact}\r\n1\r\nx\r\n"),
            413,
        ),
    ] {
        let Limited {
            site,
            store,
            server,
            ..
        } = limited().await;
        let mut client = Raw::connect(&server).await;
        let head = format!("PUT {PATH} HTTP/1.1\r\nhost: a\r\nif-match: \"5\"\r\n{framed}");
        client.send(head).await;
        let head = client.head().await;
        assert!(
            head.starts_with(&format!("http/1.1 {status} ")),
            "{name}: {head}"
        );
        let (note, version) = (site.note(PATH), store.version(PATH));
        if status == 200 {
            assert_eq!((note.as_deref(), version), (Some(exact), Some(6)), "{name}");
        } else {
            assert_eq!((note.as_deref(), version), (Some("old"), Some(5)), "{name}");
            assert!(site.calls().is_empty(), "{name}: the handler ran");
            assert!(!store.asked().contains(&Step::Claim), "{name}");
            assert!(client.rest().await.contains("/problems/content-too-large"));
        }
    }
}

#[tokio::test]
async fn of_an_upload_that_breaks_off_nothing_has_happened() {
    let Limited {
        site,
        store,
        server,
        mut ends,
    } = limited().await;
    let mut client = Raw::connect(&server).await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: a\r\nif-match: \"5\"\r\n");
    client
        .send(format!("{head}content-length: 9\r\n\r\nhalf"))
        .await;
    drop(client);
    in_time(ends.recv()).await.unwrap();
    assert!(site.calls().is_empty(), "the handler ran");
    assert!(!store.asked().contains(&Step::Claim));
    assert_eq!(store.version(PATH), Some(5));
}

#[tokio::test]
async fn a_chunk_that_cannot_be_read_is_a_bad_request() {
    let Limited {
        site,
        store,
        server,
        ..
    } = limited().await;
    let mut client = Raw::connect(&server).await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: a\r\nif-match: \"5\"\r\n");
    client
        .send(format!(
            "{head}transfer-encoding: chunked\r\n\r\n3\r\nnew\r\nnonsense\r\n\r\n"
        ))
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("/problems/content-unreadable"), "{answer}");
    assert!(site.calls().is_empty(), "the handler ran");
    assert_eq!(store.version(PATH), Some(5));
}

/// A write whose handler is in the middle of it when its client leaves.
async fn left_in_the_middle(runtime: Runtime) -> (Site, ScriptedStore) {
    let site = Site::new(&[(PATH, "old")]);
    let store = ScriptedStore::later().present(PATH, 5);
    let layer = ConditionalLayer::with_runtime(store.clone(), runtime);
    let (service, mut ends) = watched(layer.layer(site.service()));
    let server = Server::start(service).await;

    site.hold_writes();
    let mut client = Raw::connect(&server).await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: a\r\nif-match: \"5\"\r\n");
    client
        .send(format!("{head}content-length: 3\r\n\r\nnew"))
        .await;
    in_time(site.write_began()).await;
    drop(client);
    assert_eq!(in_time(ends.recv()).await, Some(CallEnd::Dropped));
    (site, store)
}

#[tokio::test]
async fn a_write_whose_client_left_is_finished() {
    let (site, store) = left_in_the_middle(Runtime::tokio()).await;
    assert_eq!((store.claims(), store.version(PATH)), (1, Some(5)));
    site.let_through(1);
    until(|| store.claims() == 0).await;
    assert_eq!(site.note(PATH).as_deref(), Some("new"));
    assert_eq!(store.version(PATH), Some(6));
    assert_eq!(store.abandoned(), 0);
}

#[tokio::test]
async fn a_write_that_could_not_be_detached_is_in_doubt_when_its_client_left() {
    let (site, store) = left_in_the_middle(Runtime::inline()).await;
    assert_eq!(site.note(PATH).as_deref(), Some("old"));
    assert_eq!((store.abandoned(), store.claims()), (1, 0));
    // Nobody knows what it did: the old tag is used up.
    assert_eq!(store.version(PATH), Some(6));
}

#[tokio::test]
async fn a_write_whose_client_left_the_queue_does_not_happen() {
    let site = Site::new(&[(PATH, "old")]);
    let store = ScriptedStore::at_once()
        .present(PATH, 5)
        .held(PATH, Some(Intent::Write));
    let layer = ConditionalLayer::new(store.clone());
    let (service, mut ends) = watched(layer.layer(site.service()));
    let server = Server::start(service).await;

    let mut client = Raw::connect(&server).await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: a\r\nif-match: \"5\"\r\n");
    client
        .send(format!("{head}content-length: 3\r\n\r\nnew"))
        .await;
    until(|| store.asked().contains(&Step::Claim)).await;
    drop(client);
    assert_eq!(in_time(ends.recv()).await, Some(CallEnd::Dropped));

    let store = store.held(PATH, None);
    until(|| store.asked().contains(&Step::Settle) && store.claims() == 0).await;
    assert!(site.calls().is_empty(), "the handler ran");
    assert_eq!(store.version(PATH), Some(5));
}
