//! Warnings about a checked model: unused parameters, start values outside of their range, equality of real numbers.

use std::collections::HashSet;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::Compare;

use super::constants::Constants;
use super::expr::ExprKind;
use super::model::{DistKind, Model, SymbolId, SymbolKind};

/// Reports what is probably a mistake.
///
/// `overridden` are the symbols whose values a variant gives: those must lie in their ranges (E0608).
pub(super) fn check(model: &Model, overridden: &HashSet<SymbolId>, diagnostics: &mut Diagnostics) {
    let used: HashSet<u32> = model
        .exprs
        .iter()
        .filter_map(|e| match &e.kind {
            ExprKind::Symbol { symbol, .. } => Some(symbol.0),
            _ => None,
        })
        .collect();
    let mut constants = Constants::default();
    for (id, symbol) in model.symbols() {
        if symbol.kind == SymbolKind::Param && !model.is_faulty && !used.contains(&id.0) {
            diagnostics.push(
                Diagnostic::new(Code("W0101"), symbol.span, format!("the parameter `{}` is never used", symbol.name))
                    .at("changing it changes nothing")
                    .help("remove it, or use it in an equation"),
            );
        }
        let mut value = |e: Option<super::ExprId>| e.and_then(|e| constants.value(model, e));
        let (start, low, high) = (value(symbol.value), value(symbol.low), value(symbol.high));
        if let (Some(low), Some(high)) = (low, high)
            && low > high
        {
            diagnostics.push(
                Diagnostic::new(
                    Code("E0608"),
                    symbol.span,
                    format!("the range of `{}` is empty: {low} is above {high}", symbol.name),
                )
                .at("`in low .. high`"),
            );
            continue;
        }
        if let Some(start) = start
            && (low.is_some_and(|low| start < low) || high.is_some_and(|high| start > high))
        {
            let shown = |e: Option<f64>| e.map(|e| e.to_string()).unwrap_or_default();
            let at = symbol.value.map_or(symbol.span, |e| model.expr(e).span);
            let is_given = overridden.contains(&id);
            let title = format!("`{}` is {start}, outside of its range {} .. {}", symbol.name, shown(low), shown(high));
            let d = Diagnostic::new(Code(if is_given { "E0608" } else { "W0102" }), at, title);
            diagnostics.push(if is_given {
                d.at("given here")
                    .label(symbol.span, "declared with its range")
                    .help("give a value inside, or widen the range")
            } else {
                d.at("its own range excludes its value")
            });
        }
        prior_mass(symbol, value, low, high, diagnostics);
    }
    for expr in &model.exprs {
        if let ExprKind::Compare(op @ (Compare::Eq | Compare::Ne), a, b) = &expr.kind
            && (is_real(model, *a) || is_real(model, *b))
        {
            let sign = if *op == Compare::Eq { "==" } else { "!=" };
            diagnostics.push(
                Diagnostic::new(Code("W0104"), expr.span, format!("two real numbers are compared with `{sign}`"))
                    .at("rounding decides")
                    .help("compare with `<` or `>`, or with a tolerance: `abs(a - b) < eps`"),
            );
        }
    }
}

/// True where the value depends on more than numbers, constants and indices, which are compared exactly.
fn is_real(model: &Model, expr: super::ExprId) -> bool {
    let mut stack = vec![expr];
    while let Some(id) = stack.pop() {
        match &model.expr(id).kind {
            ExprKind::Time | ExprKind::Derivative { .. } => return true,
            ExprKind::Symbol { symbol, .. } if model.symbol(*symbol).kind != SymbolKind::Const => return true,
            kind => kind.for_each_operand(|e| stack.push(e)),
        }
    }
    false
}

/// W0103: less than half of a prior's mass lies inside the bounds.
fn prior_mass(
    symbol: &super::Symbol,
    mut value: impl FnMut(Option<super::ExprId>) -> Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    diagnostics: &mut Diagnostics,
) {
    let Some(dist) = symbol.dist.as_ref().filter(|_| symbol.kind == SymbolKind::Param) else { return };
    let location = dist.args[0].map_or(value(symbol.value), |e| value(Some(e)));
    let (Some(location), Some(spread)) = (location, value(dist.args[1])) else { return };
    let is_possible = match dist.kind {
        DistKind::Normal => spread > 0.0,
        DistKind::LogNormal => location > 0.0 && spread > 1.0,
        DistKind::Uniform => location < spread,
        DistKind::LogUniform | DistKind::Laplace => false,
    };
    if !is_possible {
        return;
    }
    let cdf: Box<dyn Fn(f64) -> f64> = match dist.kind {
        DistKind::Normal => Box::new(move |x| normal_cdf((x - location) / spread)),
        DistKind::LogNormal => {
            Box::new(move |x| if x <= 0.0 { 0.0 } else { normal_cdf((x / location).ln() / spread.ln()) })
        }
        DistKind::Uniform => Box::new(move |x| ((x - location) / (spread - location)).clamp(0.0, 1.0)),
        DistKind::LogUniform | DistKind::Laplace => return,
    };
    let mass = high.map_or(1.0, &cdf) - low.map_or(0.0, &cdf);
    if mass < 0.5 {
        diagnostics.push(
            Diagnostic::new(
                Code("W0103"),
                dist.span,
                format!("{:.0} % of the prior of `{}` lies outside of its bounds", 100.0 * (1.0 - mass), symbol.name),
            )
            .at("this prior"),
        );
    }
}

/// Φ by the complementary error function's continued-product approximation (Abramowitz and Stegun 1964, 7.1.26);
/// absolute error below 1.5e-7, enough for a warning.
fn normal_cdf(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.3275911 * x);
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let erf = 1.0 - poly * (-x * x).exp();
    if z >= 0.0 { 0.5 * (1.0 + erf) } else { 0.5 * (1.0 - erf) }
}
