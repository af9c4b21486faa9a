//! Versions in the memory of one process.

use super::{
    Answer, Claim, ClaimOptions, ClaimStore, Claimed, Condition, Outcome, Settled, Snapshot,
    StoreError, VersionStore,
};
use crate::key::ResourceKey;

/// Versions in the memory of one process.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {}

impl VersionStore for MemoryStore {
    fn current(&self, _key: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        Answer::ready(Err(StoreError::not_applied("stub")))
    }
}
impl ClaimStore for MemoryStore {
    fn claim(
        &self,
        _key: &ResourceKey,
        _condition: &Condition,
        _options: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        Answer::ready(Err(StoreError::not_applied("stub")))
    }
    fn settle(&self, _claim: Claim, _outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        Answer::ready(Err(StoreError::not_applied("stub")))
    }
    fn abandon(&self, _claim: Claim) {}
}
