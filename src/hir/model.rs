//! A model with its names resolved: symbols, equations, reactions, events, observables, assertions.

use std::collections::HashMap;

use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::AssignOp;
use crate::units::Unit;

use super::expr::{Expr, ExprId, ExprKind, IndexId};

/// Index of a symbol in its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SymbolId(pub u32);

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SymbolKind {
    /// Folded into the equations.
    Const,
    /// An element of the runtime parameter vector.
    Param,
    /// Moved by reactions, or by `x'`.
    Species {
        /// Where it is.
        compartment: Option<SymbolId>,
        /// A boundary species: in rate laws, never moved.
        is_fixed: bool,
    },
    /// A volume.
    Compartment,
    /// Needs `x'`.
    State,
    /// Changed by events only.
    Discrete,
    /// Explicit algebra.
    Let,
    /// Decided from outside.
    Input,
    /// Known or measured from outside.
    Disturbance,
    /// What a sensor shows.
    Observable,
    /// A Wiener process, used by its derivative.
    Noise,
}

impl SymbolKind {
    /// The word that declares it.
    pub fn word(self) -> &'static str {
        match self {
            SymbolKind::Const => "const",
            SymbolKind::Param => "param",
            SymbolKind::Species { .. } => "species",
            SymbolKind::Compartment => "compartment",
            SymbolKind::State => "state",
            SymbolKind::Discrete => "discrete",
            SymbolKind::Let => "let",
            SymbolKind::Input => "input",
            SymbolKind::Disturbance => "disturbance",
            SymbolKind::Observable => "observe",
            SymbolKind::Noise => "noise",
        }
    }
}

impl SymbolKind {
    /// The word that declares it, with its article: "a `param`".
    pub fn phrase(self) -> &'static str {
        match self {
            SymbolKind::Const => "a `const`",
            SymbolKind::Param => "a `param`",
            SymbolKind::Species { .. } => "a `species`",
            SymbolKind::Compartment => "a `compartment`",
            SymbolKind::State => "a `state`",
            SymbolKind::Discrete => "a `discrete` quantity",
            SymbolKind::Let => "a `let`",
            SymbolKind::Input => "an `input`",
            SymbolKind::Disturbance => "a `disturbance`",
            SymbolKind::Observable => "an observable",
            SymbolKind::Noise => "a `noise`",
        }
    }
}

/// `for i in from .. to`
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The bound index.
    pub index: IndexId,
    /// Its name.
    pub name: String,
    /// First value, a constant.
    pub from: ExprId,
    /// Last value, a constant, inclusive.
    pub to: ExprId,
    /// The clause.
    pub span: Span,
}

/// The family of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum DistKind {
    Normal,
    LogNormal,
    Uniform,
    LogUniform,
    Laplace,
}

/// The error model of an observable: the form, and what its spread means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// y ~ Normal(median, sd)
    Normal,
    /// ln y ~ Normal(ln median, ln gsd)
    LogNormal,
    /// y ~ Laplace(median, scale)
    Laplace,
}

/// `~ Normal(mean = 1, sd = 2)` with its arguments in the order of [`DistKind::arguments`].
#[derive(Debug, Clone, PartialEq)]
pub struct Dist {
    /// Which distribution.
    pub kind: DistKind,
    /// Arguments; a missing location of a prior is the declared value.
    pub args: [Option<ExprId>; 2],
    /// The whole expression.
    pub span: Span,
}

impl DistKind {
    /// The names of the two arguments.
    pub fn arguments(self) -> [&'static str; 2] {
        match self {
            DistKind::Normal => ["mean", "sd"],
            DistKind::LogNormal => ["median", "gsd"],
            DistKind::Uniform | DistKind::LogUniform => ["low", "high"],
            DistKind::Laplace => ["location", "scale"],
        }
    }

    /// The form of an observable's error, if it can be one.
    pub fn noise(self) -> Option<Noise> {
        match self {
            DistKind::Normal => Some(Noise::Normal),
            DistKind::LogNormal => Some(Noise::LogNormal),
            DistKind::Laplace => Some(Noise::Laplace),
            DistKind::Uniform | DistKind::LogUniform => None,
        }
    }
}

/// A declared name.
#[derive(Debug, Clone, PartialEq)]
pub struct Symbol {
    /// As written; `cgm.sd` for an anonymous parameter.
    pub name: String,
    /// The name where it is declared.
    pub span: Span,
    /// What it stands for.
    pub kind: SymbolKind,
    /// Written or inferred; `None` where the model is without units.
    pub unit: Option<Unit>,
    /// True where the unit stands in the text.
    pub is_unit_written: bool,
    /// `"doc"`
    pub doc: String,
    /// Index ranges of a family.
    pub ranges: Vec<Range>,
    /// Value, start value, or the expression of a `let` or observable.
    pub value: Option<ExprId>,
    /// `in low ..`
    pub low: Option<ExprId>,
    /// `in .. high`
    pub high: Option<ExprId>,
    /// `~`
    pub dist: Option<Dist>,
    /// `log` or `linear`
    pub is_log_scale: Option<bool>,
}

/// `x' = rhs for ...`
#[derive(Debug, Clone, PartialEq)]
pub struct Ode {
    /// The state.
    pub symbol: SymbolId,
    /// Index expressions of a family member.
    pub indices: Vec<ExprId>,
    /// Bound indices.
    pub ranges: Vec<Range>,
    /// In unit of the state per unit of time.
    pub rhs: ExprId,
    /// The left-hand side.
    pub span: Span,
}

