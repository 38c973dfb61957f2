//! How well the parameters are known: covariance, intervals and identifiability from the Fisher information at a
//! minimum.
//!
//! The covariance is the inverse of the information on the search scale (Wald); intervals are formed there and carried
//! back, so that those of a logarithmic parameter are asymmetric and positive. Parameters on a bound are held: the
//! quadratic says nothing about a minimum that the bound cuts off. A direction of the rest, an eigenvector of the
//! scaled information, is not identifiable where its interval is longer than the way to the bounds on both sides: no
//! data speak against any point of it (practical non-identifiability in the sense of Raue et al. 2009,
//! *Bioinformatics* 25:1923, judged by the quadratic instead of the profile).

use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

use crate::optimize::trust_region::Side;
use crate::optimize::{EvalError, Local};
use crate::random::normal;

use super::likelihood::Problem;
use super::multistart::StartRecord;
use super::parameter::Parameter;

/// Eigenvalues of the scaled information below this share of the largest are rounding, not information.
const RANK_TOLERANCE: f64 = 1e-13;
/// A parameter takes part in a direction when its component exceeds this.
const COMPONENT: f64 = 0.1;

/// What is known about one parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The parameter.
    pub name: String,
    /// Its estimate in the declared unit.
    pub estimate: f64,
    /// Standard deviation on the search scale; `None` where held or without information.
    pub sd: Option<f64>,
    /// Lower end of the interval in the declared unit; not cut by the bounds.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// The bound that holds it.
    pub at_bound: Option<Side>,
    /// False where it takes part in a direction that is not identifiable, or is held by a bound.
    pub is_identifiable: bool,
}

/// A combination of parameters that the data do not determine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Combination {
    /// Eigenvalue of the scaled information.
    pub eigenvalue: f64,
    /// `(parameter, component)` of those that take part, largest component first; the largest is positive.
    pub components: Vec<(String, f64)>,
}

/// The verdict on an estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// Level of the intervals.
    pub level: f64,
    /// One for each parameter.
    pub intervals: Vec<Interval>,
    /// Positions of the parameters that are not held; rows and columns of the matrices below.
    pub free: Vec<usize>,
    /// Covariance on the search scale, row by row; over the identifiable directions where some have no information.
    pub covariance: Vec<Vec<f64>>,
    /// Correlation on the search scale, row by row.
    pub correlation: Vec<Vec<f64>>,
    /// Eigenvalues of the scaled information, descending.
    pub eigenvalues: Vec<f64>,
    /// What the data do not determine.
    pub unidentifiable: Vec<Combination>,
}

/// Judges the end of a start.
///
/// # Errors
/// Where the objective has no value there, as at a failed start.
pub fn of_start(problem: &Problem, record: &StartRecord, level: f64) -> Result<Confidence, EvalError> {
    let evaluator = problem.evaluator(None).and_then(|one| one.on_threads(rayon::current_num_threads()));
    let mut evaluator = evaluator.map_err(|error| EvalError::new(error.to_string()))?;
    let mut local = Local::zeros(record.theta.len());
    evaluator.information(&record.theta, &mut local)?;
    Ok(assess(problem.parameters(), &record.theta, &record.at_bounds, &local.hessian, level))
}

/// Judges an estimate `theta` (search scale) by the information there: `n × n`, column major, on the search scale.
///
/// `level` is that of the intervals, in (0, 1).
pub fn assess(
    parameters: &[Parameter],
    theta: &[f64],
    at_bounds: &[Option<Side>],
    information: &[f64],
    level: f64,
) -> Confidence {
    let n = parameters.len();
    let free: Vec<usize> = (0..n).filter(|&i| at_bounds[i].is_none()).collect();
    let m = free.len();
    let size: Vec<f64> = free.iter().map(|&i| parameters[i].search_size()).collect();
    let scaled = DMatrix::from_fn(m, m, |a, b| size[a] * information[free[b] * n + free[a]] * size[b]);
    let quantile = normal::quantile(0.5 + 0.5 * level);

    let mut pairs: Vec<(f64, Vec<f64>)> = if m == 0 {
        Vec::new()
    } else {
        let eigen = SymmetricEigen::new(scaled);
        (0..m).map(|k| (eigen.eigenvalues[k], eigen.eigenvectors.column(k).iter().copied().collect())).collect()
    };
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let floor = RANK_TOLERANCE * pairs.first().map_or(0.0, |p| p.0.max(0.0));

    let mut covariance = vec![vec![0.0; m]; m];
    let mut is_blind = vec![false; m];
    let mut is_free_of_doubt = vec![true; m];
    let mut unidentifiable = Vec::new();
    for (eigenvalue, vector) in &pairs {
        let has_information = *eigenvalue > floor;
        let half_width = if has_information { quantile / eigenvalue.sqrt() } else { f64::INFINITY };
        if !has_information || half_width > way_to_bounds(parameters, theta, &free, &size, vector) {
            unidentifiable.push(combination(parameters, &free, *eigenvalue, vector));
            for a in 0..m {
                is_free_of_doubt[a] &= vector[a].abs() <= COMPONENT;
            }
        }
        for a in 0..m {
            if !has_information {
                is_blind[a] |= vector[a].abs() > 1e-6;
                continue;
            }
            for b in 0..m {
                covariance[a][b] += size[a] * vector[a] * vector[b] * size[b] / eigenvalue;
            }
        }
    }
    let correlation = (0..m)
        .map(|a| (0..m).map(|b| covariance[a][b] / (covariance[a][a] * covariance[b][b]).sqrt()).collect())
        .collect();

    let intervals = parameters
        .iter()
        .enumerate()
        .map(|(i, parameter)| {
            let position = free.iter().position(|&f| f == i);
            let sd = position.filter(|&a| !is_blind[a]).map(|a| covariance[a][a].sqrt());
            let end = |sign: f64| sd.map(|sd| parameter.scale.to_value(theta[i] + sign * quantile * sd));
            Interval {
                name: parameter.name.clone(),
                estimate: parameter.value(theta[i]),
                sd,
                low: end(-1.0),
                high: end(1.0),
                at_bound: at_bounds[i],
                is_identifiable: position.is_some_and(|a| is_free_of_doubt[a]),
            }
        })
        .collect();
    let eigenvalues = pairs.iter().map(|p| p.0).collect();
    Confidence { level, intervals, free, covariance, correlation, eigenvalues, unidentifiable }
}

