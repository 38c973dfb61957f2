//! Distributions: priors, errors of observables and their anonymous parameters.

use crate::diag::{Code, Diagnostic};
use crate::syntax::ast;
use crate::units::Unit;

use super::clauses::Entry;
use super::expr::ExprKind;
use super::lower::Lower;
use super::lower_expr::text;
use super::model::{Dist, DistKind, SymbolId, SymbolKind};

impl Lower<'_> {
    /// `observe y = e ~ Normal(sd = 5)`: the number is the parameter `y.sd`.
    pub(super) fn anonymous_spread(&mut self, id: SymbolId, entry: &Entry<'_>) {
        let Some(dist) = self.model.symbol(id).dist.clone() else { return };
        let Some(spread) = dist.args[1] else { return };
        let ExprKind::Number { value, unit } = &self.model.expr(spread).kind else { return };
        // A spread in degC is a difference of temperatures, in K.
        let number = ExprKind::Number { value: *value, unit: unit.as_ref().map(Unit::without_offset) };
        let spread = self.model.add(number, self.model.expr(spread).span);
        let name = format!("{}.{}", entry.name.text, dist.kind.arguments()[1]);
        let param = self.push_symbol(&name, self.model.expr(spread).span, SymbolKind::Param);
        self.model.names.insert(name, param);
        // The spread has the unit of its observable.
        let unit = match dist.kind {
            DistKind::LogNormal => self.model.symbol(id).unit.is_some().then(Unit::one),
            DistKind::Normal | DistKind::Laplace | DistKind::Uniform | DistKind::LogUniform => {
                self.model.symbol(id).unit.as_ref().map(Unit::without_offset)
            }
        };
        if self.unsettled.untyped.contains(&id) {
            self.unsettled.untyped.insert(param);
        }
        let symbol = &mut self.model.symbols[param.0 as usize];
        symbol.value = Some(spread);
        symbol.unit = unit;
        let reference = self.model.add(ExprKind::Symbol { symbol: param, indices: Vec::new() }, dist.span);
        if let Some(dist) = &mut self.model.symbols[id.0 as usize].dist {
            dist.args[1] = Some(reference);
        }
    }

    /// `Normal(mean = 1, sd = 2)`; for an observable one positional argument is the spread.
    pub(super) fn distribution(&mut self, ast: &ast::Expr, is_observable: bool) -> Option<Dist> {
        const KINDS: &[(&str, DistKind)] = &[
            ("Normal", DistKind::Normal),
            ("LogNormal", DistKind::LogNormal),
            ("Uniform", DistKind::Uniform),
            ("LogUniform", DistKind::LogUniform),
            ("Laplace", DistKind::Laplace),
        ];
        let ast::ExprKind::Call { function, args } = &ast.kind else {
            self.report(
                Diagnostic::new(Code("E0609"), ast.span, "`~` is followed by a distribution")
                    .at("this is none")
                    .help("write for example `~ Normal(sd = 2)` or `~ Uniform(0, 1)`"),
            );
            return None;
        };
        let name = text(function);
        let Some((_, kind)) = KINDS.iter().find(|(n, _)| *n == name) else {
            let mut d = Diagnostic::new(Code("E0609"), function.span, format!("there is no distribution `{name}`"))
                .at("not known");
            let names = KINDS.iter().map(|(n, _)| *n);
            let near = super::unknown::nearest(&name, names.clone());
            d = match super::unknown::did_you_mean(&d, &near, &[function.span]) {
                Some(d) => d,
                None => d.help(format!("distributions are {}", names.collect::<Vec<_>>().join(", "))),
            };
            self.report(d);
            return None;
        };
        if is_observable && kind.noise().is_none() {
            self.report(
                Diagnostic::new(Code("E0609"), ast.span, format!("`{name}` cannot be the error of an observable"))
                    .at("expected Normal, LogNormal or Laplace"),
            );
            return None;
        }
        let names = kind.arguments();
        let mut slots = [None, None];
        for (k, arg) in args.iter().enumerate() {
            let value = self.value(&arg.value);
            let slot = match &arg.name {
                Some(given) => names.iter().position(|n| *n == given.text),
                None if args.len() == 1 => Some(1).filter(|_| is_observable).or(Some(k)),
                None => Some(k).filter(|k| *k < 2),
            };
            match slot {
                Some(slot) if slots[slot].is_none() => slots[slot] = Some(value),
                Some(_) | None => {
                    let span = arg.name.as_ref().map_or(arg.value.span(), |n| n.span);
                    self.report(
                        Diagnostic::new(
                            Code("E0609"),
                            span,
                            format!("`{name}` takes `{}` and `{}`", names[0], names[1]),
                        )
                        .at("not one of them"),
                    );
                    return None;
                }
            }
        }
        if is_observable && slots[0].is_some() {
            self.report(
                Diagnostic::new(
                    Code("E0609"),
                    ast.span,
                    format!("the {} of an observable is its own expression", names[0]),
                )
                .at("given again")
                .help(format!("write `~ {name}({} = ..)`", names[1])),
            );
            return None;
        }
        let needs_low = matches!(kind, DistKind::Uniform | DistKind::LogUniform);
        if slots[1].is_none() || (needs_low && slots[0].is_none()) {
            let missing = if slots[1].is_none() { names[1] } else { names[0] };
            self.report(
                Diagnostic::new(Code("E0609"), ast.span, format!("`{name}` needs its `{missing}`")).at("missing here"),
            );
            return None;
        }
        Some(Dist { kind: *kind, args: slots, span: ast.span })
    }
}
