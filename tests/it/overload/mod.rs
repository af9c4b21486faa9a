//! More than there is room for: many writers of one resource, many resources, a store that hangs.
//! What there is no room for is refused at once, what is promised is kept, and afterwards all is as
//! before.

mod hanging;
mod idempotency;
mod keys;
mod queue;
