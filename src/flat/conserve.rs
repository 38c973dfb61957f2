//! Proves what a model declares to be conserved: its derivative is identically zero, and no event changes it.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::simplify::{Proof, prove_zero};
use crate::expr::{Dag, Leaf, Node, NodeId, diff};
use crate::syntax::ast::AssignOp;

use super::{Conserved, FlatEvent, FlatModel};

/// Checks every declared law of `model`; what does not hold is E0502, what cannot be shown E0503.
///
/// `rates` are the nodes by which reactions enter the derivatives, with the number of the reaction.
pub(super) fn prove(model: &mut FlatModel, rates: &[(NodeId, usize)], diagnostics: &mut Diagnostics) {
    let laws = model.conserved.clone();
    for law in &laws {
        flow(model, law, rates, diagnostics);
        for k in 0..model.events.len() {
            let event = model.events[k].clone();
            if !event.jumps.is_empty() {
                jump(model, law, &event, diagnostics);
            }
        }
    }
}

/// The law along the solution: Σ ∂e/∂x · f + ∂e/∂t = 0.
fn flow(model: &mut FlatModel, law: &Conserved, rates: &[(NodeId, usize)], diagnostics: &mut Diagnostics) {
    let rhs: Vec<NodeId> = model.states.iter().map(|s| s.rhs).collect();
    let derivative = diff::directional(&mut model.dag, &[law.node], |leaf| match leaf {
        Leaf::State(k) => Some(rhs[k as usize]),
        Leaf::Time => Some(Dag::ONE),
        Leaf::Param(_) | Leaf::Input(_) | Leaf::Disturbance(_) | Leaf::Direction(_) | Leaf::DirectionTime => None,
    })[0];
    // A rate that is a number times a node may enter as that node.
    let mut known: HashMap<NodeId, (usize, f64)> = HashMap::new();
    for (node, k) in rates {
        known.entry(*node).or_insert((*k, 1.0));
        if let Some((factor, inner)) = model.dag.as_scaled(*node) {
            known.entry(inner).or_insert((*k, factor));
        }
    }
    let mut opaque: Vec<NodeId> = known.keys().copied().collect();
    opaque.sort_unstable();
    match prove_zero(&model.dag, derivative, &opaque) {
        Proof::Zero => {}
        Proof::NonZero { residual } => {
            let mut d = Diagnostic::new(Code("E0502"), law.span, format!("`{}` is not conserved", law.text)).at("declared here");
            for term in &residual {
                let found = term.factors.iter().find_map(|(node, _)| known.get(node));
                let Some((reaction, scale)) = found.and_then(|(k, scale)| Some((model.reactions.get(*k)?, *scale))) else {
                    continue;
                };
                if d.labels.len() > 4 || d.labels.iter().any(|l| l.span == reaction.span) {
                    continue;
                }
                let text = if term.factors.len() == 1 {
                    format!("`{}` changes it by {}", reaction.name, term.coefficient / scale)
                } else {
                    format!("`{}` changes it", reaction.name)
                };
                d = d.label(reaction.span, text);
            }
            diagnostics.push(d.help("remove the law, or include in it what these reactions form"));
        }
        Proof::Unknown => diagnostics.push(
            Diagnostic::new(Code("E0503"), law.span, format!("it cannot be shown that `{}` is conserved", law.text))
                .at("declared here")
                .help("its derivative is too involved to simplify to zero; assert it with `expect` at a few times instead"),
        ),
    }
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
