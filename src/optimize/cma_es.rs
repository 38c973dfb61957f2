//! CMA-ES: minimization without derivatives by a normal distribution that learns its step size and covariance.
//!
//! N. Hansen 2016, *The CMA evolution strategy: a tutorial*, arXiv:1604.00772; equation numbers below are his. The
//! (μ/μ_w, λ) strategy with positive weights (49 to 53 with α_cov = 2), cumulative step-size adaptation and rank-one and
//! rank-μ updates. Two things differ from the tutorial: the covariance's triangular Cholesky factor stands where it has the
//! symmetric root, which a decomposition into eigenvectors would cost (O. Krause, D. R. Arbonès and C. Igel 2016, *CMA-ES
//! with optimal covariance update and storage complexity*, NIPS 29, show that the strategy works as well with it); and a
//! point drawn outside the bounds is moved to the next point inside, which then counts as the one drawn.
//!
//! [`CmaEs`] asks for points and is told their values, so that whoever evaluates them may do so all at once; [`minimize`]
//! is the loop around it. Invariant: points are within the bounds, and nothing allocates after [`CmaEs::new`].

use crate::random::ziggurat::Ziggurat;
use crate::random::{Rng, stream};

/// Settings of [`minimize`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CmaOptions {
    /// Points of a generation; 0 takes `4 + 3 ln n`, rounded down. Default 0.
    pub population: usize,
    /// First step size, as a fraction of the distance between the bounds. Default 0.3.
    pub sigma: f64,
    /// Stop after so many generations. Default 1000.
    pub max_generations: usize,
    /// Stop when the standard deviation of every variable is below this fraction of the distance between its bounds.
    /// Default 1e-10.
    pub tolerance: f64,
    /// Stop when the best values of `10 + 30 n/λ` generations in a row differ by less than this. Default 1e-12.
    pub value_tolerance: f64,
    /// Seed of the draws. Default 1.
    pub seed: u64,
}

impl Default for CmaOptions {
    fn default() -> Self {
        CmaOptions {
            population: 0,
            sigma: 0.3,
            max_generations: 1000,
            tolerance: 1e-10,
            value_tolerance: 1e-12,
            seed: 1,
        }
    }
}

/// Why [`minimize`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CmaStop {
    /// The distribution is narrower than the tolerance.
    Narrow,
    /// The best value has not changed for many generations.
    Flat,
    /// The generations are used up.
    GenerationLimit,
    /// No point of a generation had a finite value, or the covariance lost its numbers.
    NotFinite,
}

/// What [`minimize`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct CmaMinimum {
    /// `n`: the best point drawn.
    pub point: Vec<f64>,
    /// Its value; infinite where no value was finite.
    pub value: f64,
    /// Generations drawn.
    pub generations: usize,
    /// Values asked for.
    pub evaluations: usize,
    /// Why it stopped.
    pub stop: CmaStop,
}

/// The strategy: a distribution, to be asked for points and told their values.
#[derive(Debug, Clone)]
pub struct CmaEs {
    lower: Vec<f64>,
    upper: Vec<f64>,
    /// `upper − lower`, the unit of each variable.
    scale: Vec<f64>,
    n_points: usize,
    /// Of the best points, in descending order; their sum is one.
    weights: Vec<f64>,
    rates: Rates,
    mean: Vec<f64>,
    sigma: f64,
    /// `n × n`, symmetric.
    covariance: Vec<f64>,
    /// `n × n`, row major: its lower Cholesky factor.
    factor: Vec<f64>,
    path_sigma: Vec<f64>,
    path_c: Vec<f64>,
    generation: i32,
    table: Ziggurat,
    /// `n × n_points`
    draws: Vec<f64>,
    order: Vec<u32>,
    /// `n`, and one of the weighed points in units of σ.
    step: Vec<f64>,
    whitened: Vec<f64>,
}

/// Learning rates; 49 to 58.
#[derive(Debug, Clone, Copy)]
struct Rates {
    mu_eff: f64,
    c_sigma: f64,
    d_sigma: f64,
    c_c: f64,
    c_1: f64,
    c_mu: f64,
    /// Expected length of a normal vector.
    chi: f64,
}

