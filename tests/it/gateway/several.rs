//! Several gateways in front of one upstream, on one database: one service.

use std::thread;

use super::upstream::{Upstream, ask, tag};
use crate::support::service::Service;

#[test]
fn two_gateways_on_one_database_are_one_service() {
    let upstream = Upstream::start();
    let environment = [("UPSTREAM", &*upstream.url)];
    let sqlite = Service::on_sqlite("gateway", 2, &environment);
    let postgres = Service::on_postgres("gateway", 2, &environment);
    for service in [Some(sqlite), postgres].into_iter().flatten() {
        upstream.put("/notes/1", "first");
        one_service(&upstream, service);
    }
}

fn one_service(upstream: &Upstream, mut service: Service) {
    let gateways = &service.processes;
    for _ in 0..3 {
        let read = tag(&gateways[0], "/notes/1");
        assert_eq!(tag(&gateways[1], "/notes/1"), read);
        upstream.seen();
        let statuses: Vec<u16> = thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let (gateway, read) = (&gateways[writer % 2], &*read);
                    scope.spawn(move || {
                        let fields = [("if-match", read)];
                        ask(gateway, "PUT /notes/1", &fields, "text").status
                    })
                })
                .collect();
            let ended = writers.into_iter().map(|writer| writer.join());
            ended.map(|status| status.expect("a status")).collect()
        });
        let won = statuses.iter().filter(|status| **status == 204).count();
        let lost = statuses.iter().filter(|status| **status == 412).count();
        assert_eq!((won, lost), (1, 7), "{statuses:?}");
        assert_eq!(upstream.seen().len(), 1, "more than one got through");
    }
    // And it stays one when it is killed and started again.
    let read = tag(&gateways[0], "/notes/1");
    for gateway in &mut service.processes {
        gateway.kill();
    }
    let again = upstream.gateway(&[("DATABASE_URL", &service.database_url)]);
    assert_eq!(tag(&again, "/notes/1"), read);
    ask(&again, "GET /notes/1", &[("if-none-match", &read)], "").expect(304);
}

#[test]
fn a_gateway_with_its_versions_in_memory_takes_no_tag_from_before_it_started() {
    let upstream = Upstream::start();
    upstream.put("/notes/1", "first");
    let old = tag(&upstream.gateway(&[]), "/notes/1");
    let gateway = upstream.gateway(&[]);
    ask(&gateway, "GET /notes/1", &[("if-none-match", &old)], "").expect(200);
    let stale = ask(&gateway, "PUT /notes/1", &[("if-match", &old)], "second");
    stale.expect_problem(412, "precondition-failed");
}
