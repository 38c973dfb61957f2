//! Noise: from `x' = f + g w'` to drift f and diffusion g, understood in the sense of Itô.
//!
//! While a model is flattened a derivative `w'` is a leaf of its own, so that everything that reads equations sees it.
//! At the end it is taken out: what multiplies it is the diffusion, what is left without it the drift.

use super::lower::Builder;
use super::{FlatModel, layout::Home};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{Dag, Leaf, Node, NodeId, Wrt, directional, gradients};

/// The leaf that stands for the derivative of a noise. Directions have no other use in a flat model.
pub(super) fn white_noise(idx: u32) -> Leaf {
    Leaf::Direction(idx)
}

impl Builder<'_> {
    /// Names of the noises.
    pub(super) fn noises(&mut self, flat: &mut FlatModel) -> Option<()> {
        for (_, id, offset) in self.members(|layout| (layout.home == Home::Noise).then_some(layout.first)) {
            let quantity = self.quantity(id, offset)?;
            flat.noises.push(quantity);
        }
        Some(())
    }
}

/// Takes the noises out of the equations. E0511 where one stands anywhere else, or not as a factor.
pub(super) fn separate(flat: &mut FlatModel, diagnostics: &mut Diagnostics) {
    if flat.noises.is_empty() {
        return;
    }
    let noisy = noisy_nodes(&flat.dag);
    let is_noisy = |node: &NodeId| noisy.get(node.0 as usize).copied().unwrap_or(false);
    let mut misplaced = Vec::new();
    let named = flat.lets.iter().chain(&flat.safe).map(|named| (named.node, named.quantity.span));
    let starts = flat.states.iter().map(|state| (state.initial, state.quantity.span));
    let rates = flat.reactions.iter().map(|reaction| (reaction.rate, reaction.span));
    let observed = flat.observables.iter().flat_map(|observable| {
        let outputs = std::iter::once(observable.value_output).chain(observable.spread_output);
        outputs.map(|output| (flat.outputs[output], observable.quantity.span))
    });
    let jumps = flat.events.iter().flat_map(|event| event.jumps.iter().map(|jump| (jump.value, event.span)));
    let laws = flat.conserved.iter().map(|law| (law.node, law.span));
    let conditions = flat.events.iter().filter_map(|event| {
        use crate::system::Trigger;
        match event.event.trigger {
            Trigger::Rising { root_idx } | Trigger::Crossing { root_idx } => Some((flat.roots[root_idx], event.span)),
            Trigger::At { .. } | Trigger::Every { .. } => None,
        }
    });
    for (node, span) in named.chain(starts).chain(rates).chain(observed).chain(jumps).chain(laws).chain(conditions) {
        if is_noisy(&node) && !misplaced.contains(&span) {
            misplaced.push(span);
        }
    }
    for span in misplaced {
        diagnostics.push(
            Diagnostic::new(
                Code("E0511"),
                span,
                "white noise has no value here: it stands in equations `x' = ..` only",
            )
            .at("contains the derivative of a noise")
            .help("write it into the equation itself"),
        );
    }
    let rhs: Vec<NodeId> = flat.states.iter().map(|state| state.rhs).collect();
    for noise in 0..flat.noises.len() as u32 {
        let of = |leaf| (leaf == white_noise(noise)).then_some(Dag::ONE);
        for (state, g) in directional(&mut flat.dag, &rhs, of).into_iter().enumerate() {
            if g != Dag::ZERO {
                flat.diffusion.push((state as u32, noise, g));
            }
        }
    }
    flat.diffusion.sort_unstable();
    let noisy = noisy_nodes(&flat.dag);
    for &(state, noise, g) in &flat.diffusion {
        if noisy[g.0 as usize] {
            let (state, name) = (&flat.states[state as usize], &flat.noises[noise as usize].name);
            diagnostics.push(
                Diagnostic::new(
                    Code("E0511"),
                    state.equation.unwrap_or(state.quantity.span),
                    format!("`{name}'` is not a factor of a term of this equation"),
                )
                .at("only sums of products `g*w'` have a meaning")
                .help(format!("write `f + g*{name}'`, with f and g free of noise")),
            );
        }
    }
    nonlinear_laws(flat, diagnostics);
    let drift = without_noise(&mut flat.dag, &noisy, &rhs);
    for (state, drift) in flat.states.iter_mut().zip(drift) {
        state.rhs = drift;
    }
}

/// Which nodes contain the derivative of a noise.
fn noisy_nodes(dag: &Dag) -> Vec<bool> {
    let mut noisy = vec![false; dag.len()];
    for k in 0..dag.len() {
        let id = NodeId(k as u32);
        let mut found = matches!(dag.node(id), Node::Leaf(Leaf::Direction(_)));
        dag.for_each_operand(id, |operand| found |= noisy[operand.0 as usize]);
        noisy[k] = found;
    }
    noisy
}

/// E0503 for laws that are not linear: noise moves them by second derivatives, which the proof does not form.
fn nonlinear_laws(flat: &mut FlatModel, diagnostics: &mut Diagnostics) {
    for law in &flat.conserved {
        let gradient = gradients(&mut flat.dag, &[law.node], Wrt::States).remove(0);
        let is_moved = |state: u32| flat.diffusion.iter().any(|(moved, ..)| *moved == state);
        if gradient.iter().any(|(state, slope)| is_moved(*state) && flat.dag.as_const(*slope).is_none()) {
            diagnostics.push(
                Diagnostic::new(Code("E0503"), law.span, format!("that `{}` is conserved cannot be shown", law.text))
                    .at("not linear in a state that has noise")
                    .help("only laws linear in noisy states are proved"),
            );
        }
    }
}

/// The nodes with every white noise replaced by zero.
fn without_noise(dag: &mut Dag, noisy: &[bool], roots: &[NodeId]) -> Vec<NodeId> {
    let mut new: std::collections::HashMap<NodeId, NodeId> = std::collections::HashMap::new();
    for id in dag.reachable(roots) {
        if !noisy[id.0 as usize] {
            continue;
        }
        let of = |id: NodeId| new.get(&id).copied().unwrap_or(id);
        let node = match dag.node(id) {
            Node::Leaf(_) | Node::Const(_) => Dag::ZERO,
            Node::Unary(op, a) => dag.unary(op, of(a)),
            Node::Binary(op, a, b) => dag.binary(op, of(a), of(b)),
            Node::PowI(a, n) => dag.powi(of(a), n),
            Node::Sum(sum) => {
                let terms: Vec<(f64, NodeId)> =
                    dag.terms(sum).iter().map(|term| (term.coefficient, of(term.node))).collect();
                dag.sum(&terms)
            }
            Node::Compare(op, a, b) => dag.compare(op, of(a), of(b)),
            Node::Select { condition, then, otherwise } => dag.select(of(condition), of(then), of(otherwise)),
        };
        new.insert(id, node);
    }
    roots.iter().map(|root| new.get(root).copied().unwrap_or(*root)).collect()
}
