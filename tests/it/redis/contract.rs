//! What every claim store must keep, on a real server.

use std::cell::RefCell;

use tower_conditional::store::redis::RedisOptions;
use tower_conditional::testing::ClaimStoreSuite;

use super::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_the_contract() {
    let (Some(server), Some(mut gone)) =
        (Server::start(&["--appendonly", "yes"]), Server::start(&[]))
    else {
        return;
    };
    gone.kill();
    let server = RefCell::new(server);
    let report = ClaimStoreSuite::new(async || server.borrow().store())
        .restart(async || {
            server.borrow_mut().kill();
            assert!(server.borrow_mut().start_again());
            server.borrow().store()
        })
        .failing(async || gone.store_with(RedisOptions::new()))
        .run()
        .await;
    assert_eq!(report.skipped, []);
    report.assert_passed();
}
