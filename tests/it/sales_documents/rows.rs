//! What each request is answered, one after the other.

use serde_json::json;

use super::{Called, JSON, alone, call, get};
use crate::support::client::send;

const KINDS: [&str; 6] = [
    "InventoryRegistration",
    "InventoryTransfer",
    "InventoryWriteOff",
    "Payment",
    "PurchaseDocument",
    "SalesDocument",
];

const MIB: usize = 1024 * 1024;

#[test]
fn documents_of_every_kind_are_saved_read_replaced_and_deleted() {
    alone(&[], |url| {
        for kind in KINDS {
            let (save, delete) = (&*format!("save{kind}"), &*format!("delete{kind}"));
            let saved = call(url, save, &json!({"total": 12, "rows": [{"n": 1}]}));
            let saved = saved.expect(200, 0);
            let id = saved.id();
            assert_eq!(
                saved.record,
                json!({"id": id, "total": 12, "rows": [{"n": 1}]})
            );
            assert_eq!(get(url, kind, &id).record, saved.record);

            let replaced = call(url, save, &json!({"id": id, "note": "x"})).expect(200, 0);
            assert_eq!(replaced.record, json!({"id": id, "note": "x"}));
            assert_eq!(get(url, kind, &id).record, replaced.record);

            let other = KINDS[usize::from(kind == KINDS[0])];
            get(url, other, &id).expect(404, 1011);
            call(url, &format!("save{other}"), &json!({"id": id})).expect(404, 1011);
            if kind == "Payment" {
                continue;
            }
            let deleted = call(url, delete, &json!({"id": id})).expect(200, 0);
            assert_eq!(deleted.id(), id);
            get(url, kind, &id).expect(404, 1011);
            call(url, delete, &json!({"id": id})).expect(404, 1011);
            call(url, save, &json!({"id": id})).expect(404, 1011);
        }
    });
}

#[test]
fn ids_that_no_document_has_are_unknown_however_they_are_spelled() {
    alone(&[], |url| {
        let long = "x".repeat(3000);
        for id in [
            json!(7),
            json!("7"),
            json!("\0"),
            json!(true),
            json!([]),
            json!(long),
        ] {
            call(url, "saveSalesDocument", &json!({"id": id})).expect(404, 1011);
            call(url, "deleteSalesDocument", &json!({"id": id})).expect(404, 1011);
        }
        call(url, "deleteSalesDocument", &json!({})).expect(404, 1011);
        get(url, "SalesDocument", &json!("7")).expect(404, 1011);
        call(url, "saveSalesDocument", &json!({"id": null, "new": 1})).expect(200, 0);
    });
}

#[test]
fn a_temporary_uuid_counts_once_for_each_kind_and_for_ever() {
    alone(&[], |url| {
        for kind in KINDS {
            let save = &*format!("save{kind}");
            let body = json!({"temporaryUUID": "u-1", "total": 1});
            let id = call(url, save, &body).expect(200, 0).id();
            call(url, save, &body).expect(409, 1206);
            call(url, save, &json!({"temporaryUUID": "u-1", "total": 2})).expect(409, 1206);
            call(url, save, &json!({"temporaryUUID": "u-2", "total": 1})).expect(200, 0);

            // A retry of an edit would undo what others have done since.
            let edit = json!({"id": id, "temporaryUUID": "u-3", "total": 3});
            call(url, save, &edit).expect(200, 0);
            call(url, save, &json!({"id": id, "total": 4})).expect(200, 0);
            call(url, save, &edit).expect(409, 1206);
            assert_eq!(get(url, kind, &id).record["total"], 4);

            // It counts once the document is stored, not before.
            let unknown = "00000000-0000-4000-8000-000000000000";
            let edit = json!({"id": unknown, "temporaryUUID": "u-4"});
            call(url, save, &edit).expect(404, 1011);
            call(url, save, &json!({"temporaryUUID": "u-4"})).expect(200, 0);

            if kind != "Payment" {
                call(url, &format!("delete{kind}"), &json!({"id": id})).expect(200, 0);
                call(url, save, &body).expect(409, 1206);
            }
        }
        for unusable in [json!(""), json!(5), json!("\0"), json!("x".repeat(256))] {
            let body = json!({"temporaryUUID": unusable});
            call(url, "saveSalesDocument", &body).expect(400, 1000);
        }
    });
}

