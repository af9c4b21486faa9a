//! The store in memory: a look, a write, and a claim that nobody contends for, beside the tables
//! and locks that one would write for the same.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use dashmap::DashMap;
use harness::{Bench, Case, Work, ready};
use hashbrown::HashTable;
use siphasher::sip128::SipHasher13;
use tower_conditional::store::{ClaimOptions, Claimed, Condition, Intent, Outcome};
use tower_conditional::{ClaimStore, MemoryStore, ResourceKey, Runtime, VersionStore};

const RESOURCES: usize = 10_000;

const OPTIONS: ClaimOptions = ClaimOptions {
    wait: Duration::ZERO,
    lease: Duration::from_secs(30),
    intent: Intent::Write,
};

fn key(nth: usize) -> ResourceKey {
    ResourceKey::new(format!(
        "/v1/partners/0e9ad6a5-6f6b-4c39-9a39-{nth:012}/orders/7c1d8e52-93a4-4d53-8f0e-2b6a9b1c3d4e"
    ))
}

/// Digests of keys, and their versions.
type Entries = HashTable<([u64; 2], u64)>;

/// The least that keeps versions by the text of a key: a keyed digest, and a number in one of 64
/// tables.
struct Table {
    digester: SipHasher13,
    shards: [Mutex<Entries>; 64],
}

impl Table {
    fn new() -> Self {
        Self {
            digester: SipHasher13::new_with_keys(1, 2),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    fn with<T>(&self, key: &str, step: impl FnOnce([u64; 2], &mut Entries) -> T) -> T {
        let hash = self.digester.hash(key.as_bytes());
        let digest = [hash.h1, hash.h2];
        let shard = &self.shards[(hash.h1 % 64) as usize];
        step(digest, &mut shard.lock().expect("nobody panics"))
    }

    fn get(&self, key: &str) -> Option<u64> {
        self.with(key, |digest, table| {
            let found = table.find(digest[1], |(other, _)| *other == digest);
            found.map(|(_, version)| *version)
        })
    }

    fn raise(&self, key: &str) -> u64 {
        self.with(key, |digest, table| {
            match table.find_mut(digest[1], |(other, _)| *other == digest) {
                Some((_, version)) => {
                    *version += 1;
                    *version
                }
                None => {
                    table.insert_unique(digest[1], (digest, 1), |(other, _)| other[1]);
                    1
                }
            }
        })
    }

    /// As a lock: there while it is held.
    fn lock(&self, key: &str) -> [u64; 2] {
        self.with(key, |digest, table| {
            let found = table.find(digest[1], |(other, _)| *other == digest);
            assert!(found.is_none(), "it is held");
            table.insert_unique(digest[1], (digest, 1), |(other, _)| other[1]);
            digest
        })
    }

    fn unlock(&self, digest: [u64; 2]) {
        let mut table = self.shards[(digest[0] % 64) as usize]
            .lock()
            .expect("nobody panics");
        let held = table.find_entry(digest[1], |(other, _)| *other == digest);
        if let Ok(held) = held {
            held.remove();
        }
    }
}

fn write(store: &MemoryStore, key: &ResourceKey, outcome: Outcome) {
    let claimed = ready(store.claim(key, &Condition::Unconditional, OPTIONS));
    let Ok(Claimed::Granted(claim)) = claimed else {
        panic!("nobody else claims it");
    };
    black_box(ready(store.settle(claim, outcome))).expect("the store is in memory");
}

fn memory() -> MemoryStore {
    MemoryStore::with_runtime(Runtime::inline())
}

/// A way to do something with one resource after another, each of which was written before.
fn case<T: 'static>(
    name: &'static str,
    table: fn() -> T,
    fill: fn(&T, &ResourceKey),
    step: fn(&T, &ResourceKey),
) -> Case {
    Case::new(name, move || {
        let table = table();
        let keys: Arc<[ResourceKey]> = (0..RESOURCES).map(key).collect();
        keys.iter().for_each(|key| fill(&table, key));
        let mut nth = 0;
        Work::new(
            move || {
                // A prime: the next one is never a neighbour.
                nth = (nth + 7_919) % RESOURCES;
                nth
            },
            move |nth| step(&table, &keys[nth]),
        )
    })
}

type Locked = RwLock<HashMap<String, u64>>;
type Dashed = DashMap<String, u64>;
type Cache = moka::sync::Cache<String, u64>;

fn main() {
    let raise = |table: &Table, key: &ResourceKey| {
        black_box(table.raise(key.as_str()));
    };
    let written = |store: &MemoryStore, key: &ResourceKey| write(store, key, Outcome::Written);
    let locked = |map: &Locked, key: &ResourceKey| {
        let mut map = map.write().expect("nobody panics");
        match map.get_mut(key.as_str()) {
            Some(version) => *version += 1,
            None => drop(map.insert(key.as_str().to_owned(), 1)),
        }
    };
    let dashed = |map: &Dashed, key: &ResourceKey| match map.get_mut(key.as_str()) {
        Some(mut version) => *version += 1,
        None => drop(map.insert(key.as_str().to_owned(), 1)),
    };
    let cached = |cache: &Cache, key: &ResourceKey| {
        let version = cache.get(key.as_str()).unwrap_or_default();
        cache.insert(key.as_str().to_owned(), version + 1);
    };
    let cache = || Cache::new(10 * RESOURCES as u64);

    let mut bench = Bench::from_args("memory");
    bench.table(
        "Memory store, the version of 1 of 10,000 resources",
        [
            case("floor, sharded table", Table::new, raise, |table, key| {
                black_box(table.get(key.as_str()));
            })
            .allocates(0),
            case(
                "ours, MemoryStore::current",
                memory,
                written,
                |store, key| {
                    black_box(ready(store.current(key))).expect("the store is in memory");
                },
            )
            .allocates(0),
            case("RwLock<HashMap>", Locked::default, locked, |map, key| {
                let map = map.read().expect("nobody panics");
                black_box(map.get(key.as_str()).copied());
            }),
            case("dashmap 6", Dashed::default, dashed, |map, key| {
                black_box(map.get(key.as_str()).map(|version| *version));
            }),
            case("moka 0.12", cache, cached, |cache, key| {
                black_box(cache.get(key.as_str()));
            }),
        ],
    );
    bench.table(
        "Memory store, a write to 1 of 10,000 resources",
        [
            case("floor, sharded table", Table::new, raise, raise).allocates(0),
            case("ours, claim and settle", memory, written, written).allocates(0),
            case("RwLock<HashMap>", Locked::default, locked, locked),
            case("dashmap 6", Dashed::default, dashed, dashed),
            case("moka 0.12", cache, cached, cached),
        ],
    );
    // Once for each key before, or the tables of held claims would still grow.
    let held = |table: &Table, key: &ResourceKey| {
        let held = table.lock(key.as_str());
        table.unlock(black_box(held));
    };
    let unchanged = |store: &MemoryStore, key: &ResourceKey| write(store, key, Outcome::Unchanged);
    bench.table(
        "FIFO per key, nobody else there",
        [
            case("floor, an entry while it is held", Table::new, held, held).allocates(0),
            case(
                "ours, claim and settle unchanged",
                memory,
                unchanged,
                unchanged,
            )
            .allocates(0),
        ],
    );
    bench.finish();
}
