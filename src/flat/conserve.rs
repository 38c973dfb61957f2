//! Proves what a model declares to be conserved: its derivative is identically zero, and no event changes it.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::simplify::{Proof, prove_zero};
use crate::expr::{Dag, Leaf, Node, NodeId, diff};
use crate::syntax::ast::AssignOp;

use super::lower::Flow;
use super::{Conserved, FlatEvent, FlatModel};

/// Checks every declared law of `model`; what does not hold is E0502, what cannot be shown E0503.
///
/// `flows` are what the reactions add to the derivatives.
pub(super) fn prove(model: &mut FlatModel, flows: &[Flow], diagnostics: &mut Diagnostics) {
    let laws = model.conserved.clone();
    for law in &laws {
        flow(model, law, flows, diagnostics);
        for k in 0..model.events.len() {
            let event = model.events[k].clone();
            if !event.jumps.is_empty() {
                jump(model, law, &event, diagnostics);
            }
        }
    }
}

/// The law along the solution: Σ ∂e/∂x · f + ∂e/∂t = 0.
fn flow(model: &mut FlatModel, law: &Conserved, flows: &[Flow], diagnostics: &mut Diagnostics) {
    let rhs: Vec<NodeId> = model.states.iter().map(|s| s.rhs).collect();
    let derivative = diff::directional(&mut model.dag, &[law.node], |leaf| match leaf {
        Leaf::State(k) => Some(rhs[k as usize]),
        Leaf::Time => Some(Dag::ONE),
        Leaf::Param(_) | Leaf::Input(_) | Leaf::Disturbance(_) | Leaf::Direction(_) | Leaf::DirectionTime => None,
    })[0];
    // A rate that is a number times a node may enter as that node.
    let inner = flows.iter().filter_map(|f| model.dag.as_scaled(f.rate)).map(|(_, inner)| inner);
    let mut opaque: Vec<NodeId> = flows.iter().map(|f| f.rate).chain(inner).collect();
    opaque.sort_unstable();
    opaque.dedup();
    match prove_zero(&model.dag, derivative, &opaque) {
        Proof::Zero => {}
        Proof::NonZero { .. } => {
            let d = Diagnostic::new(Code("E0502"), law.span, format!("`{}` is not conserved", law.text)).at("declared here");
            let d = accuse(model, law, flows, d);
            diagnostics.push(d.help("remove the law, or include in it what these reactions form"));
        }
        Proof::Unknown => diagnostics.push(
            Diagnostic::new(Code("E0503"), law.span, format!("it cannot be shown that `{}` is conserved", law.text))
                .at("declared here")
                .help("its derivative is too involved to simplify to zero; assert it with `expect` at a few times instead"),
        ),
    }
}

/// Labels the reactions that change a law, each judged by what it alone does to it.
fn accuse(model: &mut FlatModel, law: &Conserved, flows: &[Flow], mut diagnostic: Diagnostic) -> Diagnostic {
    const MOST_TRIED: usize = 1000;
    const MOST_LABELS: usize = 4;
    let gradient = diff::gradients(&mut model.dag, &[law.node], diff::Wrt::States).remove(0);
    let touched: HashMap<u32, NodeId> = gradient.into_iter().collect();
    let concerned = flows.iter().filter(|f| f.terms.iter().any(|(state, ..)| touched.contains_key(state)));
    for flow in concerned.take(MOST_TRIED) {
        // A rate that is a number times a node enters as that node.
        let (scale, inner) = model.dag.as_scaled(flow.rate).unwrap_or((1.0, flow.rate));
        let mut terms = Vec::new();
        for (state, coefficient, node) in &flow.terms {
            if let Some(slope) = touched.get(state) {
                terms.push((*coefficient, model.dag.mul(*slope, *node)));
            }
        }
        let own = model.dag.sum(&terms);
        let Proof::NonZero { residual } = prove_zero(&model.dag, own, &[inner]) else { continue };
        let Some(reaction) = model.reactions.get(flow.reaction) else { continue };
        if diagnostic.labels.len() > MOST_LABELS || diagnostic.labels.iter().any(|l| l.span == reaction.span) {
            continue;
        }
        let text = match residual.as_slice() {
            [term] if matches!(term.factors.as_slice(), [(node, 1)] if *node == inner) => {
                format!("`{}` changes it by {}", reaction.name, term.coefficient / scale)
            }
            _ => format!("`{}` changes it", reaction.name),
        };
        diagnostic = diagnostic.label(reaction.span, text);
    }
    diagnostic
}

