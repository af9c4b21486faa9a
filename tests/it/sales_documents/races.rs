//! Many calls at the same moment, in two processes.

use std::time::Duration;

use serde_json::{Value, json};

use super::{at_once, together};

const N: u64 = 32;

/// So that all calls are there before the first one is done.
const SLOW: [(&str, &str); 1] = [("HANDLER_DELAY_MS", "100")];

#[test]
fn equal_sales_at_the_same_moment_are_one_document() {
    together(&SLOW, |urls| {
        for function in ["saveSalesDocument", "savePayment"] {
            let bodies = vec![json!({"total": 12}); N as usize];
            let calls = at_once(urls, function, &bodies);
            let first = calls[0].id();
            for call in calls {
                assert!(call.is_ok(), "{call:?}");
                assert_eq!(call.record, json!({"id": first, "total": 12}));
            }
        }
    });
}

#[test]
fn of_many_calls_with_one_temporary_uuid_one_creates() {
    together(&SLOW, |urls| {
        for function in ["saveSalesDocument", "saveInventoryWriteOff"] {
            let body = |n| json!({"temporaryUUID": "u", "n": n});
            let bodies: Vec<Value> = (0..N).map(body).collect();
            let calls = at_once(urls, function, &bodies);
            let (created, refused): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(super::Called::is_ok);
            assert_eq!(created.len(), 1, "{created:?}");
            for call in refused {
                call.expect(409, 1206);
            }
        }
    });
}

#[test]
fn different_sales_do_not_wait_for_each_other() {
    together(&[("HANDLER_DELAY_MS", "1000")], |urls| {
        let bodies: Vec<_> = (0..N).map(|n| json!({"n": n})).collect();
        let calls = at_once(urls, "saveSalesDocument", &bodies);
        assert!(calls.iter().all(super::Called::is_ok), "{calls:?}");
        // One after the other they would take half a minute.
        let longest = calls.iter().map(|call| call.took).max();
        assert!(longest < Some(Duration::from_secs(10)), "{longest:?}");
    });
}
