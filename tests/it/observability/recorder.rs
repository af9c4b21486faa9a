//! A recorder of metrics that a test can look into.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// A metric with its labels: `name{label=value,…}`.
type Name = String;

#[derive(Clone, Default)]
pub(super) struct Recorded(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    values: BTreeMap<Name, Vec<f64>>,
    described: Vec<String>,
}

impl Recorded {
    /// Whatever this thread counts from now on.
    pub(super) fn install(&self) -> metrics::LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    /// Each counter that has counted anything.
    pub(super) fn counters(&self) -> BTreeMap<Name, u64> {
        let state = self.0.lock().expect("no panic");
        let counters = state
            .values
            .iter()
            .filter(|(name, _)| name.contains("_total"));
        let sum = |values: &[f64]| values.iter().sum::<f64>() as u64;
        counters
            .map(|(name, values)| (name.clone(), sum(values)))
            .collect()
    }

    /// Each histogram, with all that it has heard.
    pub(super) fn histograms(&self) -> BTreeMap<Name, Vec<f64>> {
        let state = self.0.lock().expect("no panic");
        let histograms = state
            .values
            .iter()
            .filter(|(name, _)| !name.contains("_total"));
        histograms
            .map(|(name, values)| (name.clone(), values.clone()))
            .collect()
    }

    pub(super) fn described(&self) -> Vec<String> {
        let mut described = self.0.lock().expect("no panic").described.clone();
        described.sort();
        described
    }

    fn describe(&self, key: &KeyName) {
        let name = key.as_str().to_owned();
        self.0.lock().expect("no panic").described.push(name);
    }

    fn handle(&self, key: &Key) -> Arc<Handle> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        Arc::new(Handle {
            name: format!("{}{{{}}}", key.name(), labels.join(",")),
            recorded: self.clone(),
        })
    }
}

struct Handle {
    name: Name,
    recorded: Recorded,
}

impl Handle {
    fn push(&self, value: f64) {
        let mut state = self.recorded.0.lock().expect("no panic");
        state
            .values
            .entry(self.name.clone())
            .or_default()
            .push(value);
    }
}

impl CounterFn for Handle {
    fn increment(&self, value: u64) {
        self.push(value as f64);
    }

    fn absolute(&self, _: u64) {
        unreachable!("nobody sets a counter");
    }
}

impl HistogramFn for Handle {
    fn record(&self, value: f64) {
        self.push(value);
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.handle(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        unreachable!("there is no gauge");
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.handle(key))
    }
}
