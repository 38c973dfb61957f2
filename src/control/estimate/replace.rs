//! Estimating by simulation: the believed model goes on under the inputs that acted, and what is measured replaces the
//! states that it tells of.
//!
//! A reading is a function of one state, such as a concentration `Q/V` of an amount `Q`. The state that the reading
//! belongs to is found by Newton's method from the simulated one; states that no reading tells of are the simulation's.
//! The simulation itself goes on undisturbed by readings: what is replaced is replaced in the belief only, so that the
//! states that are not measured do not depend on the plant. There is no noise in this picture: a reading is taken for the
//! truth, and no covariance is carried.

use super::kalman::keep;
use super::{EstimateError, Interval, StateSpace};
use crate::decide::{Belief, Estimator};
use crate::system::{At, Function, Work};

/// Most Newton steps of a reading.
const MOST_STEPS: usize = 50;

/// Which readings replace which states.
pub struct Readings {
    /// `(reading, state)` of each: an index into what is given to [`Estimator::update`], and the state it is of.
    pub pairs: Vec<(usize, usize)>,
    /// The readings as functions of the state, one for each pair, and behind them their derivatives by that state.
    pub functions: Box<dyn Function>,
    /// `n_params` of the believed model.
    pub parameters: Vec<f64>,
}

/// The estimator that simulates and replaces.
pub struct Replace<'s> {
    space: Box<dyn StateSpace + 's>,
    readings: Readings,
    start: Vec<f64>,
    start_time: f64,
    work: Work,
    time: f64,
    simulated: Vec<f64>,
    mean: Vec<f64>,
    next: Vec<f64>,
    covariance: Vec<f64>,
    values: Vec<f64>,
    u: Vec<f64>,
    d: Vec<f64>,
    n_used: usize,
    message: String,
}

impl<'s> Replace<'s> {
    /// Starts from the state `start: n_states` at `time`.
    ///
    /// # Errors
    /// Sizes that do not fit the model.
    pub fn new(
        space: Box<dyn StateSpace + 's>,
        readings: Readings,
        time: f64,
        start: &[f64],
    ) -> Result<Self, EstimateError> {
        let n = space.n_states();
        let size = |what, found, wanted| match found == wanted {
            true => Ok(()),
            false => Err(EstimateError::Size { what, found, wanted }),
        };
        size("the start", start.len(), n)?;
        size("the functions of the readings", readings.functions.n_outputs(), 2 * readings.pairs.len())?;
        if readings.pairs.iter().any(|(_, state)| *state >= n) {
            return Err(EstimateError::Value { what: "the state of a reading" });
        }
        Ok(Replace {
            values: vec![0.0; readings.functions.n_outputs()],
            work: Work::default(),
            start: start.to_vec(),
            start_time: time,
            time,
            simulated: start.to_vec(),
            mean: start.to_vec(),
            next: vec![0.0; n],
            covariance: vec![0.0; n * n],
            u: Vec::new(),
            d: Vec::new(),
            n_used: 0,
            message: String::new(),
            space,
            readings,
        })
    }

    /// Finds the state of pair `k` at which its reading is `y`; false where there is none near.
    fn solve(&mut self, k: usize, state: usize, y: f64) -> bool {
        let before = self.mean[state];
        let mut last = f64::INFINITY;
        for _ in 0..MOST_STEPS {
            let at = At { t: self.time, x: &self.mean, u: &self.u, d: &self.d, p: &self.readings.parameters };
            self.readings.functions.call(at, &mut self.work, &mut self.values);
            let change = (y - self.values[k]) / self.values[self.readings.pairs.len() + k];
            if !change.is_finite() {
                break;
            }
            self.mean[state] += change;
            // Quadratic convergence ends where steps are rounding: they no longer shrink, or do not change the state.
            let size = change.abs();
            if size <= 4.0 * f64::EPSILON * self.mean[state].abs() || (size >= last && size <= 1e-9 * y.abs()) {
                return true;
            }
            last = size;
        }
        self.mean[state] = before;
        false
    }
}

