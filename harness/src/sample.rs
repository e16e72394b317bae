//! Measured values and their statistics.

/// Values of one kind, one per round.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest value that at least `per_mille` of a thousand values do not
    /// exceed; `None` if there are no values.
    pub fn quantile(&self, per_mille: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = (sorted.len() * per_mille).div_ceil(1000);
        sorted.get(rank.max(1) - 1).copied()
    }

    /// The median.
    pub fn median(&self) -> Option<f64> {
        self.quantile(500)
    }

    /// Moves all values of `others` to these.
    pub fn append(&mut self, others: &mut Samples) {
        self.0.append(&mut others.0);
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Samples {
        Samples(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let samples: Samples = (1..=200).rev().map(f64::from).collect();
        assert_eq!((samples.median(), samples.quantile(990)), (Some(100.0), Some(198.0)));
        assert_eq!((samples.quantile(0), samples.quantile(1000)), (Some(1.0), Some(200.0)));
        assert_eq!(samples.quantile(999), Some(200.0));
        let one: Samples = [7.0].into_iter().collect();
        assert_eq!((one.median(), one.quantile(990)), (Some(7.0), Some(7.0)));
        assert_eq!(Samples::default().median(), None);
    }
}
