//! First uses of one key at the same time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tower_conditional::idempotency::{
    IdempotencyPolicy, InDoubt, InFlight, MemoryIdempotencyStore,
};

use super::{App, created, post, status};

const CLIENTS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_first_uses_at_once_one_runs_and_all_get_its_answer() {
    for round in 0..20 {
        let everybody_waits = Arc::new(Notify::new());
        let waiting = Arc::clone(&everybody_waits);
        let app = App::new(
            MemoryIdempotencyStore::new(),
            IdempotencyPolicy::new().in_flight(InFlight::Wait(Duration::from_secs(60))),
            move |run, _| {
                let waiting = Arc::clone(&waiting);
                async move {
                    waiting.notified().await;
                    created(run)
                }
            },
        );
        let clients: Vec<_> = (0..CLIENTS).map(|_| app.spawn(post("k", "{}"))).collect();
        // The handler is let go only when somebody was seen to wait for it: the uses overlap.
        let probe = App::clone(&app);
        while probe.runs() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(clients.iter().all(|client| !client.is_finished()));
        everybody_waits.notify_one();

        let mut answers = Vec::new();
        for client in clients {
            answers.push(client.await.unwrap());
        }
        let first: Vec<_> = answers
            .iter()
            .filter(|answer| !answer.is_replayed())
            .collect();
        assert_eq!(first.len(), 1, "round {round}");
        for answer in answers.iter().filter(|answer| answer.is_replayed()) {
            answer.assert_replays(first[0]);
        }
        assert_eq!(app.runs(), 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_that_do_not_wait_are_told_so_and_get_its_answer_on_a_retry() {
    let go_on = Arc::new(Notify::new());
    let waiting = Arc::clone(&go_on);
    let app = App::new(
        MemoryIdempotencyStore::new(),
        IdempotencyPolicy::new(),
        move |run, _| {
            let waiting = Arc::clone(&waiting);
            async move {
                waiting.notified().await;
                created(run)
            }
        },
    );
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| app.spawn(post("k", "{}"))).collect();
    // All but the one in the handler end: it cannot go on yet, so they overlapped with it.
    let mut refused = 0;
    while refused < CLIENTS - 1 {
        let at = clients
            .iter()
            .position(tokio::task::JoinHandle::is_finished);
        if let Some(at) = at {
            let answer = clients.swap_remove(at).await.unwrap();
            answer.assert_problem(409, "request-in-progress");
            refused += 1;
        } else {
            tokio::task::yield_now().await;
        }
    }
    go_on.notify_one();
    let first = clients.remove(0).await.unwrap();
    for _ in 0..CLIENTS {
        app.send(post("k", "{}")).await.assert_replays(&first);
    }
    assert_eq!(app.runs(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waited_for_a_refused_request_runs_next_and_one_at_a_time() {
    let (store, running) = (
        MemoryIdempotencyStore::new(),
        Arc::new(tokio::sync::Mutex::new(())),
    );
    let policy = IdempotencyPolicy::new().in_flight(InFlight::Wait(Duration::from_secs(60)));
    let app = App::new(store, policy, move |run, _| {
        let running = Arc::clone(&running);
        async move {
            let alone = running.try_lock().expect("two run at once");
            tokio::task::yield_now().await;
            drop(alone);
            if run < 5 { status(409) } else { created(run) }
        }
    });
    let clients: Vec<_> = (0..16).map(|_| app.spawn(post("k", "{}"))).collect();
    let mut created = HashSet::new();
    for client in clients {
        let answer = client.await.unwrap();
        if answer.status == 201 {
            created.insert(answer.body);
        }
    }
    assert_eq!(created.len(), 1);
    assert_eq!(app.runs(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_would_run_what_is_in_doubt_again_one_does() {
    for _ in 0..50 {
        let policy = IdempotencyPolicy::new()
            .in_flight(InFlight::Wait(Duration::from_secs(60)))
            .in_doubt(|_| InDoubt::Rerun);
        let app = App::new(MemoryIdempotencyStore::new(), policy, async |run, _| {
            if run == 1 { status(500) } else { created(run) }
        });
        assert_eq!(app.send(post("k", "{}")).await.status, 500);
        let clients: Vec<_> = (0..16).map(|_| app.spawn(post("k", "{}"))).collect();
        for client in clients {
            assert_eq!(client.await.unwrap().body, "{\"id\":2}");
        }
        assert_eq!(app.runs(), 2);
    }
}