impl Estimator for Replace<'_> {
    fn reset(&mut self, _seed: u64) {
        self.time = self.start_time;
        self.simulated.copy_from_slice(&self.start);
        self.mean.copy_from_slice(&self.start);
        self.n_used = 0;
        self.message.clear();
    }

    fn predict(&mut self, dt: f64, u: &[f64], d: &[f64]) {
        keep(&mut self.u, u);
        keep(&mut self.d, d);
        let over = Interval { t: self.time, dt, u, d };
        self.time += dt;
        match self.space.carry(over, &self.simulated, &mut self.next) {
            Ok(()) => self.simulated.copy_from_slice(&self.next),
            Err(error) => self.message = error.to_string(),
        }
        self.mean.copy_from_slice(&self.simulated);
    }

    fn update(&mut self, y: &[f64]) {
        self.n_used = 0;
        for k in 0..self.readings.pairs.len() {
            let (reading, state) = self.readings.pairs[k];
            let value = y.get(reading).copied().unwrap_or(f64::NAN);
            if !value.is_finite() {
                continue;
            }
            if self.solve(k, state, value) {
                self.n_used += 1;
            } else if self.message.is_empty() {
                self.message = format!("no value of state {state} gives the reading {value}");
            }
        }
    }

    /// The covariance is zero and there is no innovation: readings are taken for the truth.
    fn belief(&self) -> Belief<'_> {
        Belief {
            mean: &self.mean,
            covariance: &self.covariance,
            nis: f64::NAN,
            n_used: self.n_used,
            log_likelihood: 0.0,
            message: &self.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::estimate::LinearSpace;

    /// A reading `x₁³ + x₁` of the second state.
    struct Cubic;

    impl Function for Cubic {
        fn n_outputs(&self) -> usize {
            2
        }

        fn call(&self, at: At<'_>, _: &mut Work, out: &mut [f64]) {
            let x = at.x[1];
            out.copy_from_slice(&[x * x * x + x, 3.0 * x * x + 1.0]);
        }
    }

    fn simulation() -> Replace<'static> {
        let space =
            LinearSpace { a: vec![0.5, 1.0, 0.0, 1.0], b: vec![1.0, 0.0], c: vec![], q: vec![0.0; 4], sd: vec![] };
        let readings = Readings { pairs: vec![(3, 1)], functions: Box::new(Cubic), parameters: Vec::new() };
        Replace::new(Box::new(space), readings, 0.0, &[2.0, 1.0]).expect("fits")
    }

    #[test]
    fn a_reading_replaces_its_state_and_the_simulation_goes_on() {
        let mut filter = simulation();
        filter.predict(1.0, &[3.0], &[]);
        // x₀ = 2/2 + 3, x₁ = 2 + 1; the reading 10 is that of x₁ = 2.
        filter.update(&[f64::NAN, f64::NAN, f64::NAN, 10.0]);
        let belief = filter.belief();
        assert_eq!((belief.mean[0], belief.n_used), (4.0, 1));
        assert!((belief.mean[1] - 2.0).abs() < 1e-15);
        // Nothing was read: the simulation goes on from (4, 3), which no reading has changed.
        filter.predict(1.0, &[0.0], &[]);
        filter.update(&[f64::NAN; 4]);
        assert_eq!((filter.belief().mean, filter.belief().n_used), (&[2.0, 7.0][..], 0));
        filter.reset(0);
        assert_eq!(filter.belief().mean, [2.0, 1.0]);
    }

    #[test]
    fn a_reading_of_a_state_that_is_not_there_is_refused() {
        let readings = Readings { pairs: vec![(0, 2)], functions: Box::new(Cubic), parameters: Vec::new() };
        let space = LinearSpace { a: vec![0.0; 4], b: vec![], c: vec![], q: vec![0.0; 4], sd: vec![] };
        assert!(Replace::new(Box::new(space), readings, 0.0, &[0.0; 2]).is_err());
    }
}
