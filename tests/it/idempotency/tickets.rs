//! Tickets: the record that a handler commits with its data.

use tower_conditional::idempotency::{
    Begun, Ending, IdempotencyPolicy, IdempotencyStore as _, StoredResponse, Ticket,
};

use super::{App, Clock, Incoming, created, post, status, without_key};

fn ticket(request: &Incoming) -> Ticket {
    request.extensions().get::<Ticket>().unwrap().clone()
}

#[tokio::test]
async fn a_handler_learns_whose_attempt_it_is() {
    let (store, _clock) = Clock::store();
    let app = App::new(
        store,
        IdempotencyPolicy::new(),
        async |run, request: Incoming| {
            let ticket = ticket(&request);
            let key = ticket.attempt().key();
            assert_eq!((key.scope(), key.key()), ("ann", "header:k"));
            assert!(ticket.attempt().token() > 0);
            created(run)
        },
    );
    assert_eq!(app.send(post("k", "{}")).await.status, 201);
}

#[tokio::test]
async fn without_a_key_there_is_no_ticket() {
    let (store, _clock) = Clock::store();
    let app = App::new(
        store,
        IdempotencyPolicy::new(),
        async |run, request: Incoming| {
            assert!(request.extensions().get::<Ticket>().is_none());
            created(run)
        },
    );
    let answer = app.send(without_key(&http::Method::POST, "{}")).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn what_was_committed_with_the_data_is_the_answer_however_the_handler_ends() {
    for ends_with in ["panic", "500", "201"] {
        let (store, _clock) = Clock::store();
        let database = store.clone();
        let app = App::new(
            store,
            IdempotencyPolicy::new(),
            move |run, request: Incoming| {
                let database = database.clone();
                async move {
                    let ticket = ticket(&request);
                    // Stands for the statement in the handler's own transaction.
                    let record =
                        StoredResponse::new(http::StatusCode::CREATED).with_content("committed");
                    let settled = database.settle(ticket.attempt(), Ending::Done(record));
                    settled.await.unwrap();
                    ticket.completed();
                    assert!(ends_with != "panic", "the handler panics on purpose");
                    if ends_with == "500" {
                        status(500)
                    } else {
                        created(run)
                    }
                }
            },
        );
        let first = app.send(post("k", "{}")).await;
        let replayed = app.send(post("k", "{}")).await;
        assert_eq!(replayed.status, 201, "{ends_with}");
        if ends_with == "201" {
            // The whole answer, the fields of inner layers included, replaces the bare record.
            replayed.assert_replays(&first);
        } else {
            assert_eq!(first.status, 500);
            assert_eq!(replayed.body, "committed", "{ends_with}");
        }
        assert_eq!(app.runs(), 1);
    }
}

#[tokio::test]
async fn a_ticket_of_an_attempt_that_was_taken_over_is_fenced() {
    let (store, _clock) = Clock::store();
    let database = store.clone();
    let app = App::new(
        store,
        IdempotencyPolicy::new(),
        move |run, request: Incoming| {
            let database = database.clone();
            async move {
                let attempt = ticket(&request).attempt().clone();
                // Its lease ends under it, and another process takes the key over.
                database.settle(&attempt, Ending::InDoubt).await.unwrap();
                let options = tower_conditional::idempotency::BeginOptions {
                    lease: std::time::Duration::from_secs(60),
                    ttl: attempt.ttl(),
                    instead_of: Some(attempt.token()),
                };
                let begun = database.begin(attempt.key(), attempt.fingerprint(), options);
                let Begun::Started(other) = begun.await.unwrap() else {
                    panic!("the key was in doubt");
                };
                let record = StoredResponse::new(http::StatusCode::OK).with_content("the other's");
                database.settle(&other, Ending::Done(record)).await.unwrap();
                created(run)
            }
        },
    );
    let first = app.send(post("k", "{}")).await;
    assert_eq!(
        first.status, 201,
        "it was carried out, and its client is told so"
    );
    let replayed = app.send(post("k", "{}")).await;
    assert_eq!(replayed.body, "the other's");
}
