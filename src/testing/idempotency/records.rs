//! Records: what is kept, of which key, and what may follow what. Rules 1, 2, 3, 7 and 10.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, VARY};
use http::{HeaderValue, StatusCode};

use super::bench::{Bench, LONG, answer, is_done_with, is_in_flight};
use crate::idempotency::{Begun, Ending, Fingerprint, RecordKey, Settlement, StoredResponse};
use crate::testing::bench::{Verdict, ensure};

pub(super) async fn not_run_frees(bench: Bench) -> Verdict {
    let key = bench.key("not run");
    for turn in 0..3 {
        let attempt = bench.handle(turn).started(&key, LONG).await?;
        bench.all_see(&key, "in flight", is_in_flight).await?;
        let elsewhere = bench.handle(turn + 1);
        elsewhere.done(&attempt, Ending::NotRun).await?;
    }
    Ok(())
}

pub(super) async fn answer_is_kept(bench: Bench) -> Verdict {
    let every_byte: Vec<u8> = (0..=255).collect();
    let latin = HeaderValue::from_bytes(b"caf\xE9").unwrap_or(HeaderValue::from_static("x"));
    let answers = [
        StoredResponse::new(StatusCode::NO_CONTENT),
        StoredResponse::new(StatusCode::SEE_OTHER).without_content(),
        StoredResponse::new(StatusCode::OK).with_content(every_byte),
        StoredResponse::new(StatusCode::OK).with_content(Bytes::from(vec![b'x'; 256 * 1024])),
        answer("é 🦀")
            .with_header(ETAG, HeaderValue::from_static("\"5\""))
            .with_header(CONTENT_TYPE, latin)
            .with_header(VARY, HeaderValue::from_static("accept"))
            .with_header(VARY, HeaderValue::from_static("prefer")),
    ];
    for (number, expected) in answers.into_iter().enumerate() {
        let key = bench.key(format!("answer-{number}"));
        let attempt = bench.handle(number).started(&key, LONG).await?;
        let ending = Ending::Done(expected.clone());
        bench.handle(number).done(&attempt, ending).await?;
        let what = format!("done with answer {number}");
        bench.all_see(&key, &what, is_done_with(&expected)).await?;
    }
    Ok(())
}

pub(super) async fn keys_are_independent(bench: Bench) -> Verdict {
    let scope = |suffix: &str| format!("{}{suffix}", bench.scope);
    let long = "x".repeat(600);
    let longer = format!("{}y", &long[1..]);
    let keys = [
        ("a", "b"),
        ("ab", ""),
        ("", "ab"),
        ("a", "B"),
        ("A", "b"),
        ("a", "b "),
        ("a ", "b"),
        ("a", "_"),
        ("a", "%"),
        ("a", "'"),
        ("a:b", "c"),
        ("a", "b:c"),
        ("é", "b"),
        ("e\u{301}", "b"),
        ("a", long.as_str()),
        ("a", longer.as_str()),
    ];
    for (number, (suffix, key)) in keys.into_iter().enumerate() {
        let key = RecordKey::new(scope(suffix), key);
        let started = bench.handle(number).started(&key, LONG).await;
        let attempt = started.map_err(|error| format!("{key:?} met another key: {error}"))?;
        ensure!(*attempt.key() == key, "{key:?} became {:?}", attempt.key());
    }
    Ok(())
}

pub(super) async fn mismatch_is_told(bench: Bench) -> Verdict {
    let other = Fingerprint::from_bytes([8; 32]);
    for state in ["in flight", "in doubt", "done"] {
        let key = bench.key(format!("mismatch {state}"));
        let attempt = bench.handle(0).started(&key, LONG).await?;
        match state {
            "done" => {
                bench
                    .handle(0)
                    .done(&attempt, Ending::Done(answer("x")))
                    .await?
            }
            "in doubt" => bench.handle(0).done(&attempt, Ending::InDoubt).await?,
            _ => {}
        }
        for (turn, instead_of) in [(0, None), (1, None), (2, Some(attempt.token()))] {
            let options = crate::idempotency::BeginOptions { instead_of, ..LONG };
            let store = &bench.handle(turn).store;
            let begun = store.begin(&key, &other, options).await;
            ensure!(
                matches!(begun, Ok(Begun::Mismatch)),
                "{state}, another request got {begun:?}"
            );
        }
    }
    Ok(())
}

pub(super) async fn done_is_final(bench: Bench) -> Verdict {
    let key = bench.key("final");
    let attempt = bench.handle(0).started(&key, LONG).await?;
    let first = answer("first");
    bench
        .handle(0)
        .done(&attempt, Ending::Done(first.clone()))
        .await?;
    for ending in [Ending::NotRun, Ending::InDoubt] {
        let settled = bench.handle(1).settle(&attempt, ending.clone()).await?;
        ensure!(settled == Settlement::Fenced, "{ending:?} undid an answer");
    }
    bench.handle(2).store.abandon(&attempt);
    bench
        .all_see(&key, "done with the first answer", is_done_with(&first))
        .await?;

    let whole = answer("the whole of it").with_header(ETAG, HeaderValue::from_static("\"1\""));
    bench
        .handle(1)
        .done(&attempt, Ending::Done(whole.clone()))
        .await?;
    bench
        .all_see(&key, "done with the refreshed answer", is_done_with(&whole))
        .await
}

pub(super) async fn tokens_increase(bench: Bench) -> Verdict {
    let key = bench.key("tokens");
    let mut last = None;
    for turn in 0..12 {
        let handle = bench.handle(turn);
        // Absent, in doubt, and done: taken over.
        let attempt = match handle.begin(&key, LONG).await? {
            Begun::Started(attempt) if turn % 3 == 0 => attempt,
            Begun::Done { token, .. } | Begun::InDoubt { token } if turn % 3 > 0 => {
                let instead_of = Some(token);
                let options = crate::idempotency::BeginOptions { instead_of, ..LONG };
                handle.started(&key, options).await?
            }
            begun => return Err(format!("in turn {turn} it was {begun:?}")),
        };
        ensure!(
            last < Some(attempt.token()),
            "token {} came after {last:?}",
            attempt.token()
        );
        last = Some(attempt.token());
        let ending = match turn % 3 {
            0 => Ending::InDoubt,
            1 => Ending::Done(answer("x")),
            _ => Ending::NotRun,
        };
        handle.done(&attempt, ending).await?;
    }
    Ok(())
}
