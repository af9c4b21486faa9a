//! Descriptions for crates that have types of their own for OpenAPI: they read and write the same
//! JSON, whatever their types are called.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

/// Changes `typed` as JSON.
pub(super) fn through_json<T>(typed: &mut T, change: impl FnOnce(&mut Value)) -> Result<(), Error>
where
    T: Serialize + DeserializeOwned,
{
    let mut json = serde_json::to_value(&*typed)?;
    change(&mut json);
    *typed = serde_json::from_value(json)?;
    Ok(())
}
