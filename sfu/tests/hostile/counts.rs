//! What an engine counts, read as an operator does.

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_global_recorder,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// Series of one shard, and of TCP connections on their way to one.
const SERIES: usize = 22;
const ARRIVALS: usize = 6;

type Cell = (String, Arc<AtomicU64>);

/// Series that no engine was found to have yet.
static FRESH: Mutex<Vec<Cell>> = Mutex::new(Vec::new());

/// Held while an engine starts, so that fresh series are its own.
static STARTING: Mutex<()> = Mutex::new(());

static INSTALLED: Once = Once::new();

struct Cells;

impl Cells {
    fn add(key: &Key) -> Arc<AtomicU64> {
        let cell = Arc::new(AtomicU64::new(0));
        lock(&FRESH).push((key.name().to_owned(), Arc::clone(&cell)));
        cell
    }
}

impl Recorder for Cells {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Self::add(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Self::add(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// The series of one engine.
pub(crate) struct Counts(Vec<Cell>);

impl Counts {
    /// Starts an engine, and finds its series.
    pub(crate) fn of<T>(shards: usize, start: impl FnOnce() -> T) -> (T, Self) {
        INSTALLED.call_once(|| set_global_recorder(Cells).expect("there is no other"));
        let _starting = lock(&STARTING);
        let started = start();
        let until = Instant::now() + Duration::from_secs(20);
        while lock(&FRESH).len() < SERIES * shards + ARRIVALS {
            assert!(Instant::now() < until, "the shards have no series");
            std::thread::sleep(Duration::from_millis(1));
        }
        (started, Self(std::mem::take(&mut *lock(&FRESH))))
    }

    /// A counter, over all shards, as it was published last.
    pub(crate) fn total(&self, name: &str) -> u64 {
        let name = format!("kaiwa_sfu_{name}_total");
        let of = self.0.iter().filter(|(of, _)| *of == name);
        of.map(|(_, cell)| cell.load(Ordering::Relaxed)).sum()
    }

    /// A gauge, over all shards.
    pub(crate) fn level(&self, name: &str) -> f64 {
        let name = format!("kaiwa_sfu_{name}");
        let of = self.0.iter().filter(|(of, _)| *of == name);
        of.map(|(_, cell)| f64::from_bits(cell.load(Ordering::Relaxed)))
            .sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
