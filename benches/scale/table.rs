//! By the number of resources: what a look and a write cost, what a resource takes, and how long
//! the longest first write of one took. And with two threads at once.

use std::collections::HashMap;
use std::fs;
use std::hint::black_box;
use std::sync::{Barrier, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use harness::ready;
use hashbrown::HashTable;
use siphasher::sip128::SipHasher13;
use tower_conditional::store::{ClaimOptions, Claimed, Condition, Intent, Outcome};
use tower_conditional::{ClaimStore, MemoryStore, ResourceKey, Runtime, VersionStore};

use crate::figures::{Figure, median};

/// Looks and writes in one round.
const STEPS: usize = 20_000;
const ROUNDS: usize = 9;

fn key(nth: usize) -> String {
    format!("/v1/partners/0e9ad6a5-6f6b-4c39-9a39-{nth:012}/orders/7c1d8e52-93a4-4d53")
}

trait Table: Sync {
    fn get(&self, key: &str);
    fn write(&self, key: &str);
}

fn measured(line: &'static str, table: &impl Table, resources: usize) -> Vec<Figure> {
    let before = resident();
    let mut longest = Duration::ZERO;
    for nth in 0..resources {
        let key = key(nth);
        let started = Instant::now();
        table.write(&key);
        longest = longest.max(started.elapsed());
    }
    let bytes = resident().saturating_sub(before);
    let figure = |plot, y| Figure {
        plot,
        line,
        x: resources,
        y,
    };
    let mut nth = 0;
    let mut step = |step: &dyn Fn(&str)| {
        let rounds = (0..ROUNDS).map(|_| {
            // Made before: what is measured is not how to write a key.
            let keys: Vec<String> = (0..STEPS)
                .map(|_| {
                    nth = (nth + 7_919) % resources;
                    key(nth)
                })
                .collect();
            let started = Instant::now();
            keys.iter().for_each(|key| step(key));
            started.elapsed().as_nanos() as f64 / STEPS as f64
        });
        median(rounds.collect())
    };
    let get = step(&|key| table.get(key));
    let write = step(&|key| table.write(key));
    vec![
        figure("A look, ns, by resources", get),
        figure("A write, ns, by resources", write),
        figure(
            "Bytes of memory for each resource",
            bytes as f64 / resources as f64,
        ),
        figure(
            "Longest first write, ms, by resources",
            longest.as_secs_f64() * 1e3,
        ),
    ]
}

/// What the process has in memory, in bytes.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|pages| pages.split(' ').nth(1)?.parse::<usize>().ok());
    resident.unwrap_or_default() * 4_096
}

struct Ours(MemoryStore);

impl Ours {
    fn new(resources: usize) -> Self {
        // Room for all of them, were they spread unevenly: none is forgotten.
        let store = MemoryStore::with_runtime(Runtime::inline()).with_capacity(resources * 2);
        Self(store)
    }
}

impl Table for Ours {
    fn get(&self, key: &str) {
        let key = ResourceKey::new(key);
        black_box(ready(self.0.current(&key))).expect("the store is in memory");
    }

    fn write(&self, key: &str) {
        let options = ClaimOptions {
            wait: Duration::ZERO,
            lease: Duration::from_secs(30),
            intent: Intent::Write,
        };
        let key = ResourceKey::new(key);
        loop {
            let claimed = ready(self.0.claim(&key, &Condition::Unconditional, options));
            // Another thread may hold it.
            if let Claimed::Granted(claim) = claimed.expect("the store is in memory") {
                let settled = ready(self.0.settle(claim, Outcome::Written));
                black_box(settled).expect("the store is in memory");
                return;
            }
        }
    }
}

/// Digests of keys, and their versions.
type Entries = HashTable<([u64; 2], u64)>;

struct Floor(SipHasher13, Vec<Mutex<Entries>>);

impl Floor {
    fn new() -> Self {
        let shards = (0..64).map(|_| Mutex::default()).collect();
        Self(SipHasher13::new_with_keys(1, 2), shards)
    }

