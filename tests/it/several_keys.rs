//! Writes that move other resources along: all of them or none, and nobody waits for ever.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Barrier;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::policy::{Busy, IfMatch};
use tower_conditional::problem::Reason;
use tower_conditional::report::Report;
use tower_conditional::store::Intent;
use tower_conditional::{ConditionalLayer, MemoryStore, Policy, RequestBody, ResourceKey, Runtime};

use crate::support::{Failure, ScriptedStore, Site, Step, ask, in_time, request, until};

const ITEM: &str = "/orders/5";
const LIST: &str = "/orders";
/// After the item in the order of keys, as the list is before it.
const LATER: &str = "/totals";

fn policy() -> Policy {
    Policy::rfc9110().also_moves(|_, key| {
        let mut others: Vec<_> = key.parent().into_iter().collect();
        // Itself and the same one twice: neither may be waited for.
        others.extend([
            key.clone(),
            ResourceKey::new(LATER),
            ResourceKey::new(LATER),
        ]);
        others
    })
}

fn store() -> ScriptedStore {
    [ITEM, LIST, LATER]
        .into_iter()
        .fold(ScriptedStore::later(), |store, key| store.present(key, 7))
}

fn site() -> Site {
    Site::new(&[(ITEM, "old")])
}

fn answering(status: u16) -> Site {
    Site::marking(&[(ITEM, "old")], move |_, response| {
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
    })
}

#[track_caller]
fn assert_versions(store: &ScriptedStore, expected: u64, what: &str) {
    for key in [ITEM, LIST, LATER] {
        assert_eq!(store.version(key), Some(expected), "{key}: {what}");
    }
    assert_eq!(store.claims(), 0, "{what}");
}

