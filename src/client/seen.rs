//! Which tag one handle of a client has read last, for each resource.
//!
//! `If-Match` says what a write is based on, and only whoever writes knows that. If two tasks shared
//! this, a read by one of them would make a write by the other look newer than it is: the lost
//! update that the field is there to prevent. So each clone has a list of its own, which starts as
//! what its original had read by then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::key::SeenBy;
use crate::entity_tag::EntityTag;

#[derive(Debug)]
pub(super) struct Seen {
    most: usize,
    /// Copied when it changes, and only if a clone still has it too.
    tags: Mutex<Arc<LruCache<SeenBy, EntityTag>>>,
}

impl Seen {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            tags: Mutex::new(Arc::new(LruCache::unbounded())),
        }
    }

    /// A list that starts with the same tags and goes its own way.
    pub(super) fn fork(&self) -> Self {
        Self {
            most: self.most,
            tags: Mutex::new(Arc::clone(&self.lock())),
        }
    }

    pub(super) fn get(&self, key: SeenBy) -> Option<EntityTag> {
        self.lock().peek(&key).cloned()
    }

    pub(super) fn set(&self, key: SeenBy, tag: EntityTag) {
        let mut tags = self.lock();
        let tags = Arc::make_mut(&mut tags);
        tags.put(key, tag);
        while tags.len() > self.most {
            tags.pop_lru();
        }
    }

    pub(super) fn forget(&self, key: SeenBy) {
        let mut tags = self.lock();
        if tags.contains(&key) {
            Arc::make_mut(&mut tags).pop(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<LruCache<SeenBy, EntityTag>>> {
        // Nothing in here can panic half way.
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Uri};

    use super::*;

    fn key(uri: &'static str) -> SeenBy {
        SeenBy::of(&Uri::from_static(uri), &HeaderMap::new(), &[])
    }

    fn tag(opaque: &str) -> EntityTag {
        EntityTag::strong(opaque).unwrap()
    }

    #[test]
    fn a_fork_starts_with_what_was_read_and_goes_its_own_way() {
        let seen = Seen::new(8);
        seen.set(key("/a"), tag("1"));
        let fork = seen.fork();
        seen.set(key("/a"), tag("2"));
        fork.set(key("/b"), tag("3"));
        assert_eq!(fork.get(key("/a")), Some(tag("1")));
        assert_eq!(seen.get(key("/a")), Some(tag("2")));
        assert_eq!(seen.get(key("/b")), None);
        fork.forget(key("/a"));
        assert_eq!(fork.get(key("/a")), None);
        assert_eq!(seen.get(key("/a")), Some(tag("2")));
    }

    #[test]
    fn the_tag_read_first_is_forgotten_first() {
        let seen = Seen::new(2);
        seen.set(key("/a"), tag("1"));
        seen.set(key("/b"), tag("1"));
        seen.set(key("/a"), tag("2"));
        seen.set(key("/c"), tag("1"));
        assert_eq!(seen.get(key("/a")), Some(tag("2")));
        assert_eq!(seen.get(key("/b")), None);
        assert_eq!(seen.get(key("/c")), Some(tag("1")));
    }
}
