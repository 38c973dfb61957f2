//! The formula in use: an explicit one, Rodas5P, BDF, or the first followed by one of the others.

use super::bdf::Bdf;
use super::controller::{Controller, Norm};
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

/// What makes implicit steps.
enum Implicit {
    Rosenbrock(Box<Rodas5p>),
    Multistep(Box<Bdf>),
}

impl Implicit {
    fn restart(&mut self) {
        match self {
            Implicit::Rosenbrock(formula) => formula.restart(),
            Implicit::Multistep(formula) => formula.restart(),
        }
    }
}

/// What makes the steps.
pub(super) struct Formula {
    method: Method,
    explicit: Explicit,
    /// Present for the methods that may need it.
    implicit: Option<Implicit>,
    is_implicit: bool,
    stiff_steps: u32,
    nonstiff_steps: u32,
    controller: Controller,
}

impl Formula {
    pub fn new(method: Method, field: &Field<'_>) -> Self {
        let table = match method {
            Method::Euler => EULER,
            Method::Rk4 => RK4,
            Method::Auto | Method::Tsit5 | Method::Rodas5p | Method::Bdf => TSIT5,
        };
        let implicit = match method {
            Method::Auto | Method::Rodas5p => Some(Implicit::Rosenbrock(Box::new(Rodas5p::new(field)))),
            Method::Bdf => Some(Implicit::Multistep(Box::new(Bdf::new(field)))),
            Method::Tsit5 | Method::Euler | Method::Rk4 => None,
        };
        Formula {
            method,
            explicit: Explicit::new(table),
            implicit,
            is_implicit: false,
            stiff_steps: 0,
            nonstiff_steps: 0,
            controller: Controller::new(),
        }
    }

    /// Begins a solve.
    pub fn start(&mut self, norm: &Norm, field: &Field<'_>) {
        self.explicit.resize(field.len());
        match &mut self.implicit {
            Some(Implicit::Rosenbrock(formula)) => formula.resize(field.len()),
            Some(Implicit::Multistep(formula)) => formula.start(norm, field.m),
            None => {}
        }
        self.is_implicit = match self.method {
            Method::Rodas5p | Method::Bdf => true,
            Method::Auto | Method::Tsit5 | Method::Euler | Method::Rk4 => false,
        };
        self.stiff_steps = 0;
        self.nonstiff_steps = 0;
    }

    /// Forgets what was evaluated: the field or the state has jumped. Returns whether the next step may be as long as
    /// the last one where only the field has jumped.
    pub fn restart(&mut self) -> bool {
        self.controller = Controller::new();
        self.explicit.restart();
        if let Some(implicit) = &mut self.implicit {
            implicit.restart();
        }
        self.multistep().is_none()
    }

    /// The multistep formula where it is in use.
    fn multistep(&self) -> Option<&Bdf> {
        match &self.implicit {
            Some(Implicit::Multistep(formula)) if self.is_implicit => Some(formula),
            Some(Implicit::Rosenbrock(_) | Implicit::Multistep(_)) | None => None,
        }
    }

    /// With which power of a first step its error grows.
    pub fn first_order(&self) -> i32 {
        if self.multistep().is_some() { 2 } else { 5 }
    }

    /// Computes `z_new` at `t + h` and the estimate of its error, and returns the scaled norm of that: infinite where no
    /// step of this length exists, zero for steps without control.
    ///
    /// # Errors
    /// A status that no shorter step would avoid.
    #[expect(clippy::too_many_arguments, reason = "what a step is made of, told to each formula")]
    pub fn attempt(
        &mut self,
        field: &mut Field<'_>,
        norm: &Norm,
        is_controlled: bool,
        (t, h): (f64, f64),
        z: &[f64],
        z_new: &mut [f64],
        error: &mut [f64],
    ) -> Result<f64, Status> {
        match &mut self.implicit {
            Some(implicit) if self.is_implicit => {
                field.statistics.implicit_steps += 1;
                match implicit {
                    Implicit::Rosenbrock(formula) => match formula.attempt(field, t, h, z, z_new, error) {
                        Ok(()) => {}
                        Err(Failure::Singular) => {
                            z_new.fill(f64::NAN);
                            return Ok(f64::INFINITY);
                        }
                        Err(Failure::Final(status)) => return Err(status),
                    },
                    Implicit::Multistep(formula) => {
                        return formula.attempt(field, norm, is_controlled, t, h, z, z_new, error);
                    }
                }
            }
            Some(_) | None => self.explicit.attempt(field, t, h, z, z_new, error)?,
        }
        Ok(if is_controlled { norm.of(error, z, z_new, &field.directions.scales) } else { 0.0 })
    }

    /// The factor to the next step after one with scaled error `norm` that is accepted.
    pub fn factor(&mut self, norm: f64) -> f64 {
        match self.multistep() {
            Some(formula) => formula.factor(),
            None => self.controller.accept(norm),
        }
    }

    /// The factor to the next attempt after one with scaled error `norm` that is rejected.
    pub fn reject(&mut self, norm: f64) -> f64 {
        match self.multistep() {
            Some(formula) => formula.factor(),
            None => self.controller.reject(norm),
        }
    }

    /// `out` = the first `out.len()` components at `t + theta h` in the step just made from `z` to `z_new`.
    pub fn interpolate(&mut self, theta: f64, h: f64, z: &[f64], z_new: &[f64], out: &mut [f64]) {
        match &mut self.implicit {
            Some(Implicit::Rosenbrock(formula)) if self.is_implicit => formula.interpolate(theta, z, z_new, out),
            Some(Implicit::Multistep(formula)) if self.is_implicit => formula.interpolate(theta, out),
            Some(_) | None => self.explicit.interpolate(theta, h, z, out),
        }
    }

    /// Says that the step of length `h` to `z_new` was accepted up to its end.
    pub fn accept(&mut self, norm: &Norm, z_new: &[f64], h: f64) {
        match &mut self.implicit {
            Some(Implicit::Rosenbrock(formula)) if self.is_implicit => formula.restart(),
            Some(Implicit::Multistep(_)) if self.is_implicit => {}
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

    /// Goes over to the implicit formula where the method allows that. Returns whether anything changed.
    pub fn become_implicit(&mut self) -> bool {
        match &mut self.implicit {
            Some(implicit) if !self.is_implicit => {
                implicit.restart();
                self.is_implicit = true;
                true
            }
            Some(_) | None => false,
        }
    }
}
