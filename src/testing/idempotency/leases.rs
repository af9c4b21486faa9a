//! What nobody settles: leases, doubt, times to live, dropped futures. Rules 4, 5, 7 and 9.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time;

use super::bench::{Bench, LONG, answer, is_done_with, is_in_doubt, is_in_flight, request};
use crate::idempotency::{Attempt, BeginOptions, Begun, Ending, RecordKey};
use crate::store::Answer;
use crate::testing::bench::{Verdict, ensure};

pub(super) async fn lease_holds(bench: Bench) -> Verdict {
    let key = bench.key("long lease, short ttl");
    let options = BeginOptions {
        ttl: bench.lease,
        ..LONG
    };
    let attempt = bench.handle(0).started(&key, options).await?;
    time::sleep(bench.lease * 2).await;
    bench.all_see(&key, "in flight", is_in_flight).await?;
    bench.handle(0).done(&attempt, Ending::NotRun).await
}

pub(super) async fn abandon_holds(bench: Bench) -> Verdict {
    let key = bench.key("abandoned for long");
    let attempt = bench.handle(0).started(&key, LONG).await?;
    bench.handle(0).store.abandon(&attempt);
    time::sleep(bench.lease).await;
    bench.all_see(&key, "in flight", is_in_flight).await?;

    let key = bench.key("abandoned for short");
    let attempt = bench.handle(0).started(&key, bench.short()).await?;
    bench.handle(0).store.abandon(&attempt);
    bench.until(&key, "in doubt", is_in_doubt).await?;
    Ok(())
}

pub(super) async fn lease_ends(bench: Bench) -> Verdict {
    let key = bench.key("killed");
    dead(&bench, &key).await.map(drop)
}

pub(super) async fn doubt_stays(bench: Bench) -> Verdict {
    for (name, dies) in [("killed", true), ("settled", false)] {
        let key = bench.key(format!("doubt stays, {name}"));
        if dies {
            dead(&bench, &key).await.map(drop)?;
        } else {
            let attempt = bench.handle(0).started(&key, bench.short()).await?;
            bench.handle(1).done(&attempt, Ending::InDoubt).await?;
            bench.all_see(&key, "in doubt at once", is_in_doubt).await?;
        }
        time::sleep(bench.lease * 2).await;
        bench.all_see(&key, "in doubt still", is_in_doubt).await?;
    }
    Ok(())
}

pub(super) async fn late_settle_ends_doubt(bench: Bench) -> Verdict {
    let key = bench.key("late");
    let attempt = dead(&bench, &key).await?;
    let truth = answer("the truth");
    let ending = Ending::Done(truth.clone());
    bench.handle(1).done(&attempt, ending).await?;
    let done = is_done_with(&truth);
    bench
        .all_see(&key, "done with the late answer", done)
        .await?;
    let options = BeginOptions {
        instead_of: Some(attempt.token()),
        ..LONG
    };
    let doubted = bench.handle(2).begin(&key, options).await?;
    ensure!(
        is_done_with(&truth)(&doubted),
        "the late answer was taken over for the doubt that it ended: {doubted:?}"
    );
    Ok(())
}

pub(super) async fn ttl_ends(bench: Bench) -> Verdict {
    let options = BeginOptions {
        lease: bench.lease,
        ttl: bench.lease,
        instead_of: None,
    };
    for (name, ending) in [
        ("done", Some(Ending::Done(answer("x")))),
        ("in doubt", Some(Ending::InDoubt)),
        ("killed", None),
    ] {
        let key = bench.key(format!("ttl, {name}"));
        let attempt = bench.handle(0).started(&key, options).await?;
        match ending {
            Some(ending) => bench.handle(0).done(&attempt, ending).await?,
            None => bench.handle(0).die_with(&attempt),
        }
        let begun = time::timeout(bench.patience, async {
            loop {
                match bench.handle(1).begin(&key, LONG).await? {
                    Begun::Started(attempt) => return Ok::<_, String>(attempt),
                    _ => time::sleep(bench.lease / 4).await,
                }
            }
        });
        let Ok(again) = begun.await else {
            return Err(format!("{name}, it was never forgotten"));
        };
        let again = again?;
        ensure!(
            again.token() > attempt.token(),
            "token {} came after {}, when the key was forgotten",
            again.token(),
            attempt.token()
        );
        let late = bench.handle(0).settle(&attempt, Ending::NotRun).await?;
        ensure!(
            late == crate::idempotency::Settlement::Fenced,
            "{name}, an attempt that was forgotten settled the next one"
        );
    }
    Ok(())
}

pub(super) async fn drop_leaves_nothing(bench: Bench) -> Verdict {
    for polls in 0..6 {
        let handle = bench.handle(polls);
        let key = bench.key(format!("begin dropped after {polls} polls"));
        let begin = handle.store.begin(&key, &request(), bench.short());
        match polled(begin, polls).await {
            Some(Ok(Begun::Started(attempt))) => handle.die_with(&attempt),
            Some(other) => return Err(format!("a new key was {other:?}")),
            None => {}
        }
        over(&bench, &key).await?;

        let key = bench.key(format!("settle dropped after {polls} polls"));
        let attempt = handle.started(&key, bench.short()).await?;
        let settle = handle.store.settle(&attempt, Ending::Done(answer("x")));
        if polled(settle, polls).await.is_none() {
            // As the layer does.
            handle.store.abandon(&attempt);
        }
        over(&bench, &key).await?;
    }
    Ok(())
}

/// In flight no more.
async fn over(bench: &Bench, key: &RecordKey) -> Verdict {
    let over = time::timeout(bench.patience, async {
        loop {
            match bench.handle(0).begin(key, bench.short()).await? {
                Begun::InFlight { .. } => time::sleep(bench.lease / 4).await,
                Begun::Started(attempt) => {
                    return bench.handle(0).done(&attempt, Ending::NotRun).await;
                }
                _ => return Ok(()),
            }
        }
    });
    let over = over.await;
    over.unwrap_or_else(|_| Err(format!("{} is in flight for ever", key.key())))
}

/// An attempt whose process was killed, when its lease has ended.
async fn dead(bench: &Bench, key: &RecordKey) -> Verdict<Attempt> {
    let attempt = bench.handle(0).started(key, bench.short()).await?;
    bench.handle(0).die_with(&attempt);
    bench.until(key, "in doubt", is_in_doubt).await?;
    Ok(attempt)
}

/// The answer, if it was there at once or is after so many polls.
async fn polled<T: Unpin>(answer: Answer<T>, polls: usize) -> Option<T> {
    let mut answer = match answer.try_ready() {
        Ok(answer) => return Some(answer),
        Err(answer) => answer,
    };
    for _ in 0..polls {
        let polled = poll_fn(|context| Poll::Ready(Pin::new(&mut answer).poll(context))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        time::sleep(Duration::from_millis(1)).await;
    }
    None
}
