//! Errors of observables that no distribution has: a spread that is one number is looked at when the model is made, so
//! that neither a fit nor a drawn measurement is the first to find it.

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{Leaf, Node};

use super::{FlatModel, Noise, Quantity};

/// E0609 for each observable whose spread is a constant, or a parameter with a declared value, that is out of range. A
/// spread of zero (a gsd of one) is an error that is always nothing.
pub(super) fn check(flat: &FlatModel, diagnostics: &mut Diagnostics) {
    for observable in &flat.observables {
        let (Some(noise), Some(output)) = (observable.noise, observable.spread_output) else { continue };
        let own: &Quantity = &observable.quantity;
        let (value, span) = match flat.outputs.get(output).map(|node| flat.dag.node(*node)) {
            Some(Node::Const(bits)) => (f64::from_bits(bits), own.span),
            Some(Node::Leaf(Leaf::Param(k))) => match flat.params.get(k as usize) {
                Some(param) => (param.value, param.quantity.span),
                None => continue,
            },
            Some(_) | None => continue,
        };
        let (word, least) = match noise {
            Noise::Normal => ("sd", 0.0),
            Noise::Laplace => ("scale", 0.0),
            Noise::LogNormal => ("gsd", 1.0),
        };
        if value.is_finite() && value >= least {
            continue;
        }
        let title = format!("the error of `{}` has `{word} = {value}`, but it must be {least} or more", own.name);
        diagnostics.push(
            Diagnostic::new(Code("E0609"), span, title).at("out of range").label(own.span, "the observable").help(
                match noise {
                    Noise::LogNormal => "a gsd is a factor: 1.2 is an error of some 20 %",
                    Noise::Normal | Noise::Laplace => "write the size of a typical error",
                },
            ),
        );
    }
}
