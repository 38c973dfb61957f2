//! The formula in use: an explicit one, Rodas5P, or the first followed by the second.

use super::controller::Norm;
use super::explicit::Explicit;
use super::field::Field;
use super::fixed::{EULER, RK4};
use super::options::Method;
use super::problem::Status;
use super::rodas5p::{Failure, Rodas5p};
use super::tsit5::{STABILITY_LIMIT, TSIT5};

/// Accepted steps at the stability limit after which [`Method::Auto`] calls a problem stiff ...
const STIFF_STEPS: u32 = 10;
/// ... and steps off the limit in a row that make it forget the ones before.
const NONSTIFF_STEPS: u32 = 6;

/// What makes the steps.
pub(super) struct Formula {
    method: Method,
    explicit: Explicit,
    /// Present for the methods that may need it.
    rosenbrock: Option<Box<Rodas5p>>,
    is_implicit: bool,
    stiff_steps: u32,
    nonstiff_steps: u32,
}

impl Formula {
    pub fn new(method: Method, field: &Field<'_>) -> Self {
        let table = match method {
            Method::Euler => EULER,
            Method::Rk4 => RK4,
            Method::Auto | Method::Tsit5 | Method::Rodas5p => TSIT5,
        };
        let rosenbrock = match method {
            Method::Auto | Method::Rodas5p => Some(Box::new(Rodas5p::new(field))),
            Method::Tsit5 | Method::Euler | Method::Rk4 => None,
        };
        let explicit = Explicit::new(table);
        Formula { method, explicit, rosenbrock, is_implicit: false, stiff_steps: 0, nonstiff_steps: 0 }
    }

    /// Begins a solve with augmented states of length `len`.
    pub fn start(&mut self, len: usize) {
        self.explicit.resize(len);
        if let Some(rosenbrock) = &mut self.rosenbrock {
            rosenbrock.resize(len);
        }
        self.is_implicit = match self.method {
            Method::Rodas5p => true,
            Method::Auto | Method::Tsit5 | Method::Euler | Method::Rk4 => false,
        };
        self.stiff_steps = 0;
        self.nonstiff_steps = 0;
    }

    /// Forgets what was evaluated: the field or the state has jumped.
    pub fn restart(&mut self) {
        self.explicit.restart();
        if let Some(rosenbrock) = &mut self.rosenbrock {
            rosenbrock.restart();
        }
    }

    /// Computes `z_new` at `t + h` and the estimate of its error. Returns false where no step of this length exists.
    ///
    /// # Errors
    /// A status that no shorter step would avoid.
    pub fn attempt(
        &mut self,
        field: &mut Field<'_>,
        t: f64,
        h: f64,
        z: &[f64],
        z_new: &mut [f64],
        error: &mut [f64],
    ) -> Result<bool, Status> {
        match &mut self.rosenbrock {
            Some(rosenbrock) if self.is_implicit => {
                field.statistics.implicit_steps += 1;
                match rosenbrock.attempt(field, t, h, z, z_new, error) {
                    Ok(()) => Ok(true),
                    Err(Failure::Singular) => Ok(false),
                    Err(Failure::Final(status)) => Err(status),
                }
            }
            Some(_) | None => self.explicit.attempt(field, t, h, z, z_new, error).map(|()| true),
        }
    }

    /// `out` = the first `out.len()` components at `t + theta h` in the step just made from `z` to `z_new`.
    pub fn interpolate(&mut self, theta: f64, h: f64, z: &[f64], z_new: &[f64], out: &mut [f64]) {
        match &mut self.rosenbrock {
            Some(rosenbrock) if self.is_implicit => rosenbrock.interpolate(theta, z, z_new, out),
            Some(_) | None => self.explicit.interpolate(theta, h, z, out),
        }
    }

    /// Says that the step of length `h` to `z_new` was accepted up to its end.
    pub fn accept(&mut self, norm: &Norm, z_new: &[f64], h: f64) {
        match &mut self.rosenbrock {
            Some(rosenbrock) if self.is_implicit => rosenbrock.restart(),
            Some(_) if self.method == Method::Auto => {
                self.explicit.accept();
                if self.explicit.stiffness(norm, z_new, h) > STABILITY_LIMIT {
                    self.stiff_steps += 1;
                    self.nonstiff_steps = 0;
                } else {
                    self.nonstiff_steps += 1;
                    if self.nonstiff_steps >= NONSTIFF_STEPS {
                        self.stiff_steps = 0;
                    }
                }
                if self.stiff_steps >= STIFF_STEPS {
                    self.become_implicit();
                }
            }
            Some(_) | None => self.explicit.accept(),
        }
    }

    /// Goes over to Rodas5P where the method allows that. Returns whether anything changed.
    pub fn become_implicit(&mut self) -> bool {
        match &mut self.rosenbrock {
            Some(rosenbrock) if !self.is_implicit => {
                rosenbrock.restart();
                self.is_implicit = true;
                true
            }
            Some(_) | None => false,
        }
    }
}
