//! The formula in use: an explicit one, Rodas5P, BDF, or the first and one of the others in turn.
//!
//! Stiff problems are Rodas5P's in [`Method::Auto`] unless they are large: for an equal error it took less time than BDF on most rows of
//! benches/stiff.rs, and for an equal tolerance its error is ten times smaller (docs/performance.md).

use super::adjoint::tape::StepKind;
use super::bdf::Bdf;
use super::collocation::{Collocation, IMPLICIT_EULER, RADAU3, RADAU5};
use super::controller::{BETA, Controller, EXPONENT, Norm};
use super::dop853::DOP853;
use super::explicit::{Explicit, Tableau};
use super::field::Field;
use super::fixed::{EULER, RK4};
use super::options::{Method, Options};
use super::problem::Status;
use super::rodas5p::{Failure, Rodas5p};
use super::tsit5::TSIT5;
use crate::linalg::ShiftedLu;

/// Accepted steps at the stability limit after which [`Method::Auto`] calls a problem stiff ...
const STIFF_STEPS: u32 = 10;
/// ... and steps off the limit in a row that make it forget the ones before.
const NONSTIFF_STEPS: u32 = 6;

/// Accepted Rosenbrock steps in a row within the stability of the explicit formula after which [`Method::Auto`] goes
/// back ...
const EASY_STEPS: u32 = 25;
/// ... where the length times a bound of the spectral radius is at most this.
const EASY: f64 = 1.0;

/// From this number of states on [`Method::Auto`] takes the multistep formula where a problem is stiff: factorisations and
/// solves then outweigh all else, and it needs a quarter of them (docs/performance.md).
const LARGE: usize = 200;

/// Tells from one accepted explicit step after another whether a problem is stiff.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StiffWatch {
    stiff_steps: u32,
    nonstiff_steps: u32,
}

impl StiffWatch {
    /// Takes the estimate of `h |lambda|` of a step in, which stability limits above `limit`. Returns whether the problem
    /// is stiff.
    pub fn sees(&mut self, size: f64, limit: f64) -> bool {
        if size > limit {
            self.stiff_steps += 1;
            self.nonstiff_steps = 0;
        } else {
            self.nonstiff_steps += 1;
            if self.nonstiff_steps >= NONSTIFF_STEPS {
                self.stiff_steps = 0;
            }
        }
        self.stiff_steps >= STIFF_STEPS
    }
}

/// [`Method::Auto`] begins with DOP853 where the relative tolerance is below this, and with Tsit5 elsewhere: on the orbits
/// of docs/performance.md it takes less time for an equal error from about here on, without samples.
const TIGHT: f64 = 1e-6;

/// Which formula is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Explicit,
    Rosenbrock,
    /// The steps until there is a history are Rosenbrock's, and all steps after it has lost a sign.
    Multistep,
}

/// The implicit formulas on one factorisation.
struct Implicit {
    lu: ShiftedLu,
    rosenbrock: Rodas5p,
    multistep: Option<Box<Bdf>>,
}

/// What makes the steps.
pub(super) struct Formula {
    method: Method,
    kind: Kind,
    explicit: Explicit,
    /// Present for the methods that may need it.
    implicit: Option<Box<Implicit>>,
    /// Present for the implicit methods of the grid, and makes all their steps.
    collocation: Option<Box<Collocation>>,
    watch: StiffWatch,
    easy_steps: u32,
    controller: Controller,
}

/// True where [`Method::Auto`] begins with DOP853.
pub(super) fn begins_tight(options: &Options) -> bool {
    options.rtol < TIGHT
}

/// The explicit formula that the options ask for.
pub(super) fn explicit_table(options: &Options) -> Tableau {
    match options.method {
        Method::Euler => EULER,
        Method::Rk4 => RK4,
        Method::Dop853 => DOP853,
        Method::Auto if begins_tight(options) => DOP853,
        Method::Auto | Method::Tsit5 | Method::Rodas5p | Method::Bdf => TSIT5,
        // These make no explicit steps.
        Method::ImplicitEuler | Method::Radau3 | Method::Radau5 => EULER,
    }
}