#[tokio::test]
async fn a_write_moves_all_of_them_or_none() {
    let conflict = Site::marking(&[(ITEM, "old")], |_, response| {
        let conflict = Report::Conflict { current: None };
        response.extensions_mut().insert(conflict);
    });
    let unchanged = Site::marking(&[(ITEM, "old")], |_, response| {
        response.extensions_mut().insert(Report::Unchanged);
    });
    let panics = Site::marking(&[(ITEM, "old")], |_, _| panic!("on purpose"));
    for (what, tag, site, status, version) in [
        ("success", r#""7""#, site(), 200, 8),
        ("stale", r#""5""#, site(), 412, 7),
        ("a handler that refuses", r#""7""#, answering(422), 422, 7),
        (
            "a conflict that the handler sees",
            r#""7""#,
            conflict,
            412,
            7,
        ),
        ("no change", r#""7""#, unchanged, 200, 7),
        ("a handler that fails", r#""7""#, answering(500), 500, 8),
        ("a handler that panics", r#""7""#, panics, 500, 8),
    ] {
        let store = store();
        let layer = ConditionalLayer::new(store.clone()).policy(policy());
        let seen = ask(
            &layer,
            &site,
            request("PUT", ITEM, &[("if-match", tag)], "new"),
        )
        .await;
        assert_eq!(seen.status, status, "{what}");
        assert_versions(&store, version, what);
    }
}

#[tokio::test]
async fn a_deleted_item_leaves_a_list_that_has_moved() {
    let store = store();
    let layer = ConditionalLayer::new(store.clone()).policy(policy());
    let delete = request("DELETE", ITEM, &[("if-match", r#""7""#)], "");
    assert_eq!(ask(&layer, &site(), delete).await.status, 204);
    assert!(store.is_absent(ITEM));
    assert_eq!(
        (store.version(LIST), store.version(LATER)),
        (Some(8), Some(8))
    );
}

#[tokio::test]
async fn a_write_that_is_dropped_in_its_handler_leaves_all_in_doubt() {
    let store = store();
    let layer = ConditionalLayer::with_runtime(store.clone(), Runtime::inline());
    let layer = layer.policy(policy());
    let site = site();
    site.hold_writes();
    let write = request("PUT", ITEM, &[("if-match", r#""7""#)], "new");
    let client = tokio::spawn(layer.layer(site.service()).oneshot(write));
    site.write_began().await;
    assert_eq!(store.claims(), 3);
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    assert_eq!(store.abandoned(), 3);
    assert_versions(&store, 8, "dropped");
}

#[tokio::test]
async fn while_one_is_held_the_others_are_free_again_at_once() {
    for (held, tag, status) in [
        (LIST, r#""7""#, 503),
        (ITEM, r#""7""#, 503),
        (LATER, r#""7""#, 503),
    ] {
        let store = store().held(held, Some(Intent::Write));
        let policy = policy().busy(Busy::Refuse);
        let layer = ConditionalLayer::new(store.clone()).policy(policy);
        let site = site();
        let seen = ask(
            &layer,
            &site,
            request("PUT", ITEM, &[("if-match", tag)], "new"),
        )
        .await;
        assert_eq!(
            (seen.status, seen.reason()),
            (status, Some(Reason::Busy)),
            "{held}"
        );
        assert!(site.calls().is_empty(), "the handler ran");
        // Only that of whoever was there before.
        assert_eq!((store.claims(), store.abandoned()), (1, 0), "{held}");
        assert_versions(&store.held(held, None), 7, held);
    }
}

#[tokio::test]
async fn a_store_that_fails_leaves_none_behind() {
    let store = store().failing(Step::Claim, Failure::NotApplied);
    let layer = ConditionalLayer::new(store.clone()).policy(policy());
    let write = || request("PUT", ITEM, &[("if-match", r#""7""#)], "new");
    assert_eq!(ask(&layer, &site(), write()).await.status, 503);
    assert_versions(&store, 7, "no claim");
    // What cannot be settled is in doubt, each of them.
    store.recover();
    for failure in [Failure::Unknown, Failure::NotApplied] {
        let store = self::store().failing(Step::Settle, failure);
        let layer = ConditionalLayer::new(store.clone()).policy(policy());
        let seen = ask(&layer, &site(), write()).await;
        assert_eq!((seen.status, seen.etag()), (200, None));
        assert_eq!(store.abandoned(), 3);
        assert_versions(&store, 8, "in doubt");
    }
}

#[tokio::test]
async fn a_lease_that_ended_before_the_turn_of_the_handler_is_nobodys() {
    use crate::history::leases::LeaseStore;
    use tower_conditional::ClaimStore;
    use tower_conditional::store::{ClaimOptions, Claimed, Condition, Outcome};

    let store = LeaseStore::default();
    let lease = Duration::from_millis(20);
    let policy = Policy::rfc9110()
        .if_match(IfMatch::Optional)
        .lease(lease)
        .also_moves(|_, _| vec![ResourceKey::new(LATER)]);
    let options = ClaimOptions {
        wait: Duration::ZERO,
        lease: Duration::from_secs(60),
        intent: Intent::Write,
    };
    let later = ResourceKey::new(LATER);
    let claimed = store
        .claim(&later, &Condition::Unconditional, options)
        .await;
    let Ok(Claimed::Granted(claim)) = claimed else {
        panic!("{claimed:?}");
    };
    let site = site();
    let layer = ConditionalLayer::new(store.clone()).policy(policy);
    let write = layer
        .layer(site.service())
        .oneshot(request("PUT", ITEM, &[], "new"));
    let write = tokio::spawn(write);
    // The claim on the item runs out while the other one is waited for.
    tokio::time::sleep(lease * 10).await;
    store.settle(claim, Outcome::Unchanged).await.unwrap();
    let seen = in_time(write).await.unwrap().unwrap();
    assert_eq!(seen.extensions().get(), Some(&Reason::Busy));
    assert!(site.calls().is_empty(), "the handler ran without a claim");
}

/// Two resources, each of which moves the other: the writers come from both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_with_crossed_keys_never_wait_for_each_other() {
    const ROUNDS: usize = 200;
    let (one, two) = ("/a/1", "/b/2");
    let store = MemoryStore::new();
    let policy = Policy::rfc9110()
        .if_match(IfMatch::Optional)
        // Whoever deadlocks is told so.
        .busy(Busy::Wait(Duration::from_secs(30)))
        .also_moves(move |_, key| {
            let other = if key.as_str() == one { two } else { one };
            vec![ResourceKey::new(other)]
        });
    let layer = ConditionalLayer::new(store.clone()).policy(policy);
    let met = Arc::new(AtomicUsize::new(0));
    let (counted, watched) = (Arc::clone(&met), store.clone());
    // Takes its time, so that others come while it has the claims.
    let handler = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let (met, store) = (Arc::clone(&counted), watched.clone());
        async move {
            for _ in 0..20 {
                tokio::task::yield_now().await;
                if store.stats().waiting > 0 {
                    met.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            }
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let service = layer.layer(handler);
    let together = Arc::new(Barrier::new(4));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (service, together) = (service.clone(), Arc::clone(&together));
        writers.spawn(async move {
            let path = if writer % 2 == 0 { one } else { two };
            for _ in 0..ROUNDS {
                together.wait().await;
                let write = service.clone().oneshot(request("PUT", path, &[], "new"));
                assert_eq!(write.await.unwrap().status(), 200);
            }
        });
    }
    in_time(writers.join_all()).await;
    let met = met.load(Ordering::Relaxed);
    assert!(met > 0, "nobody ever waited for anybody");
    assert_eq!((store.stats().held, store.stats().waiting), (0, 0));
}

#[tokio::test]
async fn items_of_one_list_are_written_one_after_the_other() {
    let store = MemoryStore::new();
    let policy = Policy::rfc9110()
        .if_match(IfMatch::Optional)
        .also_moves(|_, key| key.parent().into_iter().collect());
    let layer = ConditionalLayer::new(store.clone()).policy(policy);
    let site = Site::new(&[(ITEM, "old"), ("/orders/6", "old")]);
    site.hold_writes();
    let start = |path| {
        let service = layer.layer(site.service());
        tokio::spawn(service.oneshot(request("PUT", path, &[], "new")))
    };
    let first = start(ITEM);
    site.write_began().await;
    let second = start("/orders/6");
    until(|| store.stats().waiting == 1).await;
    assert_eq!(site.calls().len(), 1, "the second ran beside the first");
    site.let_through(2);
    for write in [first, second] {
        assert_eq!(in_time(write).await.unwrap().unwrap().status(), 200);
    }
}
