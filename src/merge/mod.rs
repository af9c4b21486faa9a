//! What is left of a conflict when it is looked at closely: pure functions, no I/O, no clock.
//!
//! - [`three_way`] merges JSON documents: what a client needs after a 409 or 412, with its base,
//!   the current resource and its own edit in hand. Most conflicts of whole documents are none,
//!   because the two edits touch different members.
//! - [`resolve`] picks one of several values that different sources claim for one field, by
//!   [`most_recent`], [`highest_confidence`] or a rule of your own.
//!
//! ```
//! use serde_json::json;
//! use tower_conditional::merge::three_way;
//!
//! let base = json!({"status": "draft", "total": 10});
//! let current = json!({"status": "sent", "total": 10});
//! let mine = json!({"status": "draft", "total": 12});
//!
//! let merged = three_way(&base, &current, &mine);
//! assert!(merged.conflicts.is_empty(), "the two touched different members");
//! assert_eq!(merged.document, json!({"status": "sent", "total": 12}));
//! ```

mod fields;
mod three_way;

pub use self::fields::{Candidate, highest_confidence, most_recent, resolve};
pub use self::three_way::{Conflict, Merged, three_way};
