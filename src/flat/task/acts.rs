//! What is decided, within which limits, and what changing it costs.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic};
use crate::hir::task::{Ranged, StartFrom, Task};
use crate::hir::{ExprId, SymbolId, SymbolKind};
use crate::source::Span;

use super::super::FlatModel;
use super::super::lower::Builder;
use super::{Act, FlatTask, Move};

impl Builder<'_> {
    /// Where a member of an input is in u.
    fn input(&mut self, symbol: SymbolId, indices: &[ExprId]) -> Option<u32> {
        let offset = self.settle_member(symbol, indices)?;
        Some(self.layouts[symbol.0 as usize].first + offset)
    }

    pub(super) fn acts(&mut self, task: &Task, model: &FlatModel) -> Option<Vec<Act>> {
        let mut before: HashMap<u32, f64> = HashMap::new();
        for start in &task.starts {
            if let (SymbolKind::Input, StartFrom::Value(value)) = (task.model.symbol(start.symbol).kind, &start.from) {
                let input = self.input(start.symbol, &start.indices)?;
                before.insert(input, self.constant(*value, "the input before the first step")?);
            }
        }
        let mut acts: Vec<Act> = Vec::new();
        let act = |input: u32, span: Span| {
            let declared = &model.inputs[input as usize];
            Act {
                input,
                low: declared.quantity.low,
                high: declared.quantity.high,
                relaxed: None,
                before: before.get(&input).copied().unwrap_or(declared.value),
                span,
            }
        };
        if task.acts.is_empty() {
            acts.extend((0..model.inputs.len() as u32).map(|k| act(k, model.inputs[k as usize].quantity.span)));
        }
        for Ranged { symbol, indices, ranges, low, high, span } in &task.acts {
            // A family without its indices would be refused before.
            self.each_member(ranges, |b| {
                let mut found = act(b.input(*symbol, indices)?, *span);
                if let Some(first) = acts.iter().find(|a| a.input == found.input) {
                    let name = &model.inputs[found.input as usize].quantity.name;
                    let d = Diagnostic::new(Code("E0202"), *span, format!("`{name}` is decided twice"));
                    b.diagnostics.push(d.at("again here").label(first.span, "first here"));
                    return None;
                }
                for (end, own, is_low) in [(low, &mut found.low, true), (high, &mut found.high, false)] {
                    let Some(end) = end else { continue };
                    let value = b.constant(*end, "the end of a range")?;
                    if (is_low && value < *own) || (!is_low && value > *own) {
                        let declared = &model.inputs[found.input as usize].quantity;
                        let title = format!("`{}` cannot be {value}: its actuator ends at {own}", declared.name);
                        b.diagnostics.push(
                            Diagnostic::new(Code("E0613"), *span, title)
                                .at("wider than the actuator")
                                .label(declared.span, "declared with its limits")
                                .help(format!(
                                    "write `relax {} in low .. high` for what is only planned",
                                    declared.name
                                )),
                        );
                        return None;
                    }
                    *own = value;
                }
                acts.push(found);
                Some(())
            })?;
        }
        for relaxed in &task.relaxed {
            match acts.iter_mut().find(|a| model.inputs[a.input as usize].quantity.name == relaxed.name) {
                Some(act) => act.relaxed = Some((relaxed.low, relaxed.high)),
                None => {
                    let title = format!("`{}` is relaxed but not decided", relaxed.name);
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0205"), relaxed.span, title)
                            .at("not among what `act` names")
                            .help(format!("write `act {}` too", relaxed.name)),
                    );
                    return None;
                }
            }
        }
        acts.sort_unstable_by_key(|a| a.input);
        if acts.is_empty() {
            self.diagnostics.push(
                Diagnostic::new(
                    Code("E0409"),
                    task.span,
                    format!("nothing is decided: `{}` has no inputs", model.name),
                )
                .at("a task decides inputs")
                .help("declare what is decided with `input` in the model"),
            );
            return None;
        }
        Some(acts)
    }

    pub(super) fn moves(&mut self, task: &Task, flat: &mut FlatTask) -> Option<()> {
        for cost in &task.moves {
            self.each_member(&cost.input.ranges, |b| {
                let input = b.input(cost.input.symbol, &cost.input.indices)?;
                let Some(act) = flat.acts.iter().position(|a| a.input == input) else {
                    let name = &task.model.symbol(cost.input.symbol).name;
                    let d =
                        Diagnostic::new(Code("E0205"), cost.input.span, format!("`{name}` is moved but not decided"));
                    b.diagnostics.push(d.at("not among what `act` names").help(format!("write `act {name}` too")));
                    return None;
                };
                let act = act as u32;
                if let Some(first) = flat.moves.iter().find(|m| m.act == act) {
                    let name = &task.model.symbol(cost.input.symbol).name;
                    let d = Diagnostic::new(Code("E0202"), cost.span, format!("changes of `{name}` are priced twice"));
                    b.diagnostics.push(d.at("again here").label(first.span, "first here"));
                    return None;
                }
                flat.moves.push(Move {
                    act,
                    weight: cost.weight,
                    scale: cost.scale,
                    is_scaled: cost.is_scaled,
                    span: cost.span,
                });
                Some(())
            })?;
        }
        Some(())
    }
}
