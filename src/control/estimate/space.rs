//! What a filter sees of a model, and a model made of matrices.

/// An interval over which a state is carried, everything held.
#[derive(Debug, Clone, Copy)]
pub struct Interval<'a> {
    /// Its start, in the model's time unit.
    pub t: f64,
    /// Its length.
    pub dt: f64,
    /// `n_inputs`
    pub u: &'a [f64],
    /// `n_disturbances`
    pub d: &'a [f64],
}

/// Why a filter cannot be made, or cannot go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EstimateError {
    /// A vector or matrix of the wrong length.
    #[error("{what} has {found} entries, the model needs {wanted}")]
    Size {
        /// Which.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        wanted: usize,
    },
    /// A number that is not finite or outside its range.
    #[error("{what} has a value that is not finite or out of its range")]
    Value {
        /// Of what.
        what: &'static str,
    },
    /// The model has no value there.
    #[error("{0}")]
    Model(String),
}

/// A model with noise in discrete time: `x⁺ = F(x) + w`, `y = h(x) + v` with independent normal `w` and `v`.
///
/// All methods write every element of their outputs. Matrices are dense and column major.
pub trait StateSpace: Send {
    /// Estimated quantities.
    fn n_states(&self) -> usize;

    /// Measured quantities.
    fn n_outputs(&self) -> usize;

    /// `next: n_states` = F.
    ///
    /// # Errors
    /// [`EstimateError::Model`] where the state cannot be carried that far.
    fn carry(&mut self, over: Interval<'_>, x: &[f64], next: &mut [f64]) -> Result<(), EstimateError>;

    /// As [`StateSpace::carry`], with `jacobian: n_states × n_states` = ∂F/∂x.
    ///
    /// # Errors
    /// As [`StateSpace::carry`].
    fn carry_derivatives(
        &mut self,
        over: Interval<'_>,
        x: &[f64],
        next: &mut [f64],
        jacobian: &mut [f64],
    ) -> Result<(), EstimateError>;

    /// `covariance: n_states × n_states` of w, gathered over `dt`.
    fn process_noise(&mut self, dt: f64, covariance: &mut [f64]);

    /// `y: n_outputs` = h and `sd: n_outputs` = the standard deviations of v, at the point where `at` starts.
    fn measure(&mut self, at: Interval<'_>, x: &[f64], y: &mut [f64], sd: &mut [f64]);

    /// As [`StateSpace::measure`], with `jacobian: n_outputs × n_states` = ∂h/∂x.
    fn measure_derivatives(&mut self, at: Interval<'_>, x: &[f64], y: &mut [f64], sd: &mut [f64], jacobian: &mut [f64]);

    /// What was read from a sensor, on the scale on which its noise is normal: `ln y` for a log-normal one. NaN where
    /// it has none, as for a missing value.
    fn scale(&self, _output_idx: usize, reading: f64) -> f64 {
        reading
    }

    /// Brings a state back to where the model is defined, such as into a parameter's domain.
    fn confine(&self, _x: &mut [f64]) {}
}

/// `x⁺ = A x + B u`, `y = C x`: the model on which all filters agree.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearSpace {
    /// `n × n`, column major.
    pub a: Vec<f64>,
    /// `n × n_inputs`, column major.
    pub b: Vec<f64>,
    /// `n_outputs × n`, column major.
    pub c: Vec<f64>,
    /// `n × n`, column major: covariance of the process noise of one step, whatever its length.
    pub q: Vec<f64>,
    /// `n_outputs`: standard deviations of the measurements.
    pub sd: Vec<f64>,
}

impl StateSpace for LinearSpace {
    fn n_states(&self) -> usize {
        self.a.len().isqrt()
    }

    fn n_outputs(&self) -> usize {
        self.sd.len()
    }

    fn carry(&mut self, over: Interval<'_>, x: &[f64], next: &mut [f64]) -> Result<(), EstimateError> {
        let n = x.len();
        next.fill(0.0);
        let columns = self.a.chunks_exact(n).zip(x).chain(self.b.chunks_exact(n).zip(over.u));
        for (column, &value) in columns {
            next.iter_mut().zip(column).for_each(|(next, a)| *next += a * value);
        }
        Ok(())
    }

    fn carry_derivatives(
        &mut self,
        over: Interval<'_>,
        x: &[f64],
        next: &mut [f64],
        jacobian: &mut [f64],
    ) -> Result<(), EstimateError> {
        jacobian.copy_from_slice(&self.a);
        self.carry(over, x, next)
    }

    fn process_noise(&mut self, _dt: f64, covariance: &mut [f64]) {
        covariance.copy_from_slice(&self.q);
    }

    fn measure(&mut self, _at: Interval<'_>, x: &[f64], y: &mut [f64], sd: &mut [f64]) {
        y.fill(0.0);
        for (column, &value) in self.c.chunks_exact(self.sd.len()).zip(x) {
            y.iter_mut().zip(column).for_each(|(y, c)| *y += c * value);
        }
        sd.copy_from_slice(&self.sd);
    }

    fn measure_derivatives(
        &mut self,
        at: Interval<'_>,
        x: &[f64],
        y: &mut [f64],
        sd: &mut [f64],
        jacobian: &mut [f64],
    ) {
        jacobian.copy_from_slice(&self.c);
        self.measure(at, x, y, sd);
    }
}
