//! A [`StateSpace`] made of a continuous [`System`]: states, and parameters that walk at random beside them.

use super::space::{EstimateError, Interval, StateSpace};
use crate::flat::Noise;
use crate::integrate::{Direction, Forcing, Integrator, Options, Problem, Sample, Signal, Start};
use crate::system::{At, System, Work};

/// One measured output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensor {
    /// Index into the system's outputs: the median of what is measured.
    pub value_output: usize,
    /// Index into the system's outputs: the spread of the noise, in the sense of `noise`.
    pub spread_output: usize,
    /// The form of the noise. Filters take a log-normal one as normal on the logarithm, and a Laplacean one as normal
    /// with the same variance.
    pub noise: Noise,
}

/// A parameter that is estimated as a slow random walk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    /// Which.
    pub param_idx: usize,
    /// Lower end of its domain.
    pub low: f64,
    /// Upper end of its domain.
    pub high: f64,
}

/// The estimated vector is `(x, θ)`: all states of the system, then the walking parameters.
pub struct SystemSpace<'s> {
    integrator: Integrator<'s>,
    sensors: Vec<Sensor>,
    walks: Vec<Walk>,
    /// Variance gained per unit of time, `n_states + n_walks`.
    density: Vec<f64>,
    p: Vec<f64>,
    forcing: Forcing,
    directions: Vec<Direction>,
    work: Work,
    outputs: Vec<f64>,
    by_states: Vec<f64>,
    by_params: Vec<f64>,
}

impl<'s> SystemSpace<'s> {
    /// A model that is carried by an integrator with `options`, has the parameters `p: n_params`, and gains the variance
    /// `density: n_states + n_walks` (unit squared per time) in each quantity.
    ///
    /// # Errors
    /// Where sizes do not fit or a density is negative.
    pub fn new(
        system: &'s dyn System,
        options: Options,
        p: &[f64],
        sensors: Vec<Sensor>,
        walks: Vec<Walk>,
        density: Vec<f64>,
    ) -> Result<Self, EstimateError> {
        let dims = system.dims();
        let size = |what, found, wanted| match found == wanted {
            true => Ok(()),
            false => Err(EstimateError::Size { what, found, wanted }),
        };
        size("the parameters", p.len(), dims.n_params)?;
        size("the process noise", density.len(), dims.n_states + walks.len())?;
        if density.iter().any(|q| !(*q >= 0.0 && q.is_finite())) {
            return Err(EstimateError::Value { what: "the process noise" });
        }
        if sensors.iter().any(|s| s.value_output.max(s.spread_output) >= dims.n_outputs) {
            return Err(EstimateError::Value { what: "the index of a sensor" });
        }
        if walks.iter().any(|walk| walk.param_idx >= dims.n_params || walk.low > walk.high) {
            return Err(EstimateError::Value { what: "a walking parameter" });
        }
        let integrator = Integrator::new(system, options).map_err(|e| EstimateError::Model(e.to_string()))?;
        let states = (0..dims.n_states).map(Direction::start_value);
        let (by_states, by_params) = system.output_patterns();
        Ok(SystemSpace {
            integrator,
            directions: states.chain(walks.iter().map(|w| Direction::parameter(w.param_idx))).collect(),
            forcing: Forcing::constant(&vec![0.0; dims.n_inputs], &vec![0.0; dims.n_disturbances]),
            p: p.to_vec(),
            work: system.work(),
            outputs: vec![0.0; dims.n_outputs],
            by_states: vec![0.0; by_states.nnz()],
            by_params: vec![0.0; by_params.nnz()],
            sensors,
            walks,
            density,
        })
    }

    fn n_plant_states(&self) -> usize {
        self.density.len() - self.walks.len()
    }

    /// Sets what is held, and the parameters that walk.
    fn hold(&mut self, over: Interval<'_>, x: &[f64]) {
        let set = |signals: &mut [Signal], values: &[f64]| {
            signals.iter_mut().zip(values).for_each(|(signal, &value)| *signal = Signal::Constant(value));
        };
        set(&mut self.forcing.inputs, over.u);
        set(&mut self.forcing.disturbances, over.d);
        let theta = &x[self.density.len() - self.walks.len()..];
        for (walk, value) in self.walks.iter().zip(theta) {
            self.p[walk.param_idx] = value.clamp(walk.low, walk.high);
        }
    }