/// A species of a reaction with its coefficient.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// How many.
    pub coefficient: f64,
    /// Which.
    pub symbol: SymbolId,
    /// Index expressions of a family member.
    pub indices: Vec<ExprId>,
    /// From the rate's unit to the species' unit per time; set by the unit checker.
    pub factor: f64,
    /// True where the species is counted as an amount inside a compartment; set by the unit checker.
    pub is_amount: bool,
    /// Where.
    pub span: Span,
}

/// How a rate is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateBasis {
    /// Concentration per time inside the compartment (or no compartment at all).
    Concentration(Option<SymbolId>),
    /// Amount per time.
    Amount,
}

/// One direction of a reaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    /// The rate constant of mass action, or the full law.
    pub law: ExprId,
    /// True for `@`: the rate is `law · Π reactant^n`.
    pub is_mass_action: bool,
    /// What one unit of the law's value means; set by the unit checker.
    pub basis: RateBasis,
    /// `factor · law` is in the species' unit per time unit (per [`RateBasis`]); set by the unit checker.
    pub factor: f64,
}

/// A reaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaction {
    /// Label, or a number in order.
    pub name: String,
    /// Consumed.
    pub reactants: Vec<Term>,
    /// Formed.
    pub products: Vec<Term>,
    /// Left to right.
    pub forward: Direction,
    /// Right to left.
    pub reverse: Option<Direction>,
    /// `<->` with one law, which is the difference of both directions.
    pub is_net: bool,
    /// Bound indices.
    pub ranges: Vec<Range>,
    /// The whole statement.
    pub span: Span,
}

/// When an event happens.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// `at time`
    At(ExprId),
    /// `every period from start until end`
    Every {
        /// In the unit of time.
        period: ExprId,
        /// First time; one period after the start where not written.
        from: Option<ExprId>,
        /// Last time, inclusive.
        until: Option<ExprId>,
    },
    /// `when condition`
    Condition(ExprId),
}

/// `target := value`
#[derive(Debug, Clone, PartialEq)]
pub struct Assign {
    /// What is assigned.
    pub symbol: SymbolId,
    /// Index expressions of a family member.
    pub indices: Vec<ExprId>,
    /// How.
    pub op: AssignOp,
    /// In the unit of the target.
    pub value: ExprId,
    /// The whole assignment.
    pub span: Span,
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDef {
    /// Its trigger.
    pub when: When,
    /// What it does.
    pub assigns: Vec<Assign>,
    /// As written, without its block.
    pub text: String,
    /// Without its block.
    pub span: Span,
}

/// `safe name: condition`
#[derive(Debug, Clone, PartialEq)]
pub struct Safe {
    /// Its name.
    pub name: String,
    /// Inside where true.
    pub condition: ExprId,
    /// The name.
    pub span: Span,
}

/// `conserved e`
#[derive(Debug, Clone, PartialEq)]
pub struct Conserved {
    /// The quantity.
    pub expr: ExprId,
    /// As written.
    pub text: String,
    /// The expression.
    pub span: Span,
}

/// `expect y(time) = value within tolerance`
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// The quantity.
    pub expr: ExprId,
    /// When; a constant in the unit of time.
    pub time: ExprId,
    /// In the quantity's unit.
    pub value: ExprId,
    /// In the quantity's unit, or relative where it was written as a pure number for a quantity with a unit.
    pub tolerance: ExprId,
    /// True where the tolerance is relative to the value.
    pub is_relative: bool,
    /// As written.
    pub text: String,
    /// The statement.
    pub span: Span,
}

/// A model.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// `"doc"`
    pub doc: String,
    /// The name where it is declared.
    pub span: Option<Span>,
    /// `model A = B(..)`: the name of B.
    pub base: Option<String>,
    /// `time [h]`
    pub time_unit: Option<Unit>,
    /// True where no unit stands anywhere in the model: nothing is checked.
    pub is_unitless: bool,
    /// True where errors were reported: what follows is only for looking at, not for compiling.
    pub is_faulty: bool,
    /// All names.
    pub symbols: Vec<Symbol>,
    /// Names to symbols.
    pub names: HashMap<String, SymbolId>,
    /// The arena.
    pub exprs: Vec<Expr>,
    /// Number of bound indices.
    pub n_indices: u32,
    /// Differential equations.
    pub odes: Vec<Ode>,
    /// Reactions.
    pub reactions: Vec<Reaction>,
    /// Events.
    pub events: Vec<EventDef>,
    /// Conservation laws.
    pub conserved: Vec<Conserved>,
    /// Safe sets.
    pub safe: Vec<Safe>,
    /// Numeric assertions.
    pub expects: Vec<Expect>,
}

impl Model {
    /// The symbol with this id.
    pub fn symbol(&self, id: SymbolId) -> &Symbol {
        &self.symbols[id.0 as usize]
    }

    /// The expression with this id.
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }

    /// Adds an expression to the arena.
    pub fn add(&mut self, kind: ExprKind, span: Span) -> ExprId {
        self.exprs.push(Expr { kind, span });
        ExprId(self.exprs.len() as u32 - 1)
    }

    /// A fresh bound index.
    pub fn fresh_index(&mut self) -> IndexId {
        self.n_indices += 1;
        IndexId(self.n_indices - 1)
    }

    /// All symbols of the model with their ids, in order of declaration.
    pub fn symbols(&self) -> impl Iterator<Item = (SymbolId, &Symbol)> {
        self.symbols.iter().enumerate().map(|(i, s)| (SymbolId(i as u32), s))
    }
}

/// A diagnostic or nothing: the result of a step that reports at most one problem.
pub type Check<T> = Result<T, Box<Diagnostic>>;
