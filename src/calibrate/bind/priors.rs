//! Bounds and priors of estimates that no value can have: found at the estimate, before anything is compiled.

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::flat::Distribution;
use crate::source::Span;

use super::super::experiment::{prior_rule, written};
use super::super::parameter::Parameter;

/// E0609 for a prior whose arguments are out of range, E0608 for one that has no value in common with the bounds. True
/// where nothing was reported.
pub(super) fn check(parameter: &Parameter, estimate: Span, declared: Span, diagnostics: &mut Diagnostics) -> bool {
    let Some(prior) = parameter.prior else { return true };
    let Parameter { name, low, high, .. } = parameter;
    let shown = written(prior);
    if let Some(rule) = prior_rule(prior) {
        diagnostics.push(
            Diagnostic::new(Code("E0609"), estimate, format!("the prior of `{name}` is {shown}, but {rule}"))
                .at("out of range"),
        );
        return false;
    }
    let bounds = parameter.bounds();
    let is_positive = match prior {
        Distribution::LogNormal { .. } | Distribution::LogUniform { .. } => true,
        Distribution::Normal { .. } | Distribution::Uniform { .. } | Distribution::Laplace { .. } => false,
    };
    let (title, help) = if *low < *high && bounds.0 >= bounds.1 {
        (
            format!("the prior of `{name}` is {shown}, and its bounds {low} .. {high} hold none of these values"),
            "let the bounds and the prior have values in common",
        )
    } else if is_positive && (bounds.1 <= 0.0 || (*low < 0.0 && low.is_finite())) {
        (
            format!("the prior of `{name}` is {shown}, of values above zero, and its bounds are {low} .. {high}"),
            "give a lower bound that is not negative",
        )
    } else {
        return true;
    };
    diagnostics.push(
        Diagnostic::new(Code("E0608"), estimate, title)
            .at("bounds and prior of this estimate")
            .label(declared, "declared here, with what the estimate does not say")
            .help(help),
    );
    false
}
