//! Guides: what to know before, beside and after the API.

#[doc = include_str!("docs/browsers.md")]
pub mod browsers {}

#[doc = include_str!("docs/modes.md")]
pub mod modes {}

#[doc = include_str!("docs/operations.md")]
pub mod operations {}

#[doc = include_str!("docs/overload.md")]
pub mod overload {}

#[doc = include_str!("docs/proxies.md")]
pub mod proxies {}

#[doc = include_str!("docs/stores.md")]
pub mod stores {}