impl Formula {
    pub fn new(options: &Options, field: &Field<'_>) -> Self {
        let method = options.method;
        let table = explicit_table(options);
        let implicit = match method {
            Method::Auto | Method::Rodas5p | Method::Bdf => {
                let lu = ShiftedLu::with_code(field.system.jacobian_pattern(), field.system.lu_code());
                let is_multistep = match method {
                    Method::Bdf => true,
                    Method::Auto => field.n >= LARGE,
                    Method::Rodas5p
                    | Method::Tsit5
                    | Method::Dop853
                    | Method::Euler
                    | Method::Rk4
                    | Method::ImplicitEuler
                    | Method::Radau3
                    | Method::Radau5 => false,
                };
                let multistep = is_multistep.then(|| Box::new(Bdf::new(field)));
                Some(Box::new(Implicit { lu, rosenbrock: Rodas5p::new(field), multistep }))
            }
            Method::Tsit5
            | Method::Dop853
            | Method::Euler
            | Method::Rk4
            | Method::ImplicitEuler
            | Method::Radau3
            | Method::Radau5 => None,
        };
        let collocation = match method {
            Method::ImplicitEuler => Some(IMPLICIT_EULER),
            Method::Radau3 => Some(RADAU3),
            Method::Radau5 => Some(RADAU5),
            Method::Auto
            | Method::Tsit5
            | Method::Dop853
            | Method::Rodas5p
            | Method::Bdf
            | Method::Euler
            | Method::Rk4 => None,
        };
        Formula {
            method,
            kind: Kind::Explicit,
            explicit: Explicit::new(table),
            implicit,
            collocation: collocation.map(|table| Box::new(Collocation::new(table, field))),
            watch: StiffWatch::default(),
            easy_steps: 0,
            controller: Controller::new(table.exponent, table.beta),
        }
    }

    /// Leaves stiff steps to Rodas5P whatever the size of the system, for methods other than [`Method::Bdf`].
    pub fn leave_out_multistep(&mut self) {
        if let Some(implicit) = &mut self.implicit {
            implicit.multistep = None;
        }
    }

    /// Begins a solve.
    pub fn start(&mut self, norm: &Norm, field: &Field<'_>) {
        self.explicit.resize(field.len());
        if let Some(implicit) = &mut self.implicit {
            implicit.rosenbrock.resize(field.len());
            if let Some(multistep) = &mut implicit.multistep {
                multistep.start(norm, field.m);
            }
        }
        if let Some(formula) = &mut self.collocation {
            formula.start(norm, field.len());
        }
        self.kind = match self.method {
            Method::Rodas5p => Kind::Rosenbrock,
            Method::Bdf => Kind::Multistep,
            Method::Auto
            | Method::Tsit5
            | Method::Dop853
            | Method::Euler
            | Method::Rk4
            | Method::ImplicitEuler
            | Method::Radau3
            | Method::Radau5 => Kind::Explicit,
        };
        self.watch = StiffWatch::default();
        self.easy_steps = 0;
    }

    /// The power of the length with which the error of the next step goes.
    pub fn exponent(&self) -> f64 {
        match self.kind {
            Kind::Explicit => self.explicit.table().exponent,
            Kind::Rosenbrock | Kind::Multistep => EXPONENT,
        }
    }

    fn reset_controller(&mut self) {
        let beta = match self.kind {
            Kind::Explicit => self.explicit.table().beta,
            Kind::Rosenbrock | Kind::Multistep => BETA,
        };
        self.controller = Controller::new(self.exponent(), beta);
    }

    /// Forgets what was evaluated: the field or the state has jumped. Returns whether the next step may be as long as
    /// the last one where only the field has jumped.
    pub fn restart(&mut self) -> bool {
        self.reset_controller();
        self.explicit.restart();
        if let Some(implicit) = &mut self.implicit {
            implicit.rosenbrock.restart();
            if let Some(multistep) = &mut implicit.multistep {
                multistep.restart();
            }
        }
        self.kind != Kind::Multistep
    }

    /// The multistep formula where it makes the steps.
    fn multistep(&mut self) -> Option<&mut Bdf> {
        let multistep = self.implicit.as_mut()?.multistep.as_mut()?;
        (self.kind == Kind::Multistep && multistep.has_history()).then_some(multistep)
    }

