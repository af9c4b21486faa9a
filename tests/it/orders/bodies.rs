//! What is read of a body, and what is said of one that cannot be.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::service::{SELLER, on_each};

const MIB: usize = 1024 * 1024;

fn of_length(length: usize) -> String {
    let frame = r#"{"a":""}"#.len();
    format!(r#"{{"a":"{}"}}"#, "x".repeat(length - frame))
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_limit_a_type_and_a_form() {
    on_each(async |database| {
        let service = database.start(&[]);
        let order = service.order("{}").await;
        let orders = format!("{SELLER}/orders");
        let invoices = format!("{order}/invoices");
        let key = ("idempotency-key", "k");
        let right = ("if-match", "\"1\"");
        let requests = [
            ("POST", &orders, vec![key]),
            ("POST", &invoices, vec![]),
            ("PATCH", &order, vec![right]),
            ("PATCH", &order, vec![right, key]),
            ("PUT", &order, vec![right]),
        ];
        for (method, path, fields) in &requests {
            for length in [MIB + 1, 3 * MIB] {
                let long = service.ask(method, path, fields, &of_length(length)).await;
                long.assert_problem(413, "content-too-large");
            }
            for json in ["{", "[1]", "1", "null", "{\"a\":1}x", "{\"a\":\u{1}}"] {
                let bad = service.ask(method, path, fields, json).await;
                bad.assert_problem(400, "bad-json");
            }
            for media_type in ["text/plain", "application/jsonx", "", "json"] {
                let fields = [&fields[..], &[("content-type", media_type)]].concat();
                let wrong = service.ask(method, path, &fields, "{}").await;
                wrong.assert_problem(415, "unsupported-media-type");
            }
        }
        service.get(&order).await.assert_version(200, 1);
        let (method, path, fields) = &requests[0];
        let whole = service.ask(method, path, fields, &of_length(MIB)).await;
        whole.assert_version(201, 1);
        let again = service.ask(method, path, fields, &of_length(MIB)).await;
        assert_eq!(again.field("idempotency-replayed"), "true");
        assert_eq!(again.body, whole.body);
        let whole = service
            .ask("PATCH", &order, &[right], &of_length(MIB))
            .await;
        whole.assert_version(200, 2);
        // It is shown whole to who lost the race.
        let stale = service.ask("PATCH", &order, &[right], "{}").await;
        assert_eq!(stale.assert_stale("1"), 2);
        let spelled = [
            ("content-type", "Application/JSON; charset=utf-8"),
            ("if-match", "\"2\""),
        ];
        service
            .ask("PATCH", &order, &spelled, "{}")
            .await
            .assert_version(200, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_come_back_to_the_last_digit() {
    on_each(async |database| {
        let service = database.start(&[]);
        let order = service.order("{}").await;
        let any = [("if-match", "*")];
        for number in [
            "12345678901234567890123",
            "0.12345678901234567890",
            "1.10",
            "-0",
            "1e-400",
            "1e+400",
        ] {
            let sent = format!("{{\"n\":{number}}}");
            let patched = service.ask("PATCH", &order, &any, &sent).await;
            assert_eq!(patched.status, 200, "{patched:?}");
            let read = service.get(&order).await;
            let found = format!("\"n\":{number},");
            let body = String::from_utf8_lossy(&read.body);
            assert!(body.contains(&found), "{number}: {body}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nests_too_deep_is_refused_and_what_does_not_is_readable() {
    on_each(async |database| {
        let service = database.start(&[]);
        let order = service.order("{}").await;
        let any = [("if-match", "*")];
        for (depth, status) in [(99, 200), (100, 400), (127, 400), (400_000, 400)] {
            let sent = format!("{{\"n\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            let answer = service.ask("PUT", &order, &any, &sent).await;
            assert_eq!(answer.status, status, "{depth}");
            if status == 400 {
                answer.assert_problem(400, "bad-json");
            }
            let stale = [("if-match", "\"0\"")];
            service
                .ask("PUT", &order, &stale, "{}")
                .await
                .assert_stale("0");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_has_the_trace_id_of_its_request() {
    on_each(async |database| {
        let service = database.start(&[]);
        let order = service.order("{}").await;
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (method, path, status) in [
            ("GET", "/nothing", 404),
            ("PATCH", SELLER, 404),
            ("POST", &order, 405),
            ("PATCH", &order, 400),
        ] {
            for (fields, id) in [
                (
                    vec![("x-request-id", "r-1"), ("traceparent", parent)],
                    "r-1",
                ),
                (
                    vec![("traceparent", parent)],
                    "4bf92f3577b34da6a3ce929d0e0e4736",
                ),
            ] {
                let answer = service.ask(method, path, &fields, "").await;
                assert_eq!(answer.status, status);
                assert_eq!(answer.json()["traceId"], id, "{method} {path}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_all_before_he_reads_gets_his_answer_too() {
    on_each(async |database| {
        let service = database.start(&[]);
        let mut client = TcpStream::connect(service.address())
            .await
            .expect("it serves");
        let body = of_length(8 * MIB);
        let head = format!(
            "POST {SELLER}/orders HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client
            .write_all(head.as_bytes())
            .await
            .expect("a server that reads");
        client
            .write_all(body.as_bytes())
            .await
            .expect("a server that reads on");
        let mut answer = vec![0; 12];
        client.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer, b"HTTP/1.1 413");
    })
    .await;
}
