//! The copies that all clones of a client share, bounded in number and in bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::kept::KeptCopy;
use super::key::SeenBy;

#[derive(Debug)]
pub(super) struct Copies {
    most: usize,
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    by_key: LruCache<SeenBy, Arc<KeptCopy>>,
    bytes: usize,
}

impl Copies {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            most,
            most_bytes,
            kept: Mutex::new(Kept {
                by_key: LruCache::unbounded(),
                bytes: 0,
            }),
        }
    }

    /// How long the content of a copy may be.
    pub(super) const fn longest(&self) -> usize {
        if self.most == 0 { 0 } else { self.most_bytes }
    }

    pub(super) fn get(&self, key: SeenBy) -> Option<Arc<KeptCopy>> {
        self.lock().by_key.get(&key).cloned()
    }

    pub(super) fn put(&self, key: SeenBy, copy: Arc<KeptCopy>) {
        let mut kept = self.lock();
        kept.remove(key);
        kept.bytes += copy.bytes();
        kept.by_key.put(key, copy);
        while kept.by_key.len() > self.most || kept.bytes > self.most_bytes {
            let Some((_, oldest)) = kept.by_key.pop_lru() else {
                break;
            };
            kept.bytes -= oldest.bytes();
        }
    }

    pub(super) fn remove(&self, key: SeenBy) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing in here can panic half way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, key: SeenBy) {
        if let Some(copy) = self.by_key.pop(&key) {
            self.bytes -= copy.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Response, Uri, header};

    use super::*;

    fn key(number: usize) -> SeenBy {
        let uri = Uri::try_from(format!("/{number}")).unwrap();
        SeenBy::of(&uri, &HeaderMap::new(), &[])
    }

    fn copy(length: usize) -> Arc<KeptCopy> {
        let answer = Response::builder().header(header::ETAG, "\"1\"");
        let (parts, ()) = answer.body(()).unwrap().into_parts();
        let copy = KeptCopy::begin(&HeaderMap::new(), &parts).unwrap();
        Arc::new(copy.with_content(Bytes::from(vec![0; length])))
    }

    fn kept(copies: &Copies) -> Vec<usize> {
        (0..10)
            .filter(|it| copies.lock().by_key.contains(&key(*it)))
            .collect()
    }

    #[test]
    fn the_one_not_used_for_the_longest_time_goes_first() {
        let copies = Copies::new(3, usize::MAX);
        for number in 0..3 {
            copies.put(key(number), copy(1));
        }
        assert!(copies.get(key(0)).is_some());
        copies.put(key(3), copy(1));
        assert_eq!(kept(&copies), [0, 2, 3]);
    }

    #[test]
    fn bytes_are_bounded_and_counted_both_ways() {
        let one = copy(100).bytes();
        let copies = Copies::new(usize::MAX, 3 * one);
        for number in 0..5 {
            copies.put(key(number), copy(100));
        }
        assert_eq!(kept(&copies), [2, 3, 4]);
        copies.put(key(4), copy(100));
        assert_eq!(kept(&copies), [2, 3, 4], "the same key counts once");
        copies.remove(key(3));
        copies.remove(key(3));
        copies.put(key(5), copy(100));
        assert_eq!(kept(&copies), [2, 4, 5]);
        assert_eq!(copies.lock().bytes, 3 * one);
        copies.put(key(6), copy(3 * one));
        assert_eq!(kept(&copies), [0; 0], "one that is too long has no place");
        assert_eq!(copies.lock().bytes, 0);
    }

    #[test]
    fn none_is_none() {
        let copies = Copies::new(0, usize::MAX);
        copies.put(key(1), copy(1));
        assert_eq!(kept(&copies), [0; 0]);
    }
}
