// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long replies took.

/// Milliseconds to the reply, sorted.
pub struct Times(Vec<f64>);

impl Times {
    /// In whatever order.
    pub fn of(mut times: Vec<f64>) -> Times {
        times.sort_by(f64::total_cmp);
        Times(times)
    }

    /// A percentile.
    pub fn percentile(&self, percent: f64) -> f64 {
        // In this order: 99.9 / 100 is not exact, and a thousand of it would be more than 999.
        let place = (percent * self.0.len() as f64 / 100.0).ceil() as usize;
        self.0.get(place.saturating_sub(1)).or(self.0.last()).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let times = Times((1..=1000).map(f64::from).collect());
        assert_eq!([50.0, 99.0, 99.9, 100.0].map(|p| times.percentile(p)), [500.0, 990.0, 999.0, 1000.0]);
    }
}