impl Rates {
    fn new(n: f64, mu_eff: f64) -> Rates {
        let c_sigma = (mu_eff + 2.0) / (n + mu_eff + 5.0);
        let c_1 = 2.0 / ((n + 1.3).powi(2) + mu_eff);
        let c_mu = 2.0 * (mu_eff - 2.0 + 1.0 / mu_eff) / ((n + 2.0).powi(2) + mu_eff);
        Rates {
            mu_eff,
            c_sigma,
            d_sigma: 1.0 + 2.0 * (((mu_eff - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + c_sigma,
            c_c: (4.0 + mu_eff / n) / (n + 4.0 + 2.0 * mu_eff / n),
            c_1,
            c_mu: c_mu.min(1.0 - c_1),
            chi: n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
        }
    }
}

impl CmaEs {
    /// Within these bounds (`n` each, finite, lower below upper), with `population` points a generation, or the default
    /// number where that is 0.
    pub fn new(lower: &[f64], upper: &[f64], population: usize) -> CmaEs {
        let n = lower.len();
        let n_points = match population {
            0 => 4 + (3.0 * (n.max(1) as f64).ln()) as usize,
            some => some.max(2),
        };
        let mut weights: Vec<f64> =
            (1..=n_points / 2).map(|i| ((n_points as f64 + 1.0) / 2.0).ln() - (i as f64).ln()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let mu_eff = 1.0 / weights.iter().map(|w| w * w).sum::<f64>();
        CmaEs {
            scale: lower.iter().zip(upper).map(|(low, high)| high - low).collect(),
            lower: lower.to_vec(),
            upper: upper.to_vec(),
            n_points,
            weights,
            rates: Rates::new(n.max(1) as f64, mu_eff),
            mean: vec![0.0; n],
            sigma: 0.0,
            covariance: vec![0.0; n * n],
            factor: vec![0.0; n * n],
            path_sigma: vec![0.0; n],
            path_c: vec![0.0; n],
            generation: 0,
            table: Ziggurat::new(),
            draws: vec![0.0; n * n_points],
            order: Vec::with_capacity(n_points),
            step: vec![0.0; n],
            whitened: vec![0.0; n],
        }
    }

    /// Points of a generation.
    pub fn n_points(&self) -> usize {
        self.n_points
    }

    /// `n`: the mean of the distribution.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The largest standard deviation of a variable, as a fraction of the distance between its bounds.
    pub fn spread(&self) -> f64 {
        let n = self.mean.len();
        self.sigma * (0..n).map(|i| self.covariance[i * n + i]).fold(0.0, f64::max).sqrt()
    }

    /// Begins at a mean (moved within the bounds) with a step size, as a fraction of the distance between the bounds, and
    /// the correlation of each two variables. False where that is not positive definite.
    pub fn start(&mut self, mean: &[f64], sigma: f64, correlation: impl Fn(usize, usize) -> f64) -> bool {
        let n = self.mean.len();
        for (i, (to, from)) in self.mean.iter_mut().zip(mean).enumerate() {
            *to = from.max(self.lower[i]).min(self.upper[i]);
        }
        for i in 0..n {
            for j in 0..n {
                self.covariance[i * n + j] = if i == j { 1.0 } else { correlation(i.min(j), i.max(j)) };
            }
        }
        self.sigma = sigma;
        self.path_sigma.fill(0.0);
        self.path_c.fill(0.0);
        self.generation = 0;
        self.refactor()
    }

    /// Draws a generation: `points: n × n_points`, the values of one variable side by side (38 to 40).
    pub fn ask(&mut self, rng: &mut Rng, points: &mut [f64]) {
        let (n, count) = (self.mean.len(), self.n_points);
        self.table.fill(rng, &mut self.draws);
        for (i, row) in points.chunks_exact_mut(count).enumerate().take(n) {
            row.fill(0.0);
            for (&l, draws) in self.factor[i * n..i * n + i + 1].iter().zip(self.draws.chunks_exact(count)) {
                for (value, draw) in row.iter_mut().zip(draws) {
                    *value += l * draw;
                }
            }
            let (mean, unit) = (self.mean[i], self.sigma * self.scale[i]);
            for value in row.iter_mut() {
                *value = (mean + unit * *value).max(self.lower[i]).min(self.upper[i]);
            }
        }
    }

    /// Learns from the values of the points drawn last. A value that is not finite is worse than any other. False where
    /// none is finite or the covariance lost its numbers; the distribution is then of no more use.
    pub fn tell(&mut self, points: &[f64], values: &[f64]) -> bool {
        let (n, count) = (self.mean.len(), self.n_points);
        self.order.clear();
        self.order.extend(0..count as u32);
        let rank = |k: u32| if values[k as usize].is_finite() { values[k as usize] } else { f64::INFINITY };
        self.order.sort_unstable_by(|&a, &b| rank(a).total_cmp(&rank(b)).then(a.cmp(&b)));
        if rank(self.order[0]).is_infinite() {
            return false;
        }
        let Rates { mu_eff, c_sigma, d_sigma, c_c, c_1, c_mu, chi } = self.rates;
        // Points in units of the step size around the old mean, in the place of the draws; 41 and 42.
        for (i, row) in points.chunks_exact(count).enumerate().take(n) {
            let unit = self.sigma * self.scale[i];
            for (y, point) in self.draws[i * count..(i + 1) * count].iter_mut().zip(row) {
                *y = (point - self.mean[i]) / unit;
            }
            let best = self.order.iter().zip(&self.weights);
            self.step[i] = best.map(|(&k, weight)| weight * self.draws[i * count + k as usize]).sum();
            self.mean[i] += unit * self.step[i];
        }
        self.whiten();
        // 43 to 45
        self.generation += 1;
        let gain = (c_sigma * (2.0 - c_sigma) * mu_eff).sqrt();
        for (path, step) in self.path_sigma.iter_mut().zip(&self.whitened) {
            *path = (1.0 - c_sigma) * *path + gain * step;
        }
        let length = self.path_sigma.iter().map(|p| p * p).sum::<f64>().sqrt();
        let settled = (1.0 - (1.0 - c_sigma).powi(2 * self.generation)).sqrt();
        let is_steady = length / settled < (1.4 + 2.0 / (n as f64 + 1.0)) * chi;
        let gain = if is_steady { (c_c * (2.0 - c_c) * mu_eff).sqrt() } else { 0.0 };
        for (path, step) in self.path_c.iter_mut().zip(&self.step) {
            *path = (1.0 - c_c) * *path + gain * step;
        }
        // 47, and the step size of 44; its growth in one generation is bounded as in Hansen's own code.
        let lost = if is_steady { 0.0 } else { c_1 * c_c * (2.0 - c_c) };
        let keep = 1.0 + lost - c_1 - c_mu;
        for i in 0..n {
            for j in 0..=i {
                let (left, right) = (&self.draws[i * count..(i + 1) * count], &self.draws[j * count..(j + 1) * count]);
                let best = self.order.iter().zip(&self.weights);
                let rank_mu: f64 = best.map(|(&k, weight)| weight * left[k as usize] * right[k as usize]).sum();
                let value = keep * self.covariance[i * n + j] + c_1 * self.path_c[i] * self.path_c[j] + c_mu * rank_mu;
                self.covariance[i * n + j] = value;
                self.covariance[j * n + i] = value;
            }
        }
        self.sigma *= (c_sigma / d_sigma * (length / chi - 1.0)).min(1.0).exp();
        self.sigma.is_finite() && self.refactor()
    }

    /// `whitened` = inverse of the factor times `step`.
    fn whiten(&mut self) {
        let n = self.mean.len();
        for i in 0..n {
            let row = &self.factor[i * n..i * n + i];
            let known: f64 = row.iter().zip(&self.whitened).map(|(l, w)| l * w).sum();
            self.whitened[i] = (self.step[i] - known) / self.factor[i * n + i];
        }
    }

    /// The Cholesky factor of the covariance. A pivot that rounding made too small is raised to 1e-14 of its diagonal.
    fn refactor(&mut self) -> bool {
        let n = self.mean.len();
        for i in 0..n {
            for j in 0..=i {
                let (row_i, row_j) = (&self.factor[i * n..i * n + j], &self.factor[j * n..j * n + j]);
                let known: f64 = row_i.iter().zip(row_j).map(|(a, b)| a * b).sum();
                let rest = self.covariance[i * n + j] - known;
                self.factor[i * n + j] = if i == j {
                    let least = 1e-14 * self.covariance[i * n + i];
                    if !rest.is_finite() || least <= 0.0 {
                        return false;
                    }
                    rest.max(least).sqrt()
                } else {
                    rest / self.factor[j * n + j]
                };
            }
        }
        true
    }
}

/// Minimizes within bounds (`n` each, finite), from `start: n`. A value that is not finite is worse than any other.
pub fn minimize(
    mut objective: impl FnMut(&[f64]) -> f64,
    lower: &[f64],
    upper: &[f64],
    start: &[f64],
    options: &CmaOptions,
) -> CmaMinimum {
    let n = lower.len();
    let mut strategy = CmaEs::new(lower, upper, options.population);
    let count = strategy.n_points();
    let mut rng = stream(options.seed, 0);
    let mut found = CmaMinimum {
        point: start.to_vec(),
        value: f64::INFINITY,
        generations: 0,
        evaluations: 0,
        stop: CmaStop::NotFinite,
    };
    if !strategy.start(start, options.sigma, |_, _| 0.0) {
        return found;
    }
    let (mut points, mut values, mut point) = (vec![0.0; n * count], vec![0.0; count], vec![0.0; n]);
    let patience = 10 + 30 * n / count;
    let mut history = Vec::with_capacity(options.max_generations.min(1 << 20));
    loop {
        if found.generations >= options.max_generations {
            found.stop = CmaStop::GenerationLimit;
            return found;
        }
        strategy.ask(&mut rng, &mut points);
        let mut best = f64::INFINITY;
        for k in 0..count {
            for (x, row) in point.iter_mut().zip(points.chunks_exact(count)) {
                *x = row[k];
            }
            values[k] = objective(&point);
            best = if values[k] < best { values[k] } else { best };
            if values[k] < found.value {
                found.value = values[k];
                found.point.copy_from_slice(&point);
            }
        }
        found.generations += 1;
        found.evaluations += count;
        if !strategy.tell(&points, &values) {
            return found;
        }
        history.push(best);
        let recent = &history[history.len().saturating_sub(patience)..];
        let (low, high) = recent.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        if recent.len() == patience && high - low < options.value_tolerance {
            found.stop = CmaStop::Flat;
            return found;
        }
        if strategy.spread() < options.tolerance {
            found.stop = CmaStop::Narrow;
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(objective: impl FnMut(&[f64]) -> f64, n: usize, start: f64, seed: u64) -> CmaMinimum {
        let options = CmaOptions { max_generations: 5000, seed, ..CmaOptions::default() };
        minimize(objective, &vec![-5.0; n], &vec![5.0; n], &vec![start; n], &options)
    }

    /// Hansen and Ostermeier 2001 report some 200 to 7000 evaluations for these functions in 5 to 20 variables.
    #[test]
    fn finds_the_minima_of_the_classics_in_the_usual_number_of_evaluations() {
        let sphere = |x: &[f64]| x.iter().map(|x| (x - 1.0).powi(2)).sum::<f64>();
        let ellipsoid = |x: &[f64]| {
            let n = x.len() as f64 - 1.0;
            x.iter().enumerate().map(|(i, x)| 1e6f64.powf(i as f64 / n) * (x - 0.5).powi(2)).sum::<f64>()
        };
        let rosenbrock =
            |x: &[f64]| x.windows(2).map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum::<f64>();
        for seed in 1..=5 {
            let a = found(sphere, 10, -2.0, seed);
            assert!(a.value < 1e-12 && a.evaluations < 4000, "{a:?}");
            let b = found(ellipsoid, 10, -2.0, seed);
            assert!(b.value < 1e-10 && b.evaluations < 12_000, "{b:?}");
            let c = found(rosenbrock, 8, 0.0, seed);
            // One start in some ten ends in the local minimum near (−1, 1, ..., 1).
            assert!((c.value < 1e-10 || (c.value - 3.97).abs() < 0.05) && c.evaluations < 16_000, "{c:?}");
        }
    }

    /// A rotation changes how a separable method fares, but not this one.
    #[test]
    fn a_rotated_ellipsoid_is_as_easy() {
        let rotated = |x: &[f64]| {
            let (a, b) = ((x[0] + x[1]) * 0.5f64.sqrt(), (x[0] - x[1]) * 0.5f64.sqrt());
            a * a + 1e6 * b * b + (x[2] - x[0]).powi(2)
        };
        let minimum = found(rotated, 3, 2.0, 4);
        assert!(minimum.value < 1e-10 && minimum.evaluations < 3000, "{minimum:?}");
    }

    #[test]
    fn minima_at_bounds_are_reached_and_points_stay_inside() {
        let mut is_inside = true;
        let minimum = found(
            |x| {
                is_inside &= x.iter().all(|x| (-5.0..=5.0).contains(x));
                x.iter().map(|x| (x - 7.0).powi(2)).sum()
            },
            4,
            0.0,
            1,
        );
        assert!(is_inside);
        assert!((minimum.value - 16.0).abs() < 1e-9, "{minimum:?}");
    }

    #[test]
    fn values_that_are_not_finite_are_avoided_or_named() {
        let walled = |x: &[f64]| if x[0] < 0.0 { f64::NAN } else { (x[0] - 0.1).powi(2) + x[1] * x[1] };
        let minimum = found(walled, 2, 2.0, 3);
        assert!(minimum.value < 1e-10, "{minimum:?}");
        let nothing = found(|_| f64::INFINITY, 2, 0.0, 1);
        assert_eq!((nothing.stop, nothing.value), (CmaStop::NotFinite, f64::INFINITY));
    }
}
