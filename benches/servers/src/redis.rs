//! Redis: each step of a claim beside a `PING`, both over one multiplexed connection, with one client
//! and with sixteen.

use std::sync::Arc;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tower_conditional::ResourceKey;
use tower_conditional::store::redis::{RedisOptions, RedisStore};
use tower_conditional::store::{
    Claim, ClaimOptions, ClaimStore, Claimed, Condition, Intent, Outcome, Settled, VersionStore,
};

use crate::rounds::{Bench, Calls, Case};
use crate::support::redis::Server;

pub(crate) async fn tables(bench: &mut Bench) {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let client = redis::Client::open(server.url()).expect("an address");
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(1)));
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    let connection = connection.await.expect("it serves");
    let store = RedisStore::connect(server.url(), RedisOptions::new()).await;
    let store = store.expect("it serves");
    let calls: Calls<'_> = &|| {
        let counts = ["ping", "evalsha", "eval"].map(|command| server.calls(command));
        Box::pin(std::future::ready(counts.iter().sum()))
    };

    for clients in [1, 16] {
        let to = |key: &'static str| {
            let store = store.clone();
            move |number| Resource {
                store: store.clone(),
                key: ResourceKey::new(format!("/{key}/{number}")),
            }
        };
        let ping_over = connection.clone();
        let cases = vec![
            Case::new("PING", move |_| ping_over.clone(), ping),
            Case::new("read", to("read"), read),
            Case::new("claim that is stale", to("read"), stale),
            Case::new("claim and settle: half of it", to("written"), write),
        ];
        bench.table("Redis, one step", clients, cases, calls).await;
    }
}

struct Resource {
    store: RedisStore,
    key: ResourceKey,
}

impl Resource {
    async fn claim(&self, condition: Condition) -> Option<Claim> {
        let options = ClaimOptions {
            wait: Duration::ZERO,
            lease: Duration::from_secs(30),
            intent: Intent::Write,
        };
        let claimed = self.store.claim(&self.key, &condition, options).await;
        match claimed.expect("it serves") {
            Claimed::Granted(claim) => Some(claim),
            Claimed::Busy { .. } | Claimed::Failed(_) => None,
        }
    }
}

async fn ping(connection: Arc<MultiplexedConnection>) -> u32 {
    let mut connection = MultiplexedConnection::clone(&connection);
    let answer: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
    u32::from(answer.is_ok())
}

async fn read(resource: Arc<Resource>) -> u32 {
    u32::from(resource.store.current(&resource.key).await.is_ok())
}

async fn stale(resource: Arc<Resource>) -> u32 {
    let stale = Condition::AnyOf(vec![7_u64.into()]);
    u32::from(resource.claim(stale).await.is_none())
}

/// Two steps, for a claim does not come without a settle.
async fn write(resource: Arc<Resource>) -> u32 {
    let claim = resource.claim(Condition::Unconditional).await;
    let claim = claim.expect("nobody else has this one");
    let settled = resource.store.settle(claim, Outcome::Written).await;
    2 * u32::from(matches!(settled, Ok(Settled::Done(_))))
}
