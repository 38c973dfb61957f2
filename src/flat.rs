//! A model with everything instantiated: one numbered list of states, parameters, inputs and outputs, the reaction
//! network kept as data, and every equation a node of one [`Dag`].
//!
//! Families are unrolled, functions expanded, units converted: numbers here are in declared units. [`crate::jit`]
//! compiles a [`FlatModel`]; `analyze` and `export` read it.

mod conserve;
mod diffusion;
mod discontinuity;
mod draw;
mod events;
mod flatten;
pub mod jumps;
mod layout;
mod lower;
mod network;
mod pieces;
mod spread;
mod tangent;
pub mod task;

pub use crate::hir::model::Noise;
pub use flatten::{Variation, check, flatten, flatten_counting};
pub use jumps::{JumpLaw, Jumps};
pub use tangent::{TangentError, tangent};
pub use task::{FlatTask, flatten_task};

use crate::expr::{Dag, NodeId};
use crate::source::Span;
use crate::system::Event;

/// A declared quantity of the flat model.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// As the user writes it: `S`, `h(3)`, `cgm.sd`.
    pub name: String,
    /// Unit for people, such as `mg/dL`; empty where none is known.
    pub unit: String,
    /// The `"doc"`; empty where none is written.
    pub doc: String,
    /// Lower end of `in`, −∞ where open.
    pub low: f64,
    /// Upper end of `in`, +∞ where open.
    pub high: f64,
    /// Where it is declared.
    pub span: Span,
}

/// A state of the flat model.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Name, unit, domain.
    pub quantity: Quantity,
    /// Changed by events only: its derivative is zero.
    pub is_discrete: bool,
    /// Moved by reactions (a species).
    pub is_species: bool,
    /// Start value, a function of `(t, u, d, p)`.
    pub initial: NodeId,
    /// True where the start of another state is written through this one's: then `initial` of that one holds this
    /// one's declared start, and a start given from outside would leave it behind.
    pub is_start_read: bool,
    /// Derivative.
    pub rhs: NodeId,
    /// Where its `x' = ...` is written; none where reactions or events alone move it.
    pub equation: Option<Span>,
}

/// A distribution with constant arguments in the declared unit of what it describes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Mean and standard deviation.
    Normal { mean: f64, sd: f64 },
    /// Median and geometric standard deviation (> 1).
    LogNormal { median: f64, gsd: f64 },
    /// Ends.
    Uniform { low: f64, high: f64 },
    /// Ends, both positive; uniform in the logarithm.
    LogUniform { low: f64, high: f64 },
    /// Location and scale (b); the density is exp(−|x − location|/scale)/(2 scale).
    Laplace { location: f64, scale: f64 },
}

/// A runtime parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Name, unit, domain (the bounds of a fit).
    pub quantity: Quantity,
    /// Declared value.
    pub value: f64,
    /// `~`
    pub prior: Option<Distribution>,
}

/// An input or disturbance.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Name, unit, domain (the actuator's limits).
    pub quantity: Quantity,
    /// Declared value, held where nothing drives it.
    pub value: f64,
}

/// A named algebraic quantity (`let`, rate of a reaction, margin of a safe set).
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Name and unit.
    pub quantity: Quantity,
    /// Its value.
    pub node: NodeId,
}

/// An observable: `System::outputs` number `value_output` is its median, `spread_output` its spread.
#[derive(Debug, Clone, PartialEq)]
pub struct Observable {
    /// Name and unit.
    pub quantity: Quantity,
    /// Index into the outputs.
    pub value_output: usize,
    /// Index into the outputs; `None` for an observable without noise.
    pub spread_output: Option<usize>,
    /// The form of the error.
    pub noise: Option<Noise>,
}