/// The longer of the ways from the estimate to the bounds along `±vector`, in scaled units.
fn way_to_bounds(parameters: &[Parameter], theta: &[f64], free: &[usize], size: &[f64], vector: &[f64]) -> f64 {
    let way = |sign: f64| {
        free.iter().enumerate().fold(f64::INFINITY, |way: f64, (a, &i)| {
            let (low, high) = parameters[i].search_bounds();
            let component = sign * vector[a] * size[a];
            // A component that is rounding must not stop the way.
            if component.abs() < 1e-9 * size[a] {
                return way;
            }
            let room = if component > 0.0 { high - theta[i] } else { low - theta[i] };
            way.min(room / component)
        })
    };
    way(1.0).max(way(-1.0))
}

fn combination(parameters: &[Parameter], free: &[usize], eigenvalue: f64, vector: &[f64]) -> Combination {
    let mut components: Vec<(String, f64)> = free
        .iter()
        .zip(vector)
        .filter(|(_, v)| v.abs() > COMPONENT)
        .map(|(&i, &v)| (parameters[i].name.clone(), v))
        .collect();
    components.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then_with(|| a.0.cmp(&b.0)));
    let sign = components.first().map_or(1.0, |c| c.1.signum());
    components.iter_mut().for_each(|c| c.1 *= sign);
    Combination { eigenvalue, components }
}

#[cfg(test)]
mod tests {
    use super::super::parameter::Scale;
    use super::*;

    fn parameter(name: &str, scale: Scale, low: f64, high: f64) -> Parameter {
        Parameter { name: name.into(), scale, low, high, nominal: 1.0, prior: None }
    }

    /// y = a + b t at t = 0, 1, 2, 3 with σ = 0.5: the textbook covariance σ² (XᵀX)⁻¹ with XᵀX = [[4, 6], [6, 14]].
    #[test]
    fn intervals_of_a_straight_line_are_those_of_the_textbook() {
        let parameters = [parameter("a", Scale::Linear, -10.0, 10.0), parameter("b", Scale::Linear, -10.0, 10.0)];
        let information = [16.0, 24.0, 24.0, 56.0];
        let c = assess(&parameters, &[1.0, 2.0], &[None, None], &information, 0.95);
        let expected = [[0.25 * 14.0 / 20.0, -0.25 * 6.0 / 20.0], [-0.25 * 6.0 / 20.0, 0.25 * 4.0 / 20.0]];
        for (found, expected) in c.covariance.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert!((c.correlation[0][1] + 6.0 / (14.0_f64 * 4.0).sqrt()).abs() < 1e-12);
        assert!((c.intervals[1].high.unwrap() - (2.0 + 1.959964 * 0.05_f64.sqrt())).abs() < 1e-6);
        assert!(c.unidentifiable.is_empty() && c.intervals.iter().all(|i| i.is_identifiable));
    }

    /// Only the product of k and c is determined: ln k + ln c. The difference has no information.
    #[test]
    fn product_of_two_factors_is_named_as_what_is_known() {
        let parameters = [
            parameter("k", Scale::Log, 1e-3, 1e3),
            parameter("c", Scale::Log, 1e-3, 1e3),
            parameter("d", Scale::Log, 1e-3, 1e3),
        ];
        let information = [9.0, 9.0, 0.0, 9.0, 9.0, 0.0, 0.0, 0.0, 4.0];
        let c = assess(&parameters, &[0.0, 0.0, 1.0], &[None; 3], &information, 0.95);
        assert_eq!(c.unidentifiable.len(), 1);
        let names: Vec<&str> = c.unidentifiable[0].components.iter().map(|c| c.0.as_str()).collect();
        assert_eq!(names, ["c", "k"]);
        assert!((c.unidentifiable[0].components[0].1 + c.unidentifiable[0].components[1].1).abs() < 1e-12);
        assert_eq!(c.intervals[0].sd, None);
        assert!(c.intervals[2].is_identifiable && (c.intervals[2].sd.unwrap() - 0.5).abs() < 1e-12);
        assert!((c.intervals[2].low.unwrap() - (1.0_f64 - 0.5 * 1.9599640).exp()).abs() < 1e-6);
    }

    /// A parameter on its bound is held; one whose interval spans the bounds is not identifiable but has an interval.
    #[test]
    fn parameters_on_bounds_are_held_and_flat_ones_flagged() {
        let parameters = [parameter("at", Scale::Log, 1.0, 1e3), parameter("flat", Scale::Log, 1e-1, 1e1)];
        let c = assess(&parameters, &[0.0, 0.0], &[Some(Side::Low), None], &[1.0, 0.5, 0.5, 0.01], 0.95);
        assert_eq!(c.free, [1]);
        assert_eq!((c.intervals[0].sd, c.intervals[0].at_bound), (None, Some(Side::Low)));
        assert!((c.intervals[1].sd.unwrap() - 10.0).abs() < 1e-12);
        assert!(!c.intervals[1].is_identifiable);
    }
}