    fn with<T>(&self, key: &str, step: impl FnOnce([u64; 2], &mut Entries) -> T) -> T {
        let hash = self.0.hash(key.as_bytes());
        let shard = &self.1[(hash.h1 % 64) as usize];
        step(
            [hash.h1, hash.h2],
            &mut shard.lock().expect("nobody panics"),
        )
    }
}

impl Table for Floor {
    fn get(&self, key: &str) {
        black_box(self.with(key, |digest, table| {
            let found = table.find(digest[1], |(other, _)| *other == digest);
            found.map(|(_, version)| *version)
        }));
    }

    fn write(&self, key: &str) {
        self.with(key, |digest, table| {
            match table.find_mut(digest[1], |(other, _)| *other == digest) {
                Some((_, version)) => *version += 1,
                None => drop(table.insert_unique(digest[1], (digest, 1), |(other, _)| other[1])),
            }
        });
    }
}

impl Table for RwLock<HashMap<String, u64>> {
    fn get(&self, key: &str) {
        black_box(self.read().expect("nobody panics").get(key).copied());
    }

    fn write(&self, key: &str) {
        let mut map = self.write().expect("nobody panics");
        match map.get_mut(key) {
            Some(version) => *version += 1,
            None => drop(map.insert(key.to_owned(), 1)),
        }
    }
}

impl Table for DashMap<String, u64> {
    fn get(&self, key: &str) {
        black_box(self.get(key).map(|version| *version));
    }

    fn write(&self, key: &str) {
        match self.get_mut(key) {
            Some(mut version) => *version += 1,
            None => drop(self.insert(key.to_owned(), 1)),
        }
    }
}

pub(crate) fn ours(resources: usize) -> Vec<Figure> {
    let ours = Ours::new(resources);
    let figures = measured("ours", &ours, resources);
    let stats = ours.0.stats();
    assert_eq!((stats.resources, stats.held), (resources, 0), "{stats:?}");
    figures
}

pub(crate) fn floor(resources: usize) -> Vec<Figure> {
    measured(
        "floor, digests in a sharded table",
        &Floor::new(),
        resources,
    )
}

pub(crate) fn rwlock(resources: usize) -> Vec<Figure> {
    let map = RwLock::new(HashMap::new());
    measured("RwLock<HashMap>", &map, resources)
}

pub(crate) fn dashmap(resources: usize) -> Vec<Figure> {
    measured("dashmap 6", &DashMap::new(), resources)
}

/// Millions of steps in a second of all threads together, on 100,000 resources.
pub(crate) fn threads(threads: usize) -> Vec<Figure> {
    const RESOURCES: usize = 100_000;
    let per_second = |table: &dyn Table, step: &(dyn Fn(&dyn Table, &str) + Sync)| {
        let rounds = (0..ROUNDS).map(|_| {
            let start = Barrier::new(threads + 1);
            thread::scope(|scope| {
                for thread in 0..threads {
                    let start = &start;
                    scope.spawn(move || {
                        let key = |nth| key((thread * 31 + nth * 7_919) % RESOURCES);
                        let keys: Vec<String> = (0..STEPS).map(key).collect();
                        start.wait();
                        keys.iter().for_each(|key| step(table, key));
                        start.wait();
                    });
                }
                start.wait();
                let started = Instant::now();
                start.wait();
                (threads * STEPS) as f64 / started.elapsed().as_secs_f64() / 1e6
            })
        });
        median(rounds.collect())
    };
    let (ours, floor) = (Ours::new(RESOURCES), Floor::new());
    let map = RwLock::new(HashMap::new());
    let tables: [(&'static str, &dyn Table); 3] = [
        ("ours", &ours),
        ("floor, digests in a sharded table", &floor),
        ("RwLock<HashMap>", &map),
    ];
    let figures = tables.into_iter().flat_map(|(line, table)| {
        (0..RESOURCES).for_each(|nth| table.write(&key(nth)));
        let figure = |plot, y| Figure {
            plot,
            line,
            x: threads,
            y,
        };
        [
            figure(
                "Looks, million a second, by threads",
                per_second(table, &|table, key| table.get(key)),
            ),
            figure(
                "Writes, million a second, by threads",
                per_second(table, &|table, key| table.write(key)),
            ),
        ]
    });
    figures.collect()
}
