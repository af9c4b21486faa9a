//! When two JSON bodies say the same.

use serde_json::{Map, Number, Value};

use super::fingerprint::{Fingerprint, Hasher};

/// Which members of a JSON object make it what it is.
///
/// Two objects are equal if these members are: in any order, in any spelling of strings and
/// numbers (`1` is `1.0`), white space apart. Numbers are compared to the last digit that serde_json
/// keeps of them: integers of 64 bits and doubles, or all of them with its feature
/// `arbitrary_precision`.
///
/// ```
/// use tower_conditional::idempotency::Content;
///
/// let content = Content::all().without(["id"]);
/// let first = content.digest(br#"{"id":1,"total":12.0}"#);
/// assert!(first.is_some());
/// assert_eq!(first, content.digest(br#"{ "total": 12, "id": 2 }"#));
/// assert_ne!(first, content.digest(br#"{"total":13}"#));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Content {
    members: Members,
    unless: Vec<String>,
}

#[derive(Debug, Clone)]
enum Members {
    AllBut(Vec<String>),
    Only(Vec<String>),
}

impl Content {
    /// All members.
    pub const fn all() -> Self {
        Self {
            members: Members::AllBut(Vec::new()),
            unless: Vec::new(),
        }
    }

    /// These members and no others.
    pub fn only<M: Into<String>>(members: impl IntoIterator<Item = M>) -> Self {
        Self {
            members: Members::Only(texts(members)),
            unless: Vec::new(),
        }
    }

    /// The same, without these members.
    pub fn without<M: Into<String>>(mut self, members: impl IntoIterator<Item = M>) -> Self {
        let gone = texts(members);
        match &mut self.members {
            Members::AllBut(all) => all.extend(gone),
            Members::Only(only) => only.retain(|member| !gone.contains(member)),
        }
        self
    }

    /// Does not count what has one of these members: it says by itself what it is. `null` counts as
    /// not there.
    pub fn unless<M: Into<String>>(mut self, members: impl IntoIterator<Item = M>) -> Self {
        self.unless.extend(texts(members));
        self
    }

    /// A digest of what counts; `None` if nothing does: the text is no JSON object, or has a member
    /// that [excludes](Self::unless) it. Equal bodies have equal digests, also in later versions of
    /// this crate: applications may store it.
    #[must_use]
    pub fn digest(&self, json: &[u8]) -> Option<Fingerprint> {
        let Ok(Value::Object(object)) = serde_json::from_slice(json) else {
            return None;
        };
        let is_there = |name: &String| object.get(name).is_some_and(|value| !value.is_null());
        if self.unless.iter().any(is_there) {
            return None;
        }
        let mut hash = Hasher::default();
        hash_object(&mut hash, &object, |name| match &self.members {
            Members::AllBut(gone) => !gone.iter().any(|gone| gone == name),
            Members::Only(only) => only.iter().any(|only| only == name),
        });
        Some(hash.finish())
    }
}

fn texts<M: Into<String>>(members: impl IntoIterator<Item = M>) -> Vec<String> {
    members.into_iter().map(Into::into).collect()
}

fn hash_object(hash: &mut Hasher, object: &Map<String, Value>, counts: impl Fn(&str) -> bool) {
    let members = object.iter().filter(|(name, _)| counts(name));
    // Sorted here, because the application may have told serde_json to keep the order.
    let mut members: Vec<_> = members.collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    hash.part(b"object");
    hash.part(&(members.len() as u64).to_be_bytes());
    for (name, value) in members {
        hash.part(name.as_bytes());
        hash_value(hash, value);
    }
}

/// Every value says what it is and how long: two different ones never give the same bytes. Its
/// depth is bounded by the parser.
fn hash_value(hash: &mut Hasher, value: &Value) {
    match value {
        Value::Null => hash.part(b"null"),
        Value::Bool(true) => hash.part(b"true"),
        Value::Bool(false) => hash.part(b"false"),
        Value::Number(number) => {
            hash.part(b"number");
            hash.part(canonical(number).as_bytes());
        }
        Value::String(text) => {
            hash.part(b"string");
            hash.part(text.as_bytes());
        }
        Value::Array(values) => {
            hash.part(b"array");
            hash.part(&(values.len() as u64).to_be_bytes());
            values.iter().for_each(|value| hash_value(hash, value));
        }
        Value::Object(object) => hash_object(hash, object, |_| true),
    }
}

/// One spelling for each number. What has none, because its exponent is beyond all bounds, stays as
/// it is.
fn canonical(number: &Number) -> String {
    let text = number.to_string();
    decimal(&text).unwrap_or(text)
}

