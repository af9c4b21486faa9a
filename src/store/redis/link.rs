//! What is at the other end: one server, or the servers of a cluster (feature `redis-cluster`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, SendError};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, ProtocolVersion,
    PushInfo, PushKind, RedisError,
};
#[cfg(feature = "redis-cluster")]
use redis::{cluster::ClusterClient, cluster_async::ClusterConnection};

use super::RedisOptions;

/// Whom to connect to, and how.
#[derive(Debug)]
pub(crate) struct Server {
    address: Address,
    connect_timeout: Duration,
    response_timeout: Duration,
}

enum Address {
    #[cfg(feature = "redis-cluster")]
    Cluster(Box<ClusterClient>),
    One(Client),
}

/// A connection that was opened.
pub(super) enum Link {
    #[cfg(feature = "redis-cluster")]
    Cluster(ClusterConnection),
    One(MultiplexedConnection),
}

impl Server {
    pub(crate) fn one(
        address: impl IntoConnectionInfo,
        options: &RedisOptions,
    ) -> Result<Self, RedisError> {
        let address = address.into_connection_info()?;
        // The third version of the protocol tells when the server hangs up on an idle connection.
        let settings = address.redis_settings().clone();
        let address = address.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
        Ok(Self::new(Address::One(Client::open(address)?), options))
    }

    #[cfg(feature = "redis-cluster")]
    pub(crate) fn cluster<A: IntoConnectionInfo>(
        nodes: impl IntoIterator<Item = A>,
        options: &RedisOptions,
    ) -> Result<Self, RedisError> {
        let client = ClusterClient::builder(nodes)
            .connection_timeout(options.connect_timeout)
            .response_timeout(options.response_timeout)
            .build()?;
        let address = Address::Cluster(Box::new(client));
        Ok(Self::new(address, options))
    }

    const fn new(address: Address, options: &RedisOptions) -> Self {
        Self {
            address,
            connect_timeout: options.connect_timeout,
            response_timeout: options.response_timeout,
        }
    }

    /// Sets `closed` as soon as the server hangs up. (A cluster's connection looks after itself.)
    pub(super) async fn open(&self, closed: Arc<AtomicBool>) -> Result<Link, RedisError> {
        match &self.address {
            #[cfg(feature = "redis-cluster")]
            Address::Cluster(client) => client.get_async_connection().await.map(Link::Cluster),
            Address::One(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.connect_timeout))
                    .set_response_timeout(Some(self.response_timeout))
                    .set_push_sender(move |push: PushInfo| {
                        if push.kind == PushKind::Disconnection {
                            closed.store(true, Ordering::Release);
                        }
                        Ok::<(), SendError>(())
                    });
                let connection = client.get_multiplexed_async_connection_with_config(&config);
                connection.await.map(Link::One)
            }
        }
    }
}

impl Link {
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
            Self::One(connection) => command.query_async(&mut connection.clone()).await,
        }
    }

    pub(super) const fn is_one_server(&self) -> bool {
        matches!(self, Self::One(_))
    }
}

impl std::fmt::Debug for Address {
    /// Without the passwords that the drivers keep with the address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(_) => "Cluster",
            Self::One(_) => "One",
        })
    }
}
