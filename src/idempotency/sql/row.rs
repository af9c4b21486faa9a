//! What to make of a row that comes back.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Record;
use crate::idempotency::form;
use crate::idempotency::store::Begun;
use crate::store::StoreError;

/// When a client may ask again: a write is a matter of milliseconds, and whole seconds are what HTTP
/// can say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A row, understood.
pub(super) enum Row {
    /// An attempt with this token.
    Started(u64),
    /// What was there already.
    There(Begun),
}

impl TryFrom<Record> for Row {
    type Error = StoreError;

    fn try_from(record: Record) -> Result<Self, StoreError> {
        let (started, same, token, left, status, headers, content) = record;
        // Whoever wrote what we cannot read; what a statement did that answers so, nobody knows.
        let token = u64::try_from(token).map_err(StoreError::unknown)?;
        if started {
            return Ok(Self::Started(token));
        }
        if !same {
            return Ok(Self::There(Begun::Mismatch));
        }
        Ok(Self::There(match (left, status) {
            (Some(left), _) => Begun::InFlight {
                retry_after: Duration::from_millis(u64::try_from(left).unwrap_or(0))
                    .min(RETRY_AFTER),
            },
            (None, None) => Begun::InDoubt { token },
            (None, Some(status)) => {
                let response = form::read(status, &headers.unwrap_or_default(), content);
                Begun::Done {
                    token,
                    response: Arc::new(response.map_err(StoreError::unknown)?),
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_somebody_else_wrote_are_errors() {
        for (token, status) in [(-1, Some(200)), (1, Some(7)), (1, Some(i64::MAX))] {
            let row = Row::try_from((false, true, token, None, status, None, None));
            assert!(matches!(row, Err(StoreError::Unknown(_))), "{token}");
        }
    }
}
