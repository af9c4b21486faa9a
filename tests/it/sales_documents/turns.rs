//! Writes of one document, one after the other.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Called, NAME, alone, at_once, call, get, together};
use crate::support::service::on_each_database;

#[test]
fn saves_of_one_document_happen_one_after_the_other_and_others_do_not_wait() {
    const N: u32 = 8;
    const DELAY: Duration = Duration::from_millis(200);
    let saves = |urls: &[&str]| {
        let new = |n: u32| call(urls[0], "saveSalesDocument", &json!({"new": n})).id();
        let (id, other) = (new(1), new(2));
        let bodies: Vec<_> = (0..N).map(|n| json!({"id": id, "n": n})).collect();
        let started = Instant::now();
        thread::scope(|scope| {
            let queue = scope.spawn(|| at_once(urls, "saveSalesDocument", &bodies));
            let body = json!({"id": other, "n": 0});
            let aside = call(urls[0], "saveSalesDocument", &body).expect(200, 0);
            let calls = queue.join().expect("answers");
            assert!(calls.iter().all(Called::is_ok), "{calls:?}");
            // None overlaps with another one.
            assert!(started.elapsed() >= N * DELAY);
            let longest = calls.iter().map(|call| call.took).max();
            assert!(Some(aside.took) < longest, "{aside:?} {longest:?}");
        });
        // The last one, whichever it was, is there as a whole.
        let n = get(urls[0], "SalesDocument", &id).record["n"].as_u64();
        assert!(n < Some(u64::from(N)), "{n:?}");
    };
    let environment = [("HANDLER_DELAY_MS", "200"), ("WAIT_LIMIT_MS", "60000")];
    alone(&environment, |url| saves(&[url]));
    together(&environment, saves);
}

#[test]
fn a_save_that_has_waited_too_long_has_not_happened_and_will_not() {
    let saves = |urls: &[&str]| {
        let id = call(urls[0], "saveSalesDocument", &json!({"new": 1})).id();
        let bodies: Vec<_> = (0..4).map(|n| json!({"id": id, "n": n})).collect();
        let calls = at_once(urls, "saveSalesDocument", &bodies);
        let (done, late): (Vec<_>, Vec<_>) = calls.into_iter().partition(Called::is_ok);
        assert_eq!(done.len(), 1, "{done:?}");
        for call in late {
            let call = call.expect(503, 1205);
            let retry = call.reply.field("retry-after").expect("when to retry");
            assert!(retry.parse::<u64>().expect("whole seconds") >= 1);
            assert!(call.took >= Duration::from_millis(300), "{call:?}");
            assert!(call.took < done[0].took, "{call:?}");
        }
        // Nobody is left who could write it later: one more gets its turn after them.
        assert_eq!(get(urls[0], "SalesDocument", &id).record, done[0].record);
        let last = call(urls[0], "saveSalesDocument", &json!({"id": id, "last": 1}));
        assert_eq!(
            get(urls[0], "SalesDocument", &id).record,
            last.expect(200, 0).record
        );
    };
    let environment = [("HANDLER_DELAY_MS", "2000"), ("WAIT_LIMIT_MS", "300")];
    alone(&environment, |url| saves(&[url]));
    together(&environment, saves);
}

#[test]
fn a_delete_during_a_delete_is_refused_at_once() {
    let deletes = |urls: &[&str]| {
        let id = call(urls[0], "saveSalesDocument", &json!({"new": 1})).id();
        let bodies = vec![json!({"id": id}); 8];
        let calls = at_once(urls, "deleteSalesDocument", &bodies);
        let (done, refused): (Vec<_>, Vec<_>) = calls.into_iter().partition(Called::is_ok);
        assert_eq!(done.len(), 1, "{done:?}");
        for call in refused {
            let call = call.expect(409, 1204);
            assert!(call.took < done[0].took, "{call:?}");
        }
    };
    let environment = [("HANDLER_DELAY_MS", "3000")];
    alone(&environment, |url| deletes(&[url]));
    together(&environment, deletes);
}

#[test]
fn a_delete_during_a_save_waits_for_its_turn() {
    let both = |urls: &[&str]| {
        let id = call(urls[0], "saveSalesDocument", &json!({"new": 1})).id();
        thread::scope(|scope| {
            let save = json!({"id": id, "n": 1});
            let save = scope.spawn(move || call(urls[0], "saveSalesDocument", &save));
            let delete = json!({"id": id});
            let delete =
                scope.spawn(move || call(urls[urls.len() - 1], "deleteSalesDocument", &delete));
            delete.join().expect("an answer").expect(200, 0);
            let save = save.join().expect("an answer");
            assert!(save.is_ok() || save.code == 1011, "{save:?}");
        });
    };
    let environment = [("HANDLER_DELAY_MS", "300")];
    alone(&environment, |url| both(&[url]));
    together(&environment, both);
}

#[test]
fn who_is_in_the_queue_when_the_service_is_stopped_gets_his_turn() {
    let environment = [("HANDLER_DELAY_MS", "500"), ("WAIT_LIMIT_MS", "60000")];
    on_each_database(NAME, 1, &environment, |service| {
        let url = service.url(0);
        let id = call(url, "saveSalesDocument", &json!({"new": 1})).id();
        thread::scope(|scope| {
            let calls: Vec<_> = (0..5)
                .map(|n| {
                    let body = json!({"id": id, "n": n});
                    scope.spawn(move || {
                        let call = call(url, "saveSalesDocument", &body);
                        // By now the others, which came at the same moment, wait.
                        service.processes[0].terminate();
                        call
                    })
                })
                .collect();
            for call in calls {
                call.join().expect("an answer").expect(200, 0);
            }
        });
    });
}
