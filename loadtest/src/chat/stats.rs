//! Medians, spreads and distributions of latencies.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The middle of some values and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these values; zeros when there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (values.first(), values.last()) else {
            return Self {
                median: 0.0,
                least: 0.0,
                most: 0.0,
            };
        };
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self {
            median: f64::midpoint(low, high),
            least,
            most,
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median >= 100.0 { 0 } else { 2 };
        let Self {
            median,
            least,
            most,
        } = self;
        write!(f, "{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

/// A distribution of latencies in µs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them are below.
    pub p50_us: u64,
    /// 99 of 100 are below.
    pub p99_us: u64,
    /// The greatest.
    pub max_us: u64,
    /// How many there are.
    pub count: u64,
    /// (share in percent, µs), for a plot.
    pub curve: Vec<(f64, u64)>,
}

impl Latency {
    /// Of the values recorded.
    #[must_use]
    pub fn of(values: &Histogram<u64>) -> Self {
        let steps = (0..=99).map(f64::from).chain([99.5, 99.9, 99.99, 100.0]);
        Self {
            p50_us: values.value_at_percentile(50.0),
            p99_us: values.value_at_percentile(99.0),
            max_us: values.max(),
            count: values.len(),
            curve: steps.map(|p| (p, values.value_at_percentile(p))).collect(),
        }
    }
}

/// An empty distribution of µs, up to a minute, to three digits.
///
/// # Panics
/// Never: the bounds are sound.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("sound bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).median, 2.0);
        let even = Spread::of([4.0, 1.0, 2.0, 3.0]);
        assert_eq!((even.median, even.least, even.most), (2.5, 1.0, 4.0));
        assert_eq!(Spread::of([]).median, 0.0);
    }
}
