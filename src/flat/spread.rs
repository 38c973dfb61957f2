//! Errors of observables that no distribution has: a spread that is one number is looked at when the model is made, so
//! that neither a fit nor a drawn measurement is the first to find it.

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{Env, Interpreter, Leaf, Node, NodeId};

use super::discontinuity::{dependencies, is_fixed};
use super::{FlatModel, Noise, Observable, Quantity};

/// E0609 for each observable whose spread follows from constants and the values of parameters and is out of range. A
/// spread of zero (a gsd of one) is an error that is always nothing.
pub(super) fn check(flat: &FlatModel, diagnostics: &mut Diagnostics) {
    let spread = |observable: &Observable| observable.spread_output.and_then(|k| flat.outputs.get(k).copied());
    if flat.observables.iter().all(|observable| spread(observable).is_none()) {
        return;
    }
    let bits = dependencies(&flat.dag);
    let known = |observable: &&Observable| spread(observable).is_some_and(|node| is_fixed(bits[node.0 as usize]));
    let observables: Vec<&Observable> = flat.observables.iter().filter(known).collect();
    let nodes: Vec<NodeId> = observables.iter().filter_map(|observable| spread(observable)).collect();
    let p: Vec<f64> = flat.params.iter().map(|param| param.value).collect();
    let env = Env { t: 0.0, x: &[], u: &[], d: &[], p: &p, dx: &[], dt: 0.0 };
    let values = Interpreter::new(&flat.dag, &nodes).values::<f64>(&env);
    for ((observable, node), value) in observables.into_iter().zip(nodes).zip(values) {
        let Some(noise) = observable.noise else { continue };
        let own: &Quantity = &observable.quantity;
        let span = match flat.dag.node(node) {
            Node::Leaf(Leaf::Param(k)) => flat.params.get(k as usize).map_or(own.span, |param| param.quantity.span),
            _ => own.span,
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
