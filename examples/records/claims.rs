//! Who claims what for a field, and who is believed.
//!
//! Of all claims for a field, only those two are kept that one of the two policies believes: what
//! comes later can only be compared with them, and a model may change its mind. A value that was
//! set directly is a claim of the greatest confidence, and ends all earlier ones.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tower_conditional::digest::canonical_json;
use tower_conditional::merge::{Candidate, highest_confidence, most_recent, resolve};

use crate::common::json::Object;
use crate::instant::Instant;

/// A value that was claimed; `None` where the field was taken out.
pub(crate) type Claim = Candidate<Option<Value>, Instant>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Policy {
    HighestConfidence,
    #[default]
    MostRecent,
}

impl Policy {
    pub(crate) fn named(name: &Value) -> Option<Self> {
        match name.as_str()? {
            "highest_confidence" => Some(Self::HighestConfidence),
            "most_recent" => Some(Self::MostRecent),
            _ => None,
        }
    }

    /// The policy of a field, as the model of its record has it.
    pub(crate) fn of(model: Option<&Object>, field: &str) -> Self {
        let policies = model.and_then(|model| model.get("policies"));
        let policy = policies.and_then(|policies| policies.get(field));
        policy.and_then(Self::named).unwrap_or_default()
    }
}

/// The claims for the fields of a record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(BTreeMap<String, Believed>);

#[derive(Debug, Clone)]
struct Believed {
    most_recent: Claim,
    highest_confidence: Claim,
}

impl Claims {
    /// The fields from `before` to `after` were set directly.
    pub(crate) fn set(&mut self, before: &Object, after: &Object) {
        let now = Instant::now();
        for field in before.keys().chain(after.keys()) {
            if !same(before.get(field), after.get(field)) {
                let claim = Claim {
                    value: after.get(field).cloned(),
                    source: String::new(),
                    confidence: 1.0,
                    observed_at: now.clone(),
                };
                let believed = Believed {
                    most_recent: claim.clone(),
                    highest_confidence: claim,
                };
                self.0.insert(field.clone(), believed);
            }
        }
    }

    /// One more claim for a field: the value that is believed now.
    pub(crate) fn add(&mut self, field: &str, claim: Claim, policy: Policy) -> Option<Value> {
        let believed = match self.0.remove(field) {
            None => Believed {
                most_recent: claim.clone(),
                highest_confidence: claim,
            },
            Some(standing) => Believed {
                most_recent: of_two(standing.most_recent, &claim, most_recent),
                highest_confidence: of_two(standing.highest_confidence, &claim, highest_confidence),
            },
        };
        let value = match policy {
            Policy::HighestConfidence => &believed.highest_confidence,
            Policy::MostRecent => &believed.most_recent,
        };
        let value = value.value.clone();
        self.0.insert(field.to_owned(), believed);
        value
    }

    pub(crate) fn to_json(&self) -> Value {
        let fields = self.0.iter().map(|(field, believed)| {
            let both = [&believed.most_recent, &believed.highest_confidence];
            (field.clone(), Value::from(both.map(claim_to_json).to_vec()))
        });
        Value::Object(fields.collect())
    }

    /// What was stored; a field whose claims cannot be read has none.
    pub(crate) fn from_json(json: Object) -> Self {
        let fields = json.into_iter().filter_map(|(field, both)| {
            let believed = Believed {
                most_recent: claim_from_json(both.get(0)?)?,
                highest_confidence: claim_from_json(both.get(1)?)?,
            };
            Some((field, believed))
        });
        Self(fields.collect())
    }
}

fn of_two(
    standing: Claim,
    arriving: &Claim,
    policy: fn(&Claim, &Claim) -> std::cmp::Ordering,
) -> Claim {
    match resolve([&standing, arriving], policy) {
        Some(believed) if std::ptr::eq(believed, arriving) => arriving.clone(),
        _ => standing,
    }
}

fn claim_to_json(claim: &Claim) -> Value {
    let value: Vec<_> = claim.value.iter().collect();
    json!([
        value,
        claim.source,
        claim.confidence,
        claim.observed_at.to_json()
    ])
}

fn claim_from_json(json: &Value) -> Option<Claim> {
    Some(Claim {
        value: json.get(0)?.get(0).cloned(),
        source: json.get(1)?.as_str()?.to_owned(),
        confidence: json.get(2)?.as_f64()?,
        observed_at: Instant::from_json(json.get(3)?)?,
    })
}

/// Equal by RFC 8785: one canonical form.
pub(crate) fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            let forms = canonical_json(one).ok().zip(canonical_json(other).ok());
            forms.is_some_and(|(one, other)| one == other)
        }
        (None, None) => true,
        _ => false,
    }
}
