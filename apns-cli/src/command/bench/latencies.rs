//! How long things took, in little memory.

use std::time::Duration;

/// Buckets for each power of two. The error of a quantile is at most one part in so many.
const PARTS: usize = 32;

/// A histogram of microseconds: exact below [`PARTS`], then [`PARTS`] buckets for each power of two.
#[derive(Debug)]
pub(super) struct Latencies {
    buckets: Vec<u32>,
    count: u64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self { buckets: vec![0; bucket_of(u64::MAX) + 1], count: 0 }
    }

    pub(super) fn add(&mut self, latency: Duration) {
        let bucket = bucket_of(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        self.buckets[bucket] = self.buckets[bucket].saturating_add(1);
        self.count += 1;
    }

    /// The least number of microseconds that this share of all did not exceed, rounded down to its bucket; 0 for none.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, &count) in self.buckets.iter().enumerate() {
            seen += u64::from(count);
            if seen >= wanted {
                return lowest_of(bucket);
            }
        }
        0
    }
}

fn bucket_of(micros: u64) -> usize {
    let parts = PARTS as u64;
    if micros < parts {
        return micros as usize;
    }
    let power = micros.ilog2() - PARTS.ilog2();
    (power as usize + 1) * PARTS + ((micros >> power) - parts) as usize
}

fn lowest_of(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64;
    }
    let power = bucket / PARTS - 1;
    ((bucket % PARTS + PARTS) as u64) << power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_the_bucket_that_begins_below_it() {
        for micros in (0..2000).chain([65_535, 65_536, 1_000_000, u64::MAX / 3, u64::MAX]) {
            let bucket = bucket_of(micros);
            assert!(lowest_of(bucket) <= micros, "{micros}");
            assert!(micros - lowest_of(bucket) <= micros / PARTS as u64, "{micros}");
            assert!(bucket == bucket_of(u64::MAX) || micros < lowest_of(bucket + 1), "{micros}");
        }
    }

    #[test]
    fn quantiles_are_found() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.quantile(0.5), 0);
        for micros in 1..=100 {
            latencies.add(Duration::from_micros(micros));
        }
        assert_eq!(latencies.quantile(0.5), 50);
        assert_eq!(latencies.quantile(0.99), 98, "the bucket of 98 and 99");
        assert_eq!(latencies.quantile(1.0), 100);
    }
}
