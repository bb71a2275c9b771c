// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rounds in which everything is measured once, and what they come to: the machine's speed changes from second to second,
//! so only what was measured in the same round is compared.

use serde::{Deserialize, Serialize};

/// The middle of some values, and between which the middle half of them lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// A quarter of the values is below.
    pub low: f64,
    /// A quarter of the values is above.
    pub high: f64,
}

impl Spread {
    /// Of some values; of none it is zero.
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * (sorted.len().saturating_sub(1)) as f64;
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            let share = place - place.floor();
            sorted[below] * (1.0 - share) + sorted[above] * share
        };
        if sorted.is_empty() {
            return Spread::default();
        }
        Spread { median: at(0.5), low: at(0.25), high: at(0.75) }
    }

    /// Of the ratios of values that were measured in the same rounds.
    pub fn of_ratios(above: &[f64], below: &[f64]) -> Spread {
        let ratios: Vec<f64> = above.iter().zip(below).map(|(a, b)| a / b).collect();
        Spread::of(&ratios)
    }

    /// One value that does not vary.
    pub fn exact(value: f64) -> Spread {
        Spread { median: value, low: value, high: value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0, 5.0, 4.0]), Spread { median: 3.0, low: 2.0, high: 4.0 });
        assert_eq!(Spread::of(&[1.0, 2.0]).median, 1.5);
        assert_eq!(Spread::of(&[]), Spread::default());
        assert_eq!(Spread::of_ratios(&[2.0, 9.0], &[1.0, 3.0]).median, 2.5);
    }
}
