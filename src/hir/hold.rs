//! `hold` of a `let`: over each step of a simulation the definition keeps the value that it has at the step's start.
//!
//! A held `let` is a discrete quantity that an event sets at the start and after every step, so that integrators need
//! to know nothing of it. Only simulations hold: a fit of the same study sees the definition.

use std::collections::HashSet;

use crate::diag::{Code, Diagnostic, Diagnostics};

use super::expr::{ExprId, ExprKind};
use super::model::{Assign, EventDef, Model, SymbolId, SymbolKind, When};
use super::study::{Hold, Study};
use crate::syntax::ast::AssignOp;

/// The `let`s among what a study holds.
fn held_lets(study: &Study) -> Vec<Hold> {
    let hold = study.simulate.iter().flat_map(|simulate| &simulate.hold);
    hold.filter(|h| study.model.symbol(h.symbol).kind == SymbolKind::Let).cloned().collect()
}

/// Reports what a study holds twice, and definitions that are held and depend on one another: each would see the
/// other's value of the step before.
pub(super) fn check(study: &Study, diagnostics: &mut Diagnostics) {
    let hold: Vec<&Hold> = study.simulate.iter().flat_map(|simulate| &simulate.hold).collect();
    for (k, again) in hold.iter().enumerate() {
        if let Some(first) = hold[..k].iter().find(|h| h.name == again.name && h.span.source == again.span.source) {
            diagnostics.push(
                Diagnostic::new(Code("E0202"), again.span, format!("`{}` is held twice", again.name))
                    .at("again here")
                    .label(first.span, "first here"),
            );
        }
    }
    let lets = held_lets(study);
    for held in &lets {
        let others: HashSet<SymbolId> = lets.iter().map(|h| h.symbol).filter(|s| *s != held.symbol).collect();
        let own = study.model.symbol(held.symbol).value;
        let Some(other) = own.and_then(|own| names_one_of(&study.model, own, &others)) else { continue };
        let other = &study.model.symbol(other).name;
        diagnostics.push(
            Diagnostic::new(
                Code("E0901"),
                held.span,
                format!(
                    "`{}` is defined by `{other}`, and both are held: this version does not support that",
                    held.name
                ),
            )
            .at("held here")
            .help(format!("hold `{other}` alone: `{}` follows it", held.name)),
        );
    }
}

/// The first of `wanted` that `expr` names, through definitions.
pub(super) fn names_one_of(model: &Model, expr: ExprId, wanted: &HashSet<SymbolId>) -> Option<SymbolId> {
    let (mut stack, mut seen) = (vec![expr], HashSet::new());
    while let Some(id) = stack.pop() {
        if !seen.insert(id) {
            continue;
        }
        let kind = &model.expr(id).kind;
        if let ExprKind::Symbol { symbol, .. } = kind {
            if wanted.contains(symbol) {
                return Some(*symbol);
            }
            if model.symbol(*symbol).kind == SymbolKind::Let {
                stack.extend(model.symbol(*symbol).value);
            }
        }
        kind.for_each_operand(|e| stack.push(e));
    }
    None
}

impl Study {
    /// Makes each `let` that `simulate` holds a discrete quantity, set at the start and after every step.
    pub fn hold_lets(&mut self) {
        let lets = held_lets(self);
        let Some(step) = self.simulate.as_ref().and_then(|simulate| simulate.step) else { return };
        for Hold { symbol, name, span } in lets {
            let Some(value) = self.model.symbol(symbol).value else { continue };
            self.model.symbols[symbol.0 as usize].kind = SymbolKind::Discrete;
            let mut number = |value| self.model.add(ExprKind::Number { value, unit: None }, span);
            let (period, from) = (number(step), number(0.0));
            self.events.push(EventDef {
                when: When::Every { period, from: Some(from), until: None },
                assigns: vec![Assign { symbol, indices: Vec::new(), op: AssignOp::Set, value, span }],
                text: format!("hold {name}"),
                span,
            });
        }
    }
}
