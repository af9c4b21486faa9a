//! The store of idempotency keys in Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;
use tower_conditional::idempotency::redis::RedisIdempotencyStore;
use tower_conditional::idempotency::{
    Attempt, BeginOptions, Begun, Ending, Fingerprint, IdempotencyStore, RecordKey, Settlement,
    StoredResponse,
};
use tower_conditional::store::StoreError;
use tower_conditional::store::redis::RedisOptions;

use super::server::Server;

const LONG: BeginOptions = BeginOptions {
    lease: Duration::from_secs(60),
    ttl: Duration::from_secs(600),
    instead_of: None,
};

fn store(server: &Server) -> RedisIdempotencyStore {
    RedisIdempotencyStore::new(server.url(), RedisOptions::new()).expect("it is an address")
}

fn key(name: &str) -> RecordKey {
    RecordKey::new("acme", name)
}

fn request() -> Fingerprint {
    Fingerprint::from_bytes([7; 32])
}

fn answer(content: &str) -> StoredResponse {
    StoredResponse::new(http::StatusCode::CREATED).with_content(content.to_owned())
}

async fn begin(store: &RedisIdempotencyStore, name: &str, options: BeginOptions) -> Begun {
    let begun = store.begin(&key(name), &request(), options).await;
    begun.expect("the server answers")
}

async fn started(store: &RedisIdempotencyStore, name: &str, options: BeginOptions) -> Attempt {
    match begin(store, name, options).await {
        Begun::Started(attempt) => attempt,
        begun => panic!("not started: {begun:?}"),
    }
}

async fn settle(store: &RedisIdempotencyStore, attempt: &Attempt, ending: Ending) -> Settlement {
    let settled = store.settle(attempt, ending).await;
    settled.expect("the server answers")
}

#[cfg(feature = "testing")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_an_idempotency_store_is_kept() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    tower_conditional::testing::assert_idempotency_store(async || store(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_first_uses_at_once_one_starts() {
    const RACERS: usize = 8;
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let mut raced = 0;
    // As many rounds as it takes: the machine may be busy elsewhere.
    for round in 0..300 {
        let meeting = Arc::new(Barrier::new(RACERS));
        let under_way = Arc::new(AtomicUsize::new(0));
        let racers: Vec<_> = (0..RACERS)
            .map(|_| {
                // Each over a connection of its own, as another process.
                let (store, meeting) = (store(&server), Arc::clone(&meeting));
                let under_way = Arc::clone(&under_way);
                tokio::spawn(async move {
                    store.health_check().await.expect("the server answers");
                    meeting.wait().await;
                    let together = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    let begun = begin(&store, &format!("race {round}"), LONG).await;
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    (begun, together)
                })
            })
            .collect();
        let (mut starts, mut most) = (0, 0);
        for racer in racers {
            let (begun, together) = racer.await.expect("it does not panic");
            starts += usize::from(matches!(begun, Begun::Started(_)));
            most = most.max(together);
        }
        assert_eq!(starts, 1);
        raced += usize::from(most > RACERS / 2);
        if raced == 10 {
            return;
        }
    }
    panic!("{raced} races in 300 rounds: they came one after the other");
}

#[tokio::test]
async fn a_late_answer_ends_the_doubt_and_every_take_over_of_it() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = store(&server);
    let attempt = started(&store, "late", LONG).await;
    settle(&store, &attempt, Ending::InDoubt).await;
    let begun = begin(&store, "late", LONG).await;
    let Begun::InDoubt { token } = begun else {
        panic!("{begun:?}");
    };
    let settled = settle(&store, &attempt, Ending::Done(answer("truth"))).await;
    assert_eq!(settled, Settlement::Done);
    // Somebody saw the doubt, and decided on it.
    let options = BeginOptions {
        instead_of: Some(token),
        ..LONG
    };
    let begun = begin(&store, "late", options).await;
    assert!(
        matches!(&begun, Begun::Done { response, .. } if **response == answer("truth")),
        "{begun:?}"
    );
}

#[tokio::test]
async fn an_attempt_takes_two_round_trips() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = store(&server);
    for round in 0..2 {
        let before = store.round_trips();
        let attempt = started(&store, &format!("trips {round}"), LONG).await;
        settle(&store, &attempt, Ending::Done(answer("x"))).await;
        store.abandon(&attempt);
        // At first it connects, and the server learns the scripts.
        if round > 0 {
            assert_eq!(store.round_trips() - before, 2);
        }
    }
}

#[tokio::test]
async fn rows_go_by_themselves_when_their_time_is_over() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = store(&server);
    let short = BeginOptions {
        lease: Duration::from_millis(1),
        ttl: Duration::from_millis(1),
        instead_of: None,
    };
    let first = started(&store, "k", short).await;
    let done = started(&store, "done", LONG).await;
    settle(&store, &done, Ending::Done(answer("x"))).await;
    while server.ask::<Vec<String>>("KEYS conditional:key:*").len() > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let left: i64 = server.ask("PTTL conditional:key:4:acme:done");
    assert!((590_000..=600_000).contains(&left), "{left}");
    let next = started(&store, "k", LONG).await;
    assert!(next.token() > first.token());
    let settled = settle(&store, &first, Ending::NotRun).await;
    assert_eq!(settled, Settlement::Fenced);
}

#[tokio::test]
async fn a_server_that_is_away_applies_nothing_and_service_comes_back() {
    let Some(mut server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"])
    else {
        return;
    };
    let store = store(&server);
    let attempt = started(&store, "k", LONG).await;
    server.kill();
    // The connection may break with the request under way.
    let begun = store.begin(&key("other"), &request(), LONG).await;
    assert!(begun.is_err(), "{begun:?}");
    let settled = store.settle(&attempt, Ending::NotRun).await;
    assert!(
        matches!(settled, Err(StoreError::NotApplied(_))),
        "{settled:?}"
    );
    if !server.start_again() {
        return;
    }
    let begun = begin(&store, "k", LONG).await;
    assert!(matches!(begun, Begun::InFlight { .. }), "{begun:?}");
    let ending = Ending::Done(answer("x"));
    assert_eq!(settle(&store, &attempt, ending).await, Settlement::Done);
}

#[tokio::test]
async fn rows_that_somebody_else_wrote_are_errors() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let store = store(&server);
    let attempt = started(&store, "k", LONG).await;
    settle(&store, &attempt, Ending::Done(answer("x"))).await;
    let _: i64 = server.ask("HSET conditional:key:4:acme:k headers nonsense");
    let begun = store.begin(&key("k"), &request(), LONG).await;
    assert!(matches!(begun, Err(StoreError::Unknown(_))), "{begun:?}");
}