#[test]
fn the_same_sale_or_payment_is_stored_once() {
    alone(&[], |url| {
        for kind in ["Payment", "SalesDocument"] {
            let save = &*format!("save{kind}");
            let new = |body| call(url, save, &body).expect(200, 0);
            let first = new(json!({"total": 1, "rows": [{"a": 1, "b": "x"}]}));
            let id = first.id();
            let text = r#"{"rows": [ {"b": "\u0078", "a": 1.0} ], "total": 1e0, "id": null}"#;
            let reply = send(
                url,
                "POST",
                &format!("/api/{save}"),
                &[JSON],
                text.as_bytes(),
            );
            let same = Called::read(save, reply, first.took).expect(200, 0);
            assert_eq!(same.record, first.record);
            assert_ne!(new(json!({"total": 2})).id(), id);
            // To the last digit, further than a double goes.
            let exact = |total: &str| {
                let body = format!("{{\"total\":{total}}}");
                call(url, save, &serde_json::from_str(&body).expect("JSON")).expect(200, 0)
            };
            for (one, other) in [
                ("12345678901234567890123", "12345678901234567890124"),
                ("0.1", "0.10000000000000000001"),
            ] {
                assert_ne!(exact(one).id(), exact(other).id(), "{one}");
            }

            // Whoever sends a UUID has said that it is another one.
            let uuid = json!({"total": 1, "rows": [{"a": 1, "b": "x"}], "temporaryUUID": "u"});
            assert_ne!(new(uuid).id(), id);

            // As it is now.
            new(json!({"id": id, "total": 3}));
            assert_eq!(new(json!({"total": 3})).id(), id);
            if kind == "SalesDocument" {
                call(url, "deleteSalesDocument", &json!({"id": id})).expect(200, 0);
                assert_ne!(new(json!({"total": 3})).id(), id);
            }
        }
        // Within one kind, and no others than these two.
        let stored = [
            "Payment",
            "SalesDocument",
            "PurchaseDocument",
            "PurchaseDocument",
        ];
        let mut ids: Vec<_> = stored
            .iter()
            .map(|kind| {
                call(url, &format!("save{kind}"), &json!({"total": 9}))
                    .id()
                    .to_string()
            })
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4);
    });
}

#[test]
fn after_the_window_the_same_content_is_another_sale() {
    alone(&[("DUPLICATE_WINDOW_MS", "0")], |url| {
        let save = || call(url, "savePayment", &json!({"total": 1})).expect(200, 0);
        assert_ne!(save().id(), save().id());
    });
}

#[test]
fn every_error_has_the_same_form() {
    alone(&[], |url| {
        let send = |method, function: &str, fields: &[(&str, &str)], body: &[u8]| {
            let path = format!("/api/{function}");
            let reply = send(url, method, &path, fields, body);
            Called::read(function, reply, std::time::Duration::ZERO)
        };
        let save = "saveSalesDocument";
        for body in ["", "{", "[]", "1", "{\"a\":1}x"] {
            send("POST", save, &[JSON], body.as_bytes()).expect(400, 1000);
        }
        send("POST", save, &[("content-type", "text/plain")], b"{}").expect(415, 1000);
        send("POST", save, &[], b"{}").expect(415, 1000);
        let body = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8)).into_bytes();
        send("POST", save, &[JSON], &body(MIB)).expect(200, 0);
        // Long enough that the client is still sending when it is refused.
        for length in [MIB + 1, 2 * MIB, 8 * MIB] {
            send("POST", save, &[JSON], &body(length)).expect(413, 1000);
        }
        let refused = send("GET", save, &[], b"").expect(405, 1000);
        assert_eq!(refused.reply.field("allow"), Some("POST"));
        let refused = send("DELETE", "getPayment", &[], b"").expect(405, 1000);
        assert_eq!(refused.reply.field("allow"), Some("GET,HEAD"));
        send("POST", "deletePayment", &[JSON], b"{}").expect(404, 1000);
        send("GET", "getNothing", &[], b"").expect(404, 1000);
        send("GET", "getPayment", &[], b"").expect(404, 1011);
    });
}