    fn integrate(
        &mut self,
        over: Interval<'_>,
        x: &[f64],
        next: &mut [f64],
        jacobian: Option<&mut [f64]>,
    ) -> Result<(), EstimateError> {
        self.hold(over, x);
        let n = self.n_plant_states();
        let total = x.len();
        next[n..].copy_from_slice(&x[n..]);
        let t1 = over.t + over.dt;
        let problem = Problem {
            t0: over.t,
            t1,
            start: Start::Given(&x[..n]),
            p: &self.p,
            forcing: &self.forcing,
            directions: if jacobian.is_some() { &self.directions } else { &[] },
            // What is due at the very start has not happened yet.
            resumes: over.t > 0.0,
        };
        let mut jacobian = jacobian;
        let mut store = |sample: Sample<'_>| {
            next[..n].copy_from_slice(sample.at.x);
            if let Some(jacobian) = jacobian.as_deref_mut() {
                jacobian.fill(0.0);
                let columns = jacobian.chunks_exact_mut(total).zip(sample.sensitivities.chunks_exact(n));
                columns.for_each(|(column, s)| column[..n].copy_from_slice(s));
                (n..total).for_each(|k| jacobian[k * total + k] = 1.0);
            }
        };
        let outcome = self.integrator.solve(&problem, &[t1], &mut store);
        match outcome {
            Ok(outcome) if outcome.status.is_success() => Ok(()),
            Ok(outcome) => Err(EstimateError::Model(outcome.status.to_string())),
            Err(error) => Err(EstimateError::Model(error.to_string())),
        }
    }

    fn observe(&mut self, at: Interval<'_>, x: &[f64], y: &mut [f64], sd: &mut [f64]) {
        for (walk, value) in self.walks.iter().zip(&x[self.density.len() - self.walks.len()..]) {
            self.p[walk.param_idx] = value.clamp(walk.low, walk.high);
        }
        let n = self.n_plant_states();
        let point = At { t: at.t, x: &x[..n], u: at.u, d: at.d, p: &self.p };
        self.integrator.system().outputs(point, &mut self.work, &mut self.outputs);
        for (k, sensor) in self.sensors.iter().enumerate() {
            let (value, spread) = (self.outputs[sensor.value_output], self.outputs[sensor.spread_output]);
            (y[k], sd[k]) = match sensor.noise {
                Noise::Normal => (value, spread),
                Noise::LogNormal => (value.ln(), spread.ln()),
                Noise::Laplace => (value, spread * std::f64::consts::SQRT_2),
            };
        }
    }
}

impl StateSpace for SystemSpace<'_> {
    fn n_states(&self) -> usize {
        self.density.len()
    }

    fn n_outputs(&self) -> usize {
        self.sensors.len()
    }

    fn carry(&mut self, over: Interval<'_>, x: &[f64], next: &mut [f64]) -> Result<(), EstimateError> {
        self.integrate(over, x, next, None)
    }

    fn carry_derivatives(
        &mut self,
        over: Interval<'_>,
        x: &[f64],
        next: &mut [f64],
        jacobian: &mut [f64],
    ) -> Result<(), EstimateError> {
        self.integrate(over, x, next, Some(jacobian))
    }

    fn process_noise(&mut self, dt: f64, covariance: &mut [f64]) {
        let n = self.density.len();
        covariance.fill(0.0);
        self.density.iter().enumerate().for_each(|(k, q)| covariance[k * n + k] = q * dt);
    }

    fn measure(&mut self, at: Interval<'_>, x: &[f64], y: &mut [f64], sd: &mut [f64]) {
        self.observe(at, x, y, sd);
    }

    fn measure_derivatives(
        &mut self,
        at: Interval<'_>,
        x: &[f64],
        y: &mut [f64],
        sd: &mut [f64],
        jacobian: &mut [f64],
    ) {
        self.observe(at, x, y, sd);
        let n = self.n_plant_states();
        let system = self.integrator.system();
        let point = At { t: at.t, x: &x[..n], u: at.u, d: at.d, p: &self.p };
        system.output_jacobians(point, &mut self.work, &mut self.by_states, &mut self.by_params);
        let (states, params) = system.output_patterns();
        jacobian.fill(0.0);
        let n_outputs = self.sensors.len();
        for (k, sensor) in self.sensors.iter().enumerate() {
            let factor = match sensor.noise {
                Noise::Normal | Noise::Laplace => 1.0,
                Noise::LogNormal => 1.0 / self.outputs[sensor.value_output],
            };
            for column in 0..n {
                if let Some(entry) = states.position(sensor.value_output, column) {
                    jacobian[column * n_outputs + k] = factor * self.by_states[entry];
                }
            }
            for (walk_idx, walk) in self.walks.iter().enumerate() {
                if let Some(entry) = params.position(sensor.value_output, walk.param_idx) {
                    jacobian[(n + walk_idx) * n_outputs + k] = factor * self.by_params[entry];
                }
            }
        }
    }

    fn scale(&self, output_idx: usize, reading: f64) -> f64 {
        match self.sensors[output_idx].noise {
            Noise::Normal | Noise::Laplace => reading,
            Noise::LogNormal => reading.ln(),
        }
    }

    fn confine(&self, x: &mut [f64]) {
        let theta = &mut x[self.density.len() - self.walks.len()..];
        theta.iter_mut().zip(&self.walks).for_each(|(value, walk)| *value = value.clamp(walk.low, walk.high));
    }
}
