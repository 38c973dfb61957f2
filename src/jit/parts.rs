//! What can be compiled of a model: [`Part`]s, sets of them, and what compiling took.

use std::ops::BitOr;
use std::time::Duration;

/// One kernel, or one family of kernels, of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// f
    Rhs,
    /// ∂f/∂x
    Jacobian,
    /// ∂f/∂t
    TimeDerivative,
    /// ∂f/∂p
    ParameterJacobian,
    /// ∂f/∂u
    InputJacobian,
    /// ∂f/∂d
    DisturbanceJacobian,
    /// ∂f/∂x and ∂f/∂p differentiated along a direction.
    JacobianAlong,
    /// x0
    InitialState,
    /// ∂x0/∂p
    InitialJacobian,
    /// y
    Outputs,
    /// ∂y/∂x and ∂y/∂p
    OutputJacobians,
    /// Times of scheduled events.
    Times,
    /// Their derivatives in p.
    TimesJacobian,
    /// Root functions.
    Roots,
    /// Their gradients, one kernel per root.
    RootGradients,
    /// Values that events assign, one kernel per event.
    Jumps,
    /// These with their gradients, one kernel per event.
    JumpGradients,
}

impl Part {
    /// All, in the order of declaration.
    pub const ALL: [Part; 17] = [
        Part::Rhs,
        Part::Jacobian,
        Part::TimeDerivative,
        Part::ParameterJacobian,
        Part::InputJacobian,
        Part::DisturbanceJacobian,
        Part::JacobianAlong,
        Part::InitialState,
        Part::InitialJacobian,
        Part::Outputs,
        Part::OutputJacobians,
        Part::Times,
        Part::TimesJacobian,
        Part::Roots,
        Part::RootGradients,
        Part::Jumps,
        Part::JumpGradients,
    ];

    /// As `inspect` names it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Rhs => "rhs",
            Part::Jacobian => "jacobian",
            Part::TimeDerivative => "time derivative",
            Part::ParameterJacobian => "parameter jacobian",
            Part::InputJacobian => "input jacobian",
            Part::DisturbanceJacobian => "disturbance jacobian",
            Part::JacobianAlong => "jacobian along a direction",
            Part::InitialState => "initial state",
            Part::InitialJacobian => "initial jacobian",
            Part::Outputs => "outputs",
            Part::OutputJacobians => "output jacobians",
            Part::Times => "event times",
            Part::TimesJacobian => "event times jacobian",
            Part::Roots => "roots",
            Part::RootGradients => "root gradients",
            Part::Jumps => "jumps",
            Part::JumpGradients => "jump gradients",
        }
    }
}

/// A set of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs(u32);

impl Needs {
    /// What any integration calls: f, x0, outputs, event times, roots, jumps.
    pub const SIMULATION: Needs =
        Needs::of(&[Part::Rhs, Part::InitialState, Part::Outputs, Part::Times, Part::Roots, Part::Jumps]);
    /// What a Rosenbrock or implicit method calls besides [`Needs::SIMULATION`].
    pub const STIFF: Needs = Needs::of(&[Part::Jacobian, Part::TimeDerivative]);
    /// What forward sensitivities in p call besides [`Needs::SIMULATION`] and [`Needs::STIFF`].
    pub const SENSITIVITIES: Needs = Needs::of(&[
        Part::Jacobian,
        Part::TimeDerivative,
        Part::ParameterJacobian,
        Part::JacobianAlong,
        Part::InitialJacobian,
        Part::OutputJacobians,
        Part::TimesJacobian,
        Part::RootGradients,
        Part::JumpGradients,
    ]);

    /// These parts.
    pub const fn of(parts: &[Part]) -> Needs {
        let mut bits = 0;
        let mut i = 0;
        while i < parts.len() {
            bits |= 1 << parts[i] as u32;
            i += 1;
        }
        Needs(bits)
    }

    /// True where `part` is in the set.
    pub fn contains(self, part: Part) -> bool {
        self.0 & (1 << part as u32) != 0
    }
}

impl BitOr for Needs {
    type Output = Needs;
    fn bitor(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }
}

/// What compiling some parts took; for logs, never for results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Which.
    pub parts: Vec<Part>,
    /// Differentiating and planning.
    pub plan: Duration,
    /// Making machine code.
    pub compile: Duration,
    /// Values computed.
    pub n_values: usize,
    /// Functions of machine code.
    pub n_chunks: usize,
}