/// The digits of a decimal number, without zeros at either end, and where the point is: `150.0` and
/// `1.5e2` are both `150`.
fn decimal(text: &str) -> Option<String> {
    // Longer ones are written with an exponent.
    const ZEROS: i64 = 40;
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => ("-", text),
        None => ("", text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let length = |text: &str| i64::try_from(text.len()).ok();
    let exponent: i64 = exponent.parse().ok()?;
    let exponent = exponent.checked_sub(length(fraction)?)?;
    let exponent = exponent.checked_add(length(digits)? - length(significant)?)?;
    Some(match usize::try_from(exponent) {
        Ok(zeros) if exponent <= ZEROS => format!("{sign}{significant}{}", "0".repeat(zeros)),
        _ => {
            let whole = length(significant)?.checked_add(exponent)?;
            let whole = usize::try_from(whole).ok().filter(|whole| *whole > 0);
            match whole.and_then(|whole| significant.split_at_checked(whole)) {
                Some((whole, fraction)) if exponent < 0 => format!("{sign}{whole}.{fraction}"),
                _ => format!("{sign}{significant}e{exponent}"),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_value_are_equal() {
        for (one, other) in [
            (r#"{"a":1,"b":2}"#, r#"{ "b": 2, "a": 1 }"#),
            (r#"{"a":1}"#, r#"{"a":1.0}"#),
            (r#"{"a":100}"#, r#"{"a":1e2}"#),
            (r#"{"a":-0.0}"#, r#"{"a":0}"#),
            (r#"{"a":1e16}"#, r#"{"a":10000000000000000}"#),
            (r#"{"a":-9e18}"#, r#"{"a":-9000000000000000000}"#),
            (r#"{"a":1e30}"#, r#"{"a":1000000000000000000000000000000}"#),
            (r#"{"a":0.5}"#, r#"{"a":5e-1}"#),
            (r#"{"a":-12.50}"#, r#"{"a":-1.25e+1}"#),
            (r#"{"a":0.000001}"#, r#"{"a":10e-7}"#),
            (r#"{"a":-0}"#, r#"{"a":0e5}"#),
            (r#"{"a":1e300}"#, r#"{"a":10E299}"#),
            (r#"{"a":"é"}"#, r#"{"a":"\u00e9"}"#),
            (r#"{"a":[{"c":1,"b":2}]}"#, r#"{"a":[{"b":2,"c":1}]}"#),
        ] {
            let digest = |json: &str| Content::all().digest(json.as_bytes());
            assert!(digest(one).is_some());
            assert_eq!(digest(one), digest(other), "{one} and {other}");
        }
    }

    #[test]
    fn different_values_differ() {
        let all = [
            r#"{}"#,
            r#"{"a":null}"#,
            r#"{"a":"null"}"#,
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[[],1]}"#,
            r#"{"a":[[1]]}"#,
            r#"{"a":{}}"#,
            r#"{"a":[]}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":true}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":-1}"#,
            r#"{"a":1.5}"#,
            r#"{"a":15}"#,
            r#"{"a":1.5e-7}"#,
            r#"{"a":1.5e-8}"#,
            r#"{"a":1e41}"#,
            r#"{"a":1e42}"#,
            // As long as serde_json keeps their digits, as it does in this build.
            r#"{"a":12345678901234567890123}"#,
            r#"{"a":12345678901234567890124}"#,
            r#"{"a":0.1}"#,
            r#"{"a":0.10000000000000000001}"#,
            r#"{"a":1e99999999999999999999}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"b":1}"#,
        ];
        for (at, one) in all.iter().enumerate() {
            for other in all.iter().skip(at + 1) {
                let digest = |json: &str| Content::all().digest(json.as_bytes());
                assert_ne!(digest(one), digest(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn only_what_counts_is_compared() {
        let chosen = Content::only(["a", "b"]).without(["b"]);
        let digest = |json: &str| chosen.digest(json.as_bytes());
        assert_eq!(digest(r#"{"a":1,"b":2,"c":3}"#), digest(r#"{"a":1,"b":4}"#));
        assert_ne!(digest(r#"{"a":1}"#), digest(r#"{"a":2}"#));
    }

    #[test]
    fn what_excludes_itself_or_is_no_object_has_no_digest() {
        let content = Content::all().unless(["id"]);
        for json in [r#"{"id":1,"a":2}"#, "[1]", "1", "", "{"] {
            assert_eq!(content.digest(json.as_bytes()), None, "{json}");
        }
        assert!(content.digest(br#"{"id":null,"a":2}"#).is_some());
    }

    #[test]
    fn the_digest_is_the_same_in_every_version() {
        let digest = Content::all().digest(br#"{"a":[1,"x",null,true],"b":{"c":1.5}}"#);
        assert_eq!(
            digest.unwrap().to_string(),
            "22628e677ec1d3450af369caaad4da361f5ef33e6a2730abd6624b506c62a710"
        );
    }
}
