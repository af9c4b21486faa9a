//! A contribution: what one source says of some fields of a record.

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use tower_conditional::axum::{Expected, IncludeVersion, Wrote};
use tower_conditional::digest::canonical_json;

use crate::claims::{Claim, Policy, same};
use crate::common::database::{Database, commit};
use crate::common::id::Id;
use crate::common::json::{JsonObject, Object};
use crate::common::problems::Failure;
use crate::common::refused::Refused;
use crate::instant::Instant;
use crate::row::{Kind, Row, Shown};

/// Who is believed is decided under the lock on the record: no contribution is lost, and none is
/// compared with what is no longer so.
pub(crate) async fn contribute(
    State(database): State<Database>,
    id: Id,
    include: IncludeVersion,
    expected: Expected,
    JsonObject(body): JsonObject,
) -> Result<Wrote<Shown>, Refused> {
    let contribution = Contribution::read(body)?;
    let mut transaction = database.write().await?;
    let record = Row::lock(&mut transaction, &database, Kind::Record, id).await?;
    let mut record = record.ok_or_else(Failure::not_found)?;
    record.compare(&expected)?;
    let model = match record.body.get("modelId").and_then(Value::as_str) {
        Some(model) => {
            let id = Id(model.to_ascii_lowercase());
            Row::read(&mut transaction, Kind::Model, id).await?
        }
        None => None,
    };
    let model = model.map(|model| model.body);

    let mut data = record.data();
    let mut changed = false;
    for (field, value) in contribution.data {
        let claim = Claim {
            value: Some(value),
            source: contribution.source.clone(),
            confidence: contribution.confidence,
            observed_at: contribution.observed_at.clone(),
        };
        let policy = Policy::of(model.as_ref(), &field);
        let believed = record.claims.add(&field, claim, policy);
        // An equal value of another spelling changes nothing: the bytes stay as they are.
        if !same(believed.as_ref(), data.get(&field)) {
            changed = true;
            match believed {
                Some(value) => data.insert(field, value),
                None => data.remove(&field),
            };
        }
    }
    if changed {
        record.version += 1;
        record.body.insert("data".to_owned(), Value::from(data));
    }
    record.store(&mut transaction).await?;
    commit(transaction).await?;
    Ok(Wrote(record.version.into(), record.shown(include)))
}

struct Contribution {
    source: String,
    confidence: f64,
    observed_at: Instant,
    data: Object,
}

impl Contribution {
    fn read(mut body: Object) -> Result<Self, Failure> {
        let source = match body.remove("source") {
            None => String::new(),
            Some(Value::String(source)) => source,
            Some(_) => return Err(invalid("source is no text")),
        };
        let confidence = body.get("confidence").and_then(Value::as_f64);
        let confidence = confidence.filter(|it| (0.0..=1.0).contains(it));
        let observed_at = body.get("observedAt").and_then(Value::as_str);
        let observed_at = observed_at.and_then(Instant::parse);
        let Some(Value::Object(data)) = body.remove("data") else {
            return Err(invalid("data is no object"));
        };
        if canonical_json(&data).is_err() {
            return Err(invalid("data has a number that is no IEEE double"));
        }
        Ok(Self {
            source,
            confidence: confidence.ok_or_else(|| invalid("confidence is no number from 0 to 1"))?,
            observed_at: observed_at
                .ok_or_else(|| invalid("observedAt is no time as RFC 3339 writes it"))?,
            data,
        })
    }
}

fn invalid(detail: &'static str) -> Failure {
    let status = StatusCode::BAD_REQUEST;
    Failure::new(status, "invalid-contribution", "Invalid Contribution").detail(detail)
}
