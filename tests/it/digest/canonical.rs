//! Canonical JSON, by the examples of RFC 8785 and the places where implementations go wrong.

use proptest::prelude::*;
use serde_json::Value;
use tower_conditional::digest::{Sha256Digest, canonical_json};

fn canonical(json: &str) -> String {
    let value: Value = serde_json::from_str(json).expect("JSON");
    let canonical = canonical_json(&value).expect("a JSON value has a canonical form");
    String::from_utf8(canonical).expect("JSON is UTF-8")
}

#[test]
fn the_example_of_section_3_2_2() {
    let json = r#"{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"#;
    let expected = concat!(
        r#"{"literals":[null,true,false],"#,
        r#""numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
        r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#,
    );
    assert_eq!(canonical(json), expected);
}

#[test]
fn members_are_sorted_by_utf_16_code_units() {
    let json = r#"{"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7}"#;
    let expected = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}";
    assert_eq!(canonical(json), expected);
}

#[test]
fn numbers_are_doubles() {
    for (json, expected) in [
        ("-0", "0"),
        ("-0.0", "0"),
        ("1.0", "1"),
        ("1e0", "1"),
        ("9007199254740992", "9007199254740992"),
        ("9007199254740993", "9007199254740992"),
        ("18446744073709551615", "18446744073709552000"),
        ("-9223372036854775808", "-9223372036854776000"),
        ("1e21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("1e-6", "0.000001"),
        ("1e-7", "1e-7"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("123456789012345678901234567890", "1.2345678901234568e+29"),
        // Read carelessly, these are off by one bit.
        ("0.1234567890123456789", "0.12345678901234568"),
        ("1.7976931348623158e-308", "1.797693134862316e-308"),
        ("122.416294033786585", "122.41629403378658"),
    ] {
        assert_eq!(canonical(json), expected, "{json}");
    }
}

#[test]
fn the_digest_is_that_of_the_canonical_form() {
    let value: Value = serde_json::from_str(r#"{"b": 1.0, "a": "x"}"#).expect("JSON");
    let digest = Sha256Digest::of_json(&value).expect("a JSON value");
    assert_eq!(digest, Sha256Digest::of(r#"{"a":"x","b":1}"#));
}

proptest! {
    #[test]
    fn every_double_survives(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let json = serde_json::to_string(&number).expect("finite");
        let read: f64 = canonical(&json).parse().expect("a number");
        prop_assert_eq!(read, number);
    }

    #[test]
    fn the_canonical_form_is_its_own(bits in any::<u64>(), name in any::<String>(), text in any::<String>()) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let once = canonical(&serde_json::json!({name: [number, text], "a": {}}).to_string());
        prop_assert_eq!(canonical(&once), once);
    }
}
