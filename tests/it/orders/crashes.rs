//! Two processes on one database, one of which is killed every now and then, or the database is
//! restarted under them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::service::{Answer, Database, SELLER, Service, ask, on_each};
use crate::history::checker::{Counts, check};
use crate::history::drive::{Api, Load, Trouble, drive};
use crate::history::record::History;
use crate::support::postgres::own;

/// How soon after a kill everything that the process held is free.
const FREE: Duration = Duration::from_secs(10);

/// Two processes that start again on the ports that they had.
struct Pair {
    services: [Service; 2],
    addresses: [SocketAddr; 2],
}

impl Pair {
    fn start(database: &Database) -> Self {
        let services = [database.start(&[]), database.start(&[])];
        let addresses = [services[0].address(), services[1].address()];
        Self {
            services,
            addresses,
        }
    }

    fn api(&self) -> Api {
        Api {
            addresses: self.addresses.to_vec(),
            paths: (0..12)
                .map(|number| format!("{SELLER}/orders/00000000-0000-4000-8000-{number:012}"))
                .collect(),
            fields: Vec::new(),
            write: ("PUT", "application/json"),
            stale: 409,
        }
    }

    /// Until each has created an order.
    async fn until_both_serve(&self) {
        let orders = format!("{SELLER}/orders");
        let began = Instant::now();
        for address in self.addresses {
            let key = uuid::Uuid::new_v4().to_string();
            let fields = [("idempotency-key", &*key)];
            while !ask(address, "POST", &orders, &fields, "{}")
                .await
                .is_ok_and(|answer| answer.status == 201)
            {
                assert!(began.elapsed() < 3 * FREE, "service does not come back");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Kills one after the other while `work` goes on. How often?
    async fn under_fire<T>(
        &mut self,
        database: &Database,
        work: impl Future<Output = T>,
    ) -> (T, usize) {
        let done = AtomicBool::new(false);
        let kills = async {
            let mut kills = 0;
            while !done.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(700)).await;
                let victim = kills % 2;
                let port = self.addresses[victim].port().to_string();
                let service = &mut self.services[victim];
                tokio::task::block_in_place(|| {
                    service.example.kill();
                    *service = database.start(&[("PORT", &port)]);
                });
                kills += 1;
            }
            kills
        };
        let work = async {
            let result = work.await;
            done.store(true, Ordering::Relaxed);
            result
        };
        tokio::join!(work, kills)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost_and_every_version_is_in_the_audit_trail() {
    on_each(async |database| {
        let mut pair = Pair::start(database);
        let load = load(Arc::default());
        let (history, kills) = pair
            .under_fire(database, tokio::spawn(drive(pair.api(), load)))
            .await;
        let counts = check_all(&pair, history.expect("no panic")).await;
        assert!(kills > 2, "only {kills} kills");
        assert!(counts.broken > 0, "no kill struck a request: {counts:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost_when_the_database_is_restarted() {
    let Some(mut server) = own() else { return };
    let pair = Pair::start(&Database::on(&server));
    let trouble = Trouble::to_come();
    let history = tokio::spawn(drive(pair.api(), load(Arc::clone(&trouble))));
    trouble.may_begin().await;
    for _ in 0..3 {
        pair.until_both_serve().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| server.crash_and_restart());
    }
    // Nobody restarts the processes: they find the database again.
    pair.until_both_serve().await;
    trouble.is_over();
    let counts = check_all(&pair, history.await.expect("no panic")).await;
    assert!(counts.failed > 0, "no restart struck a request: {counts:?}");
}

fn load(trouble: Arc<Trouble>) -> Load {
    Load {
        clients: 24,
        acknowledged: 500,
        duration: Duration::from_secs(3),
        disconnects: 100,
        journal: 40,
        leaves_within: Duration::from_millis(10),
        settles_within: FREE,
        seed: u64::from(std::process::id()),
        trouble,
    }
}

/// Nothing was lost, it raced, and the audit trail has it all.
async fn check_all(pair: &Pair, history: History) -> Counts {
    let verdict = check(&history);
    verdict.assert_clean();
    let counts = verdict.counts;
    assert!(
        counts.rivals > 0 && counts.refused_stale > 0,
        "it did not race: {counts:?}"
    );
    assert!(counts.deleted > 0, "{counts:?}");

    let mut revisions = 0;
    for path in pair.api().paths {
        let trail = pair.services[0]
            .get(&format!("{path}/revisions"))
            .await
            .json();
        let items = trail["items"].as_array().expect("a list");
        for (item, version) in items.iter().zip(1_usize..) {
            assert_eq!(item["version"], version, "{path}: a gap or a double");
        }
        let current = pair.services[0].get(&path).await;
        if current.status == 200 {
            assert_eq!(current.json()["version"], items.len(), "{path}");
        }
        revisions += items.len();
    }
    // A deletion is acknowledged, but makes no version.
    assert!(revisions >= counts.acknowledged - counts.deleted);
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_retries_with_a_key_is_served_exactly_once() {
    const CLIENTS: usize = 6;
    const WRITES: i64 = 12;
    on_each(async |database| {
        let mut pair = Pair::start(database);
        let addresses = pair.addresses;
        let clients = async move {
            let mut clients = JoinSet::new();
            for number in 0..CLIENTS {
                clients.spawn(client(addresses, number, WRITES));
            }
            clients.join_all().await
        };
        let (orders, kills) = pair.under_fire(database, clients).await;
        assert!(kills > 0, "nobody was killed");
        let retries: usize = orders.iter().map(|(_, retries)| retries).sum();
        assert!(retries > 0, "nobody had to retry");
        let list = pair.services[0]
            .get(&format!("{SELLER}/orders"))
            .await
            .json();
        let created = list["items"].as_array().map(Vec::len);
        assert_eq!(created, Some(CLIENTS), "an order was created twice");
        for (path, _) in orders {
            let order = pair.services[0].get(&path).await;
            order.assert_version(200, WRITES + 1);
            assert_eq!(order.json()["count"], WRITES);
            let trail = pair.services[0]
                .get(&format!("{path}/revisions"))
                .await
                .json();
            let versions: Vec<_> = trail["items"].as_array().expect("a list").iter().collect();
            let versions: BTreeSet<_> = versions
                .iter()
                .filter_map(|item| item["version"].as_i64())
                .collect();
            assert_eq!(versions, (1..=WRITES + 1).collect());
        }
    })
    .await;
}

/// Creates an order and writes to it, each time until there is an answer. Gives the order, and how
/// many answers it had to ask for again.
async fn client(addresses: [SocketAddr; 2], number: usize, writes: i64) -> (String, usize) {
    let key = format!("{number}-0");
    let fields = [("idempotency-key", &*key)];
    let orders = format!("{SELLER}/orders");
    let (created, mut retries) = until_answered(addresses, "POST", &orders, &fields, "{}").await;
    created.assert_version(201, 1);
    let path = created.field("location").to_owned();
    for count in 1..=writes {
        let (key, tag) = (format!("{number}-{count}"), format!("\"{count}\""));
        let fields = [("idempotency-key", &*key), ("if-match", &tag)];
        let body = json!({ "count": count }).to_string();
        let (answer, again) = until_answered(addresses, "PATCH", &path, &fields, &body).await;
        // Not a conflict with its own first try, whose answer it never saw.
        answer.assert_version(200, count + 1);
        retries += again;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (path, retries)
}

async fn until_answered(
    addresses: [SocketAddr; 2],
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> (Answer, usize) {
    let mut killed = Instant::now();
    for retries in 0.. {
        match ask(addresses[retries % 2], method, path, fields, body).await {
            Ok(answer) if answer.status < 300 => return (answer, retries),
            Ok(answer) if answer.status == 409 => {
                answer.assert_problem(409, "request-in-progress");
            }
            Ok(answer) => assert!(answer.status >= 500, "{answer:?}"),
            // Killed, perhaps with this request, or not there yet.
            Err(_) => killed = Instant::now(),
        }
        assert!(killed.elapsed() < FREE, "the key is still taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unreachable!("it retries without end")
}