/// One direction of a reaction: its rate moves `changes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaction {
    /// Label, or `r1`, `r2`, ... in order; the reverse direction of a mass-action reaction ends in `_reverse`.
    pub name: String,
    /// Rate in amount per time (concentration per time where there is no compartment).
    pub rate: NodeId,
    /// `(state, net stoichiometric coefficient)`; boundary species are left out.
    pub changes: Vec<(u32, f64)>,
    /// `(state, molecularity)` of what is consumed.
    pub reactants: Vec<(u32, f64)>,
    /// True where the rate is `constant · Π reactants`.
    pub is_mass_action: bool,
    /// The rate constant of a mass-action direction.
    pub constant: Option<NodeId>,
    /// Where it is written.
    pub span: Span,
}

/// What an event does to one state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jump {
    /// Which state.
    pub state: u32,
    /// How.
    pub op: crate::syntax::ast::AssignOp,
    /// With what, a function of the values before the event.
    pub value: NodeId,
}

/// A species that keeps its amount as an event changes the volume it is dissolved in: after all assignments of the
/// instant its concentration is multiplied by the volume before over the volume after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dilution {
    /// The state that is the concentration.
    pub state: u32,
    /// The state that is the volume.
    pub volume: u32,
}

/// An event of the flat model.
#[derive(Debug, Clone, PartialEq)]
pub struct FlatEvent {
    /// Trigger (indices into `times` and `roots`), and whether there are jumps.
    pub event: Event,
    /// The assignments; empty for a mere breakpoint.
    pub jumps: Vec<Jump>,
    /// What the new volumes among them dilute, each state once.
    pub dilutions: Vec<Dilution>,
    /// For messages: `at 30 [h]`, `if time < 5`.
    pub description: String,
    /// Where it is written.
    pub span: Span,
}

/// A quantity that the model declares to be conserved; proved when flattened.
#[derive(Debug, Clone, PartialEq)]
pub struct Conserved {
    /// As written.
    pub text: String,
    /// Its value.
    pub node: NodeId,
    /// Where it is declared.
    pub span: Span,
}

/// `expect P(40 [s]) = 3.2 [uM] within 1e-6`
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// As written.
    pub text: String,
    /// The quantity asserted.
    pub node: NodeId,
    /// When; `None` for the start.
    pub time: f64,
    /// The value in the quantity's unit.
    pub value: f64,
    /// Largest difference allowed, in the same unit.
    pub tolerance: f64,
    /// Where it is written.
    pub span: Span,
}

/// A flat model.
#[derive(Debug, Clone)]
pub struct FlatModel {
    /// The model's name.
    pub name: String,
    /// The model's doc.
    pub doc: String,
    /// Unit of time for people; empty where the model is without units.
    pub time_unit: String,
    /// All nodes below live here.
    pub dag: Dag,
    /// States; discrete ones last.
    pub states: Vec<State>,
    /// Runtime parameters, anonymous ones (`cgm.sd`) last.
    pub params: Vec<Param>,
    /// Inputs.
    pub inputs: Vec<Input>,
    /// Disturbances.
    pub disturbances: Vec<Input>,
    /// Explicit algebra, in the order declared.
    pub lets: Vec<Named>,
    /// Margins of the safe sets: ≥ 0 inside.
    pub safe: Vec<Named>,
    /// Observables.
    pub observables: Vec<Observable>,
    /// `System::outputs`: medians, then spreads.
    pub outputs: Vec<NodeId>,
    /// The network.
    pub reactions: Vec<Reaction>,
    /// Events and breakpoints.
    pub events: Vec<FlatEvent>,
    /// `System::times`, functions of parameters.
    pub times: Vec<NodeId>,
    /// `System::roots`.
    pub roots: Vec<NodeId>,
    /// Proved conservation laws.
    pub conserved: Vec<Conserved>,
    /// Numeric assertions.
    pub expectations: Vec<Expectation>,
    /// Wiener processes.
    pub noises: Vec<Quantity>,
    /// The nonzero `(state, noise, g)` of `dx = rhs dt + g dW`, sorted.
    pub diffusion: Vec<(u32, u32, NodeId)>,
    /// How species are counted, where that was asked for.
    pub jumps: Option<Jumps>,
}