    /// Computes `z_new` at `t + h` and the estimate of its error, and returns the scaled norm of that: infinite where
    /// no step of this length exists, zero for steps without control.
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
        if let Some(formula) = &mut self.collocation {
            formula.attempt(field, (t, h), z, z_new)?;
            return Ok(0.0);
        }
        match &mut self.implicit {
            Some(implicit) if self.kind != Kind::Explicit => {
                field.statistics.implicit_steps += 1;
                let Implicit { lu, rosenbrock, multistep } = &mut **implicit;
                match multistep {
                    Some(formula) if self.kind == Kind::Multistep && formula.has_history() => {
                        let size = formula.attempt(lu, field, norm, is_controlled, (t, h), z_new, error);
                        if formula.has_lost_sign() {
                            self.kind = Kind::Rosenbrock;
                            rosenbrock.restart();
                        }
                        return Ok(size);
                    }
                    Some(_) | None => {}
                }
                match rosenbrock.attempt(lu, field, (t, h), z, z_new, error) {
                    Ok(()) => {}
                    Err(Failure::Singular) => {
                        z_new.fill(f64::NAN);
                        return Ok(f64::INFINITY);
                    }
                    Err(Failure::Final(status)) => return Err(status),
                }
            }
            Some(_) | None => {
                self.explicit.attempt(field, t, h, z, z_new, error)?;
                let scales = &field.directions.scales;
                return Ok(if is_controlled { self.explicit.size(norm, error, z, z_new, scales) } else { 0.0 });
            }
        }
        Ok(if is_controlled { norm.of(error, z, z_new, &field.directions.scales) } else { 0.0 })
    }

    /// The factor to the next step after one of length `h` from `z` to `z_new` with scaled error `size`, which is
    /// accepted.
    pub fn factor(&mut self, norm: &Norm, scales: &[f64], size: f64, h: f64, z: &[f64], z_new: &[f64]) -> f64 {
        if let Some(formula) = self.multistep() {
            return formula.factor();
        }
        let factor = self.controller.accept(size);
        match &mut self.implicit {
            Some(implicit) if self.kind == Kind::Multistep => {
                let Implicit { rosenbrock, multistep, .. } = &mut **implicit;
                match multistep {
                    Some(formula) => {
                        formula.start_from(norm, scales, h, z_new, rosenbrock.polynomial(z, z_new));
                        formula.factor()
                    }
                    None => factor,
                }
            }
            Some(_) | None => factor,
        }
    }

    /// The factor to the next attempt after one with scaled error `norm` that is rejected.
    pub fn reject(&mut self, norm: f64) -> f64 {
        match self.multistep() {
            Some(formula) => formula.factor(),
            None => self.controller.reject(norm),
        }
    }

    /// Fills in the errors of the last step where they stand elsewhere; those of the state are enough.
    pub fn tell_error(&mut self, error: &mut [f64]) {
        if let Some(formula) = self.multistep() {
            formula.tell_error(error);
        }
    }

    /// Evaluates what the dense output of the step of length `h` just made from `(t, z)` needs beyond its stages; without
    /// it there is none.
    pub fn make_dense(&mut self, field: &mut Field<'_>, t: f64, h: f64, z: &[f64]) {
        match self.kind {
            Kind::Explicit => self.explicit.make_dense(field, t, h, z),
            Kind::Rosenbrock | Kind::Multistep => {}
        }
    }

    /// `out` = the first `out.len()` components at `t + theta h` in the step just made from `z` to `z_new`.
    pub fn interpolate(&mut self, theta: f64, h: f64, z: &[f64], z_new: &[f64], out: &mut [f64]) {
        if let Some(formula) = &self.collocation {
            return formula.interpolate(theta, z, out);
        }
        if let Some(formula) = self.multistep() {
            return formula.interpolate(theta, out);
        }
        match &mut self.implicit {
            Some(implicit) if self.kind != Kind::Explicit => implicit.rosenbrock.interpolate(theta, z, z_new, out),
            Some(_) | None => self.explicit.interpolate(theta, h, z, out),
        }
    }

    /// Says that the step of length `h` to `z_new` was accepted up to its end.
    pub fn accept(&mut self, field: &Field<'_>, norm: &Norm, z_new: &[f64], h: f64) {
        match &mut self.implicit {
            Some(implicit) if self.kind != Kind::Explicit => {
                if self.method == Method::Auto && self.kind == Kind::Rosenbrock {
                    let is_easy = h * implicit.rosenbrock.radius(field) <= EASY;
                    self.easy_steps = if is_easy { self.easy_steps + 1 } else { 0 };
                }
                implicit.rosenbrock.restart();
                if self.easy_steps >= EASY_STEPS {
                    self.become_explicit();
                }
            }
            Some(_) if self.method == Method::Auto => {
                self.explicit.accept();
                let limit = self.explicit.table().stability;
                if self.watch.sees(self.explicit.stiffness(norm, z_new, h), limit) {
                    self.become_implicit();
                }
            }
            Some(_) | None => self.explicit.accept(),
        }
    }

    fn become_explicit(&mut self) {
        self.kind = Kind::Explicit;
        self.restart();
        (self.watch, self.easy_steps) = (StiffWatch::default(), 0);
    }

    /// What made the step last attempted. No run with a multistep formula is recorded.
    pub fn step_kind(&self) -> StepKind {
        match self.kind {
            Kind::Explicit => StepKind::Explicit,
            Kind::Rosenbrock | Kind::Multistep => StepKind::Rosenbrock,
        }
    }

    /// Goes over to the implicit formula where the method allows that. Returns whether anything changed.
    pub fn become_implicit(&mut self) -> bool {
        match &mut self.implicit {
            Some(implicit) if self.kind == Kind::Explicit => {
                implicit.rosenbrock.restart();
                self.kind = if implicit.multistep.is_some() { Kind::Multistep } else { Kind::Rosenbrock };
                self.easy_steps = 0;
                if self.explicit.table().exponent != EXPONENT {
                    self.reset_controller();
                }
                true
            }
            Some(_) | None => false,
        }
    }
}
