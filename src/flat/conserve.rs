//! Proves what a model declares to be conserved: its derivative is identically zero, and no event changes it.

use std::collections::HashMap;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::simplify::{Proof, Residual, prove_zero};
use crate::expr::{Dag, Leaf, Node, NodeId, diff};
use crate::syntax::ast::AssignOp;

use super::lower::Flow;
use super::{Conserved, FlatEvent, FlatModel};

/// Cancelled terms leave no more than this part of their magnitudes.
const ROUNDING: f64 = 64.0 * f64::EPSILON;

/// What moves the states.
pub(super) struct Movers {
    /// What the reactions add to the derivatives.
    pub flows: Vec<Flow>,
    /// Concentrations that a volume with an equation dilutes: the state, and that of the volume.
    pub diluted: Vec<(u32, u32)>,
}

/// Checks every declared law of `model`; what does not hold is E0502, what cannot be shown E0503.
pub(super) fn prove(model: &mut FlatModel, movers: &Movers, diagnostics: &mut Diagnostics) {
    let laws = model.conserved.clone();
    for law in &laws {
        flow(model, law, movers, diagnostics);
        for k in 0..model.events.len() {
            let event = model.events[k].clone();
            if !event.jumps.is_empty() {
                jump(model, law, &event, diagnostics);
            }
        }
    }
}

/// The law along the solution: Σ ∂e/∂x · f + ∂e/∂t = 0.
fn flow(model: &mut FlatModel, law: &Conserved, movers: &Movers, diagnostics: &mut Diagnostics) {
    let flows = &movers.flows;
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
        Proof::NonZero { residual } => {
            let touched = gradient(model, law);
            // The graph has added the coefficients of equal rates, and lost what they were sums of.
            let mut parts = Vec::new();
            for flow in flows.iter().filter(|f| f.terms.iter().any(|(state, ..)| touched.contains_key(state))) {
                parts.extend(parts_of(model, &touched, flow));
            }
            if parts.len() <= MOST_TRIED && is_rounding(&model.dag, &residual, &parts, &opaque) {
                return;
            }
            let d = Diagnostic::new(Code("E0502"), law.span, format!("`{}` is not conserved", law.text)).at("declared here");
            let d = accuse(model, &touched, movers, d);
            diagnostics.push(d.help("remove the law, or include in it all that these form and use up"));
        }
        Proof::Unknown => diagnostics.push(
            Diagnostic::new(Code("E0503"), law.span, format!("it cannot be shown that `{}` is conserved", law.text))
                .at("declared here")
                .help("its derivative is too involved to simplify to zero; assert it with `expect` at a few times instead"),
        ),
    }
}

/// Flows and terms looked at one by one in a search for what breaks a law.
const MOST_TRIED: usize = 1000;

/// How a law changes with each state that it depends on.
fn gradient(model: &mut FlatModel, law: &Conserved) -> HashMap<u32, NodeId> {
    diff::gradients(&mut model.dag, &[law.node], diff::Wrt::States).remove(0).into_iter().collect()
}

/// What each term of a flow does to a law: a coefficient and a node.
fn parts_of(model: &mut FlatModel, touched: &HashMap<u32, NodeId>, flow: &Flow) -> Vec<(f64, NodeId)> {
    let mut parts = Vec::new();
    for (state, coefficient, node) in &flow.terms {
        if let Some(slope) = touched.get(state) {
            parts.push((*coefficient, model.dag.mul(*slope, *node)));
        }
    }
    parts
}

/// True where what is left of the sum of `parts` is no more than their rounding.
fn is_rounding(dag: &Dag, residual: &[Residual], parts: &[(f64, NodeId)], opaque: &[NodeId]) -> bool {
    if residual.is_empty() {
        return false;
    }
    let mut magnitudes: HashMap<Vec<(NodeId, i32)>, f64> = HashMap::new();
    for (coefficient, node) in parts {
        if let Proof::NonZero { residual } = prove_zero(dag, *node, opaque) {
            for term in residual {
                *magnitudes.entry(term.factors).or_default() += (coefficient * term.coefficient).abs();
            }
        }
    }
    residual.iter().all(|term| {
        magnitudes.get(&term.factors).is_some_and(|magnitude| term.coefficient.abs() <= ROUNDING * magnitude)
    })
}

/// Labels what changes a law: reactions, each judged by what it alone does to it, and equations.
fn accuse(
    model: &mut FlatModel,
    touched: &HashMap<u32, NodeId>,
    movers: &Movers,
    mut diagnostic: Diagnostic,
) -> Diagnostic {
    const MOST_LABELS: usize = 4;
    let concerned = movers.flows.iter().filter(|f| f.terms.iter().any(|(state, ..)| touched.contains_key(state)));
    for flow in concerned.take(MOST_TRIED) {
        // A rate that is a number times a node enters as that node.
        let (scale, inner) = model.dag.as_scaled(flow.rate).unwrap_or((1.0, flow.rate));
        let parts = parts_of(model, touched, flow);
        let own = model.dag.sum(&parts);
        let Proof::NonZero { residual } = prove_zero(&model.dag, own, &[inner]) else { continue };
        if is_rounding(&model.dag, &residual, &parts, &[inner]) {
            continue;
        }
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
    for state in 0..model.states.len() as u32 {
        let (equation, rhs) = (model.states[state as usize].equation, model.states[state as usize].rhs);
        let Some(span) = equation else { continue };
        // What the equation alone does to the law, by what it moves and by what it dilutes.
        let mut parts: Vec<(f64, NodeId)> =
            touched.get(&state).map(|slope| (1.0, model.dag.mul(*slope, rhs))).into_iter().collect();
        let mut diluted = None;
        for (species, _) in movers.diluted.iter().filter(|(_, volume)| *volume == state) {
            let Some(slope) = touched.get(species) else { continue };
            let (c, v) = (model.dag.leaf(Leaf::State(*species)), model.dag.leaf(Leaf::State(state)));
            let dilution = model.dag.mul(c, rhs);
            let dilution = model.dag.div(dilution, v);
            parts.push((-1.0, model.dag.mul(*slope, dilution)));
            diluted = diluted.or(Some(*species));
        }
        let own = model.dag.sum(&parts);
        if parts.is_empty() || prove_zero(&model.dag, own, &[rhs]) == Proof::Zero {
            continue;
        }
        let name = |state: u32| model.states[state as usize].quantity.name.as_str();
        let text = match diluted.filter(|_| !touched.contains_key(&state)) {
            Some(species) => format!("dilutes `{}`", name(species)),
            None => format!("moves `{}`", name(state)),
        };
        if diagnostic.labels.len() <= MOST_LABELS && diagnostic.labels.iter().all(|l| l.span != span) {
            diagnostic = diagnostic.label(span, text);
        }
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
