//! Settings of an integration.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Which formula advances the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// [`Method::Tsit5`], or at tight tolerances [`Method::Dop853`], at first; from the moment that stability and not accuracy limits the step [`Method::Rodas5p`],
    /// and back where the problem is no longer stiff, or from 200 states on [`Method::Bdf`].
    #[default]
    Auto,
    /// Explicit Runge–Kutta pair of order 5(4), for problems that are not stiff.
    Tsit5,
    /// Explicit Runge–Kutta method of order 8(5, 3), for smooth problems that are not stiff at tight tolerances, such as
    /// long orbits.
    Dop853,
    /// Rosenbrock method of order 5(4), for stiff problems.
    Rodas5p,
    /// Multistep method of variable order 1 to 5, for large stiff problems such as reaction and diffusion; a step takes
    /// one or two solves instead of eight, and is less exact.
    Bdf,
    /// Explicit Euler on the grid `t0 + k step`.
    Euler,
    /// The classical Runge–Kutta method of order 4 on the grid `t0 + k step`.
    Rk4,
    /// Implicit Euler on the grid `t0 + k step`, for stiff problems; of order 1, and damps whatever the step cannot follow.
    ImplicitEuler,
    /// Radau IIA with two stages, of order 3, on the grid `t0 + k step`, for stiff problems.
    Radau3,
    /// Radau IIA with three stages, of order 5, on the grid `t0 + k step`, for stiff problems.
    Radau5,
}

impl Method {
    /// True for the methods that keep to the grid `t0 + k step`: events wait for the next grid instant, nothing is
    /// located between two of them, and there is no error estimate.
    pub fn is_grid(self) -> bool {
        match self {
            Method::Euler | Method::Rk4 | Method::ImplicitEuler | Method::Radau3 | Method::Radau5 => true,
            Method::Auto | Method::Tsit5 | Method::Dop853 | Method::Rodas5p | Method::Bdf => false,
        }
    }

    /// The method's name as it is written in a model or on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Auto => "auto",
            Method::Tsit5 => "tsit5",
            Method::Dop853 => "dop853",
            Method::Rodas5p => "rodas5p",
            Method::Bdf => "bdf",
            Method::Euler => "euler",
            Method::Rk4 => "rk4",
            Method::ImplicitEuler => "implicit_euler",
            Method::Radau3 => "radau3",
            Method::Radau5 => "radau5",
        }
    }

    /// All methods, in the order in which they are listed to a user.
    pub const ALL: [Method; 10] = [
        Method::Auto,
        Method::Tsit5,
        Method::Dop853,
        Method::Rodas5p,
        Method::Bdf,
        Method::Euler,
        Method::Rk4,
        Method::ImplicitEuler,
        Method::Radau3,
        Method::Radau5,
    ];

    /// The method of a name.
    pub fn from_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|m| m.name() == name)
    }
}

/// The absolute tolerance.
#[derive(Debug, Clone, PartialEq)]
pub enum Tolerance {
    /// The same for all states.
    Scalar(f64),
    /// One for each state, in the state's unit.
    PerState(Vec<f64>),
}

impl Tolerance {
    /// The sizes of `n` states whose share `rtol` these absolute tolerances are; 1 where `rtol` is 0.
    pub fn sizes(&self, rtol: f64, n: usize) -> Vec<f64> {
        let size = |atol: f64| if rtol > 0.0 { atol / rtol } else { 1.0 };
        match self {
            Tolerance::Scalar(atol) => vec![size(*atol); n],
            Tolerance::PerState(list) => list.iter().map(|&atol| size(atol)).collect(),
        }
    }
}

/// Settings of an [`super::Integrator`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Formula; default [`Method::Auto`].
    pub method: Method,
    /// Relative tolerance of a step's error; default 1e-6.
    pub rtol: f64,
    /// Absolute tolerance of a step's error; default 1e-9 for every state.
    pub atol: Tolerance,
    /// Length of the first step in the model's time unit; default: chosen from the size of the derivatives.
    pub initial_step: Option<f64>,
    /// Longest step in the model's time unit; default: no limit.
    pub max_step: f64,
    /// Most steps of one solve, rejected ones included; default 200 000.
    pub max_steps: u64,
    /// Constant step without error control in the model's time unit; required by the methods
    /// of a grid ([`Method::is_grid`]).
    /// With the other methods each interval between breakpoints is divided into equal steps of at most this length.
    pub fixed_step: Option<f64>,
    /// Whether the errors of the sensitivities take part in the choice of the step; default true.
    pub control_sensitivities: bool,
    /// How often one root-found event may follow on itself while time advances by less than 1e-10 of what has elapsed;
    /// beyond that the solve ends with [`super::Status::EventStorm`]. Default 8.
    pub max_event_repeats: u32,
    /// Checked before every step; when true the solve ends with [`super::Status::Interrupted`]. Default none.
    pub interrupt: Option<Arc<AtomicBool>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            method: Method::Auto,
            rtol: 1e-6,
            atol: Tolerance::Scalar(1e-9),
            initial_step: None,
            max_step: f64::INFINITY,
            max_steps: 200_000,
            fixed_step: None,
            control_sensitivities: true,
            max_event_repeats: 8,
            interrupt: None,
        }
    }
}
