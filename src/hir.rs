//! Trees to meaning: names resolved, functions expanded, units inferred and checked, conversions written down.
//!
//! [`load`] reads a text and everything it imports and returns a [`Module`] of models, tasks and studies. Spans are kept;
//! every name is an id; every expression lives in its model's arena and is, once checked, in the units it is stored
//! in. Families (`h(i) for i in 1 .. 4`) stay families here; [`crate::flat`] unrolls them.

mod check_units;
mod circles;
mod clauses;
mod constants;
pub mod expr;
mod hold;
mod imports;
mod lints;
mod lower;
mod lower_belief;
mod lower_control;
mod lower_data;
mod lower_dist;
mod lower_estimate;
mod lower_event;
mod lower_expr;
mod lower_fn;
mod lower_reaction;
mod lower_settings;
mod lower_simulate;
mod lower_start;
mod lower_study;
mod lower_sweep;
mod lower_task;
mod lower_task_step;
mod lower_task_terms;
pub mod model;
mod models;
pub mod settings;
pub mod stop;
pub mod study;
pub mod task;
mod task_scope;
mod unknown;

pub(crate) use check_units::is_amount;
pub use expr::{Expr, ExprId, ExprKind, Function, IndexId};
pub use imports::load;
pub use model::{Model, Symbol, SymbolId, SymbolKind};
pub use study::Study;
pub use task::Task;

/// Everything that one text and its imports declare.
#[derive(Debug, Clone, Default)]
pub struct Module {
    /// Models of the root text, in order; those of imported texts are reached through `base` and `use`.
    pub models: Vec<Model>,
    /// Tasks of the root text, in order.
    pub tasks: Vec<Task>,
    /// Studies of the root text, in order.
    pub studies: Vec<Study>,
    /// What was inferred: one line per name whose unit was not written.
    pub inferred: Vec<InferredUnit>,
}

/// A unit that was not written and follows from the equations.
#[derive(Debug, Clone, PartialEq)]
pub struct InferredUnit {
    /// The model and the name.
    pub name: String,
    /// The unit, as text.
    pub unit: String,
    /// Where the name is declared: the unit could be written behind it.
    pub span: crate::source::Span,
}

impl Module {
    /// The model with this name.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|m| m.name == name)
    }

    /// The task with this name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|t| t.name == name)
    }

    /// The study with this name.
    pub fn study(&self, name: &str) -> Option<&Study> {
        self.studies.iter().find(|s| s.name == name)
    }
}
