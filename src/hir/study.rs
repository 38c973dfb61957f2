//! A study with its names resolved: one reproducible run of a model against data.

use crate::source::Span;

use super::expr::ExprId;
use super::model::{DistKind, EventDef, Model, SymbolId};
use super::settings::Settings;
use super::task::Control;

/// A start value that a study gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// What starts there: a state, species, parameter or input.
    pub symbol: SymbolId,
    /// Index expressions of a family member.
    pub indices: Vec<ExprId>,
    /// In the symbol's unit.
    pub value: ExprId,
    /// Where it is written.
    pub span: Span,
}

/// What a column is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindTarget {
    /// The model's time.
    Time,
    /// A quantity: an observable (measurement), a state with `initial`, a parameter, an input or disturbance.
    Symbol(SymbolId),
}

/// `quantity <- column [unit]`: the quantity is `factor · cell + offset` in its own unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// What is bound.
    pub target: BindTarget,
    /// The target as written.
    pub name: String,
    /// The column's name.
    pub column: String,
    /// Where the column is named.
    pub column_span: Span,
    /// Conversion of a cell.
    pub factor: f64,
    /// Conversion of a cell.
    pub offset: f64,
    /// The column holds start values.
    pub is_initial: bool,
    /// An input that is interpolated between rows instead of held.
    pub is_linear: bool,
    /// The whole binding.
    pub span: Span,
}

/// `data "file.csv" by column { .. }`
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// The file as written.
    pub path: String,
    /// Where it is named.
    pub path_span: Span,
    /// The column whose values name experiments.
    pub by: Option<(String, Span)>,
    /// What each column is.
    pub bindings: Vec<Binding>,
}

/// `experiment name { .. }`, or the study's own data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Experiment {
    /// Its name; empty for the study's own data.
    pub name: String,
    /// Where it is named.
    pub span: Option<Span>,
    /// Measurements and forcing.
    pub data: Vec<DataSet>,
    /// Start values, after the study's.
    pub starts: Vec<Start>,
    /// Where `start steady` is written.
    pub steady: Option<Span>,
    /// Events beside the model's and the study's.
    pub events: Vec<EventDef>,
}

/// A prior with constant arguments; a missing location is the declared value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Which distribution.
    pub kind: DistKind,
    /// In the order of [`DistKind::arguments`].
    pub args: [Option<f64>; 2],
}

/// `estimate k in a .. b ~ prior`
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// A parameter, or a state whose start value is estimated.
    pub symbol: SymbolId,
    /// Bounds in its unit that replace the model's.
    pub low: Option<f64>,
    /// Bounds in its unit that replace the model's.
    pub high: Option<f64>,
    /// A prior that replaces the model's.
    pub prior: Option<Prior>,
    /// `log` or `linear`.
    pub is_log_scale: Option<bool>,
    /// Where it is written.
    pub span: Span,
}

/// `hold d`, `hold d(2)`
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    /// An input, a disturbance or a `let`.
    pub symbol: SymbolId,
    /// The name of the member: `d(2)`; that of the symbol where it is not a family.
    pub name: String,
    /// Where it is written.
    pub span: Span,
}

/// `simulate { .. }`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Simulate {
    /// End time in the model's unit of time.
    pub until: Option<f64>,
    /// Distance of output times in the model's unit of time.
    pub output: Option<f64>,
    /// `step h via method`: inputs are held over steps of h.
    pub step: Option<f64>,
    /// The integrator behind each step.
    pub via: Option<(String, Span)>,
    /// What is held over the step.
    pub hold: Vec<Hold>,
    /// Inputs and disturbances from files.
    pub forcing: Vec<DataSet>,
    /// The other settings.
    pub settings: Settings,
    /// Where `until`, `output` and `step` are given.
    pub given: Vec<(&'static str, Span)>,
}

/// `sweep k in a .. b { points = 11 }`
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// What is varied: a parameter, start value or input.
    pub symbol: SymbolId,
    /// The name of the member: `h(2)`; that of the symbol where it is not a family.
    pub name: String,
    /// Its values, in its unit.
    pub values: Vec<f64>,
    /// Where it is written.
    pub span: Span,
}

/// A study.
#[derive(Debug, Clone)]
pub struct Study {
    /// Its name.
    pub name: String,
    /// `"doc"`
    pub doc: String,
    /// Where it is declared.
    pub span: Span,
    /// The model, with the study's expressions in its arena.
    pub model: Model,
    /// Start values of every run.
    pub starts: Vec<Start>,
    /// Where `start steady` is written: every run starts at the steady state of its start values and inputs.
    pub steady: Option<Span>,
    /// Events of every run.
    pub events: Vec<EventDef>,
    /// Experiments; the study's own data first, if any.
    pub experiments: Vec<Experiment>,
    /// What is estimated.
    pub estimates: Vec<Estimate>,
    /// `fit method { .. }`
    pub fit: Settings,
    /// `simulate { .. }`
    pub simulate: Option<Simulate>,
    /// Sweeps; several make a grid.
    pub sweeps: Vec<Sweep>,
    /// `report { .. }`
    pub report: Settings,
    /// What a study of a task says about its control.
    pub control: Option<Control>,
}
