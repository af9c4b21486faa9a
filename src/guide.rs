//! Guides: what to know before, beside and after the API.

#[doc = include_str!("docs/modes.md")]
pub mod modes {}