/// The law across an event: its value after is its value before.
fn jump(model: &mut FlatModel, law: &Conserved, event: &FlatEvent, diagnostics: &mut Diagnostics) {
    let gradient = diff::gradients(&mut model.dag, &[law.node], diff::Wrt::States).remove(0);
    // The step of each state and its value after.
    let mut steps: HashMap<u32, NodeId> = HashMap::new();
    let mut after: HashMap<u32, NodeId> = HashMap::new();
    for jump in &event.jumps {
        let x = model.dag.leaf(Leaf::State(jump.state));
        let (step, value) = match jump.op {
            AssignOp::Set => (model.dag.sub(jump.value, x), jump.value),
            AssignOp::Add => (jump.value, model.dag.add(x, jump.value)),
            AssignOp::Subtract => (model.dag.neg(jump.value), model.dag.sub(x, jump.value)),
            AssignOp::Multiply => {
                let value = model.dag.mul(x, jump.value);
                (model.dag.sub(value, x), value)
            }
        };
        steps.insert(jump.state, step);
        after.insert(jump.state, value);
    }
    for dilution in &event.dilutions {
        let x = model.dag.leaf(Leaf::State(dilution.state));
        let v = model.dag.leaf(Leaf::State(dilution.volume));
        let factor = model.dag.div(v, after.get(&dilution.volume).copied().unwrap_or(v));
        let value = model.dag.mul(x, factor);
        steps.insert(dilution.state, model.dag.sub(value, x));
        after.insert(dilution.state, value);
    }
    let touched: Vec<(u32, NodeId)> = gradient.into_iter().filter(|(k, _)| steps.contains_key(k)).collect();
    if touched.is_empty() {
        return;
    }
    // A law linear in what jumps changes by gradient times step, which has no large terms that cancel.
    let linear: Option<Vec<(f64, NodeId)>> =
        touched.iter().map(|(k, g)| Some((model.dag.as_const(*g)?, *steps.get(k)?))).collect();
    let change = match linear {
        Some(terms) => model.dag.sum(&terms),
        None => {
            let value = with_states(&mut model.dag, law.node, &after);
            model.dag.sub(value, law.node)
        }
    };
    match prove_zero(&model.dag, change, &[]) {
        Proof::Zero => {}
        Proof::NonZero { .. } => diagnostics.push(
            Diagnostic::new(Code("E0502"), law.span, format!("`{}` is not conserved", law.text))
                .at("declared here")
                .label(event.span, "this event changes it")
                .help("remove the law, or let the event move amounts instead of adding them"),
        ),
        Proof::Unknown => diagnostics.push(
            Diagnostic::new(
                Code("E0503"),
                law.span,
                format!("it cannot be shown that `{}` keeps `{}`", event.description, law.text),
            )
            .at("declared here")
            .label(event.span, "this event changes what it is made of"),
        ),
    }
}

/// `root` with the states in `values` replaced; operands stand before what is made of them, so nothing recurses.
fn with_states(dag: &mut Dag, root: NodeId, values: &HashMap<u32, NodeId>) -> NodeId {
    let mut made: HashMap<NodeId, NodeId> = HashMap::new();
    for id in dag.reachable(&[root]) {
        let of = |e: NodeId| made.get(&e).copied().unwrap_or(e);
        let node = match dag.node(id) {
            Node::Leaf(Leaf::State(k)) => values.get(&k).copied().unwrap_or(id),
            Node::Const(_) | Node::Leaf(_) => id,
            Node::Unary(op, a) => dag.unary(op, of(a)),
            Node::Binary(op, a, b) => dag.binary(op, of(a), of(b)),
            Node::PowI(a, n) => dag.powi(of(a), n),
            Node::Sum(sum) => {
                let terms: Vec<(f64, NodeId)> = dag.terms(sum).iter().map(|t| (t.coefficient, of(t.node))).collect();
                dag.sum(&terms)
            }
            Node::Compare(op, a, b) => dag.compare(op, of(a), of(b)),
            Node::Select { condition, then, otherwise } => dag.select(of(condition), of(then), of(otherwise)),
        };
        made.insert(id, node);
    }
    made.get(&root).copied().unwrap_or(root)
}
