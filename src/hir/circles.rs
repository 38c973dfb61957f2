//! Definitions that depend on themselves: constants, `let`s and observables in a circle.
//!
//! Found before units are inferred, because a circle has none. Members of families may depend on each other
//! (`h(i)` on `h(i-1)`); those circles are found where families are unrolled, in [`crate::flat`].

use std::collections::HashSet;

use crate::diag::{Code, Diagnostic, Diagnostics};

use super::expr::{ExprId, ExprKind};
use super::model::{Model, SymbolId, SymbolKind};

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

/// Reports each circle once (E0207) and cuts it, so that nothing is said about what follows from it.
pub(super) fn check(model: &mut Model, diagnostics: &mut Diagnostics) {
    let needs: Vec<Vec<SymbolId>> = (0..model.symbols.len()).map(|k| needed(model, SymbolId(k as u32))).collect();
    let mut marks = vec![Mark::New; needs.len()];
    for start in 0..needs.len() {
        if marks[start] != Mark::New {
            continue;
        }
        // The way from `start`: each symbol with the number of its needs that were followed.
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        marks[start] = Mark::Open;
        while let Some((at, followed)) = way.last_mut() {
            let Some(next) = needs[*at].get(*followed).map(|s| s.0 as usize) else {
                marks[*at] = Mark::Done;
                way.pop();
                continue;
            };
            *followed += 1;
            match marks[next] {
                Mark::New => {
                    marks[next] = Mark::Open;
                    way.push((next, 0));
                }
                Mark::Open => {
                    let from = way.iter().position(|(k, _)| *k == next).unwrap_or(0);
                    let circle: Vec<usize> = way[from..].iter().map(|(k, _)| *k).collect();
                    report(model, &circle, diagnostics);
                }
                Mark::Done => {}
            }
        }
    }
}

/// The definitions that the value of `id` refers to, in order and each once.
fn needed(model: &Model, id: SymbolId) -> Vec<SymbolId> {
    let is_algebra = |id: SymbolId| {
        let symbol = model.symbol(id);
        symbol.ranges.is_empty() && matches!(symbol.kind, SymbolKind::Const | SymbolKind::Let | SymbolKind::Observable)
    };
    let Some(value) = model.symbol(id).value.filter(|_| is_algebra(id)) else { return Vec::new() };
    let (mut list, mut seen, mut stack) = (Vec::new(), HashSet::new(), vec![value]);
    while let Some(expr) = stack.pop() {
        if !seen.insert(expr) {
            continue;
        }
        let kind = &model.expr(expr).kind;
        if let ExprKind::Symbol { symbol, .. } = kind
            && is_algebra(*symbol)
            && !list.contains(symbol)
        {
            list.push(*symbol);
        }
        kind.for_each_operand(|e| stack.push(e));
    }
    list
}

fn report(model: &mut Model, circle: &[usize], diagnostics: &mut Diagnostics) {
    let names: Vec<String> =
        circle.iter().chain(&circle[..1]).map(|k| format!("`{}`", model.symbols[*k].name)).collect();
    let first = &model.symbols[circle[0]];
    let mut d =
        Diagnostic::new(Code("E0207"), first.span, format!("{} is defined by itself", names[0])).at("this definition");
    for k in circle[1..].iter().take(3) {
        d = d.label(model.symbols[*k].span, "which goes through this one");
    }
    if circle.len() > 1 {
        d = d.note(format!("the circle is {}", shortened(&names)));
    }
    diagnostics.push(d.help("break the circle, for example by giving one of them a number or making it a `state`"));
    let span = first.span;
    let error: ExprId = model.add(ExprKind::Error, span);
    model.symbols[circle[0]].value = Some(error);
}

fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    if names.len() <= SHOWN {
        return names.join(" → ");
    }
    format!("{} → … → {}", names[..SHOWN - 1].join(" → "), names[names.len() - 1])
}
