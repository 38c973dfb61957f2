//! An estimated parameter: its bounds, its prior, and the scale on which it is searched.

use serde::{Deserialize, Serialize};

use crate::flat::Distribution;

/// The scale of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The value itself.
    Linear,
    /// The natural logarithm of the value, which must be positive.
    Log,
}

impl Scale {
    /// The scale that bounds and prior imply where the user names none: logarithmic for a log-normal or log-uniform
    /// prior, or where the lower bound is positive and the upper at least 10³ times it; else linear.
    pub fn implied(low: f64, high: f64, prior: Option<Distribution>) -> Scale {
        let by_prior = match prior {
            Some(Distribution::LogNormal { .. } | Distribution::LogUniform { .. }) => true,
            Some(Distribution::Normal { .. } | Distribution::Uniform { .. } | Distribution::Laplace { .. }) | None => {
                false
            }
        };
        if by_prior || (low > 0.0 && high / low >= 1e3) { Scale::Log } else { Scale::Linear }
    }

    /// From a value to the search scale.
    pub fn to_search(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log => value.ln(),
        }
    }

    /// From the search scale to a value.
    pub fn to_value(self, search: f64) -> f64 {
        match self {
            Scale::Linear => search,
            Scale::Log => search.exp(),
        }
    }
}

/// An estimated parameter. Numbers are values in the declared unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// As the user writes it.
    pub name: String,
    /// The scale of the search.
    pub scale: Scale,
    /// Lower bound; −∞ (linear) or 0 (logarithmic) where open.
    pub low: f64,
    /// Upper bound; +∞ where open.
    pub high: f64,
    /// The declared value.
    pub nominal: f64,
    /// `~`
    pub prior: Option<Distribution>,
}

impl Parameter {
    /// The bounds cut by the support of a uniform prior.
    pub fn bounds(&self) -> (f64, f64) {
        match self.prior {
            Some(Distribution::Uniform { low, high } | Distribution::LogUniform { low, high }) => {
                (self.low.max(low), self.high.min(high))
            }
            Some(Distribution::Normal { .. } | Distribution::LogNormal { .. } | Distribution::Laplace { .. })
            | None => (self.low, self.high),
        }
    }

    /// The bounds on the search scale.
    pub fn search_bounds(&self) -> (f64, f64) {
        let (low, high) = self.bounds();
        (self.scale.to_search(low), self.scale.to_search(high))
    }

    /// The value at a point of the search scale; on a bound of the search scale it is the bound itself, although a
    /// logarithm and back would round.
    pub fn value(&self, search: f64) -> f64 {
        let (low, high) = self.bounds();
        if search <= self.scale.to_search(low) {
            low
        } else if search >= self.scale.to_search(high) {
            high
        } else {
            self.scale.to_value(search).max(low).min(high)
        }
    }

    /// dvalue/dsearch where the value is `value`.
    pub fn slope(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => 1.0,
            Scale::Log => value,
        }
    }

    /// Typical size of a change on the search scale: one e-fold, or a twentieth of the bounds, or the spread of the
    /// prior, or the size of the declared value.
    pub fn search_size(&self) -> f64 {
        match self.scale {
            Scale::Log => 1.0,
            Scale::Linear => {
                let (low, high) = self.start_range().unwrap_or((0.0, 20.0 * self.nominal.abs().max(1.0)));
                (high - low) / 20.0
            }
        }
    }

    /// Where starts are drawn, on the search scale: the bounds, or three spreads of the prior about its center where
    /// a bound is open. `None` without either.
    pub fn start_range(&self) -> Option<(f64, f64)> {
        let (low, high) = self.search_bounds();
        let of_prior = match (self.prior, self.scale) {
            (Some(Distribution::Normal { mean, sd }), Scale::Linear) => Some((mean - 3.0 * sd, mean + 3.0 * sd)),
            (Some(Distribution::Laplace { location, scale }), Scale::Linear) => {
                Some((location - 5.0 * scale, location + 5.0 * scale))
            }
            (Some(Distribution::LogNormal { median, gsd }), Scale::Log) => {
                Some((median.ln() - 3.0 * gsd.ln(), median.ln() + 3.0 * gsd.ln()))
            }
            (Some(Distribution::LogNormal { median, gsd }), Scale::Linear) => {
                Some((median / gsd.powi(3), median * gsd.powi(3)))
            }
            (
                Some(
                    Distribution::Normal { .. }
                    | Distribution::Laplace { .. }
                    | Distribution::Uniform { .. }
                    | Distribution::LogUniform { .. },
                )
                | None,
                _,
            ) => None,
        };
        let pick = |bound: f64, of_prior: Option<f64>| if bound.is_finite() { Some(bound) } else { of_prior };
        let range = (pick(low, of_prior.map(|r| r.0))?, pick(high, of_prior.map(|r| r.1))?);
        (range.0 <= range.1).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(scale: Scale, low: f64, high: f64) -> Parameter {
        Parameter { name: "k".into(), scale, low, high, nominal: 1.0, prior: None }
    }

    #[test]
    fn scale_follows_bounds_and_prior() {
        assert_eq!(Scale::implied(1e-3, 1.0, None), Scale::Log);
        assert_eq!(Scale::implied(1e-3, 0.9, None), Scale::Linear);
        assert_eq!(Scale::implied(0.0, 1e9, None), Scale::Linear);
        assert_eq!(Scale::implied(0.5, 2.0, Some(Distribution::LogNormal { median: 1.0, gsd: 2.0 })), Scale::Log);
    }

    #[test]
    fn bounds_survive_the_way_to_the_search_scale_and_back() {
        for bound in [1e-5, 3e-7, 1e5, 12345.678] {
            let p = parameter(Scale::Log, bound, bound * 1e4);
            assert_eq!(p.value(p.search_bounds().0), bound);
            let p = parameter(Scale::Log, bound * 1e-4, bound);
            assert_eq!(p.value(p.search_bounds().1), bound);
        }
    }

    #[test]
    fn uniform_priors_cut_the_bounds() {
        let p = Parameter {
            prior: Some(Distribution::Uniform { low: 2.0, high: 30.0 }),
            ..parameter(Scale::Linear, 0.0, 10.0)
        };
        assert_eq!(p.bounds(), (2.0, 10.0));
    }

    #[test]
    fn open_bounds_take_their_start_range_from_the_prior() {
        let open = parameter(Scale::Linear, f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(open.start_range(), None);
        let p = Parameter { prior: Some(Distribution::Normal { mean: 1.0, sd: 2.0 }), ..open };
        assert_eq!(p.start_range(), Some((-5.0, 7.0)));
    }
}
