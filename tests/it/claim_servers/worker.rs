//! A server process: this very binary, started again, with a service that knows nothing of versions
//! under the layer.

use std::time::Duration;

use tower_conditional::policy::Busy;
use tower_conditional::{ConditionalLayer, Policy};

use super::database::Place;
use super::watched::Watched;
use crate::history::documents::Documents;
use crate::history::faults::Plan;
use crate::history::server::Server;
use crate::sql::worker::say;

pub(super) const ENGINE: &str = "TOWER_CONDITIONAL_CLAIM_SERVER";
pub(super) const DOCUMENTS: &str = "TOWER_CONDITIONAL_CLAIM_SERVER_DOCUMENTS";
pub(super) const PORT: &str = "TOWER_CONDITIONAL_CLAIM_SERVER_PORT";

/// What a killed process may keep others from; long enough that a handler on a machine that is busy
/// elsewhere is dropped before it ends.
const LEASE: Duration = Duration::from_secs(2);

/// Some that fail, none that only wait.
const PLAN: Plan = Plan {
    panics: 5,
    errors: 10,
    stalls: 0,
    inner_timeouts: 0,
    outer_timeout: Duration::from_secs(10),
    ..Plan::USUAL
};

/// Where the processes begin; nothing to do in this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_process() {
    let Ok(engine) = std::env::var(ENGINE) else {
        return;
    };
    let variable = |name| std::env::var(name).expect("it is set");
    let place = Place {
        engine,
        documents: variable(DOCUMENTS).into(),
    };
    let policy = Policy::rfc9110()
        .busy(Busy::Wait(Duration::from_millis(100)))
        .lease(LEASE);
    let layer = ConditionalLayer::new(Watched::new(place.store().await)).policy(policy);
    let documents = Documents::in_folder(place.documents);
    let port = variable(PORT).parse().expect("a port");
    let server = Server::over(documents, layer, PLAN, port).await;
    say(&format!("listening on {}", server.address));
    std::future::pending().await
}
