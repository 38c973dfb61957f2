//! A model beside its own derivative along a direction of parameters: states x and `s = dx/dε`, outputs y and `dy/dε`.
//!
//! With `p(ε) = p + ε v` the model's own equations give `s' = f_x s + f_p v`, `s(0) = x0_p v`, and resets likewise, all
//! symbolic. The result is a model like any other. Its gradient by the adjoint of `Σ g_x s + g_p v` is a
//! Hessian-vector product of `Σ g(x)`, exact for the computed values: third derivatives, which that needs in stiff steps,
//! come out of the compiler as for every model. See [`crate::integrate::adjoint`].

use super::{FlatModel, Jump, Param, Quantity, State};
use crate::expr::{Dag, Leaf, NodeId, directional};
use crate::syntax::ast::AssignOp;
use crate::system::Trigger;

/// Why a model has no tangent here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TangentError {
    /// The instant of an event moves with the parameters, so that s would jump by a law of its own.
    #[error(
        "the time of `{event}` depends on the state or on a parameter that moves; its second derivative is not known"
    )]
    MovingEvent {
        /// As written.
        event: String,
    },
    /// A parameter that does not exist.
    #[error("parameter {index} does not exist; the model has {count}")]
    Param {
        /// Its index.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The equations have outgrown the graph.
    #[error("the derivative of the model is too large")]
    TooLarge,
}

/// The model beside its derivative by the parameters `moved`.
///
/// State `n_states + i` is the derivative of state i; output `n_outputs + i` that of output i; parameter `n_params + j`
/// is the component v_j of the direction along `moved[j]`, zero if nothing is said. Where a start value of the model is
/// overridden, that of its derivative must be too, by the direction's component along it.
///
/// # Errors
/// [`TangentError`] where an event's time depends on the state or on a moved parameter.
pub fn tangent(model: &FlatModel, moved: &[usize]) -> Result<FlatModel, TangentError> {
    let (n, count) = (model.states.len(), model.params.len());
    if let Some(&index) = moved.iter().find(|&&index| index >= count) {
        return Err(TangentError::Param { index, count });
    }
    let mut tangent = model.clone();
    tangent.name = format!("{} along a direction", model.name);
    let mut along = Along { n_states: n as u32, n_params: count as u32, place: vec![None; count] };
    moved.iter().enumerate().for_each(|(j, &param)| along.place[param] = Some(j as u32));

    let dag = &mut tangent.dag;
    let slopes = along.nodes(dag, &model.times);
    for event in &model.events {
        let is_fixed = match event.event.trigger {
            Trigger::At { time_idx } => slopes[time_idx] == Dag::ZERO,
            Trigger::Every { from_idx, period_idx, until_idx: _ } => {
                slopes[from_idx] == Dag::ZERO && slopes[period_idx] == Dag::ZERO
            }
            Trigger::Rising { .. } | Trigger::Crossing { .. } => false,
        };
        if !is_fixed {
            return Err(TangentError::MovingEvent { event: event.description.clone() });
        }
    }
    let rhs: Vec<NodeId> = model.states.iter().map(|s| if s.is_discrete { Dag::ZERO } else { s.rhs }).collect();
    let rhs = along.nodes(dag, &rhs);
    let initial = along.nodes(dag, &model.states.iter().map(|s| s.initial).collect::<Vec<_>>());
    for (state, (rhs, initial)) in model.states.iter().zip(rhs.into_iter().zip(initial)) {
        tangent.states.push(State {
            quantity: derived(&state.quantity),
            is_discrete: state.is_discrete,
            is_species: false,
            initial,
            is_start_read: false,
            rhs,
            equation: state.equation,
        });
    }
    for &param in moved {
        tangent.params.push(Param { quantity: derived(&model.params[param].quantity), value: 0.0, prior: None });
    }
    tangent.outputs.extend(along.nodes(dag, &model.outputs));
    for (event, source) in tangent.events.iter_mut().zip(&model.events) {
        let values = along.nodes(dag, &source.jumps.iter().map(|jump| jump.value).collect::<Vec<_>>());
        for (jump, slope) in source.jumps.iter().zip(values) {
            let state = jump.state + n as u32;
            let (op, value) = match jump.op {
                AssignOp::Set | AssignOp::Add | AssignOp::Subtract => (jump.op, slope),
                AssignOp::Multiply => {
                    let (x, s) = (dag.leaf(Leaf::State(jump.state)), dag.leaf(Leaf::State(state)));
                    let (kept, gained) = (dag.mul(s, jump.value), dag.mul(x, slope));
                    (AssignOp::Set, dag.add(kept, gained))
                }
            };
            event.jumps.push(Jump { state, op, value });
        }
    }
    if tangent.dag.is_full() { Err(TangentError::TooLarge) } else { Ok(tangent) }
}

/// The direction, as leaves of the new model.
struct Along {
    n_states: u32,
    n_params: u32,
    /// The place of each parameter among the moved ones.
    place: Vec<Option<u32>>,
}

impl Along {
    fn nodes(&self, dag: &mut Dag, nodes: &[NodeId]) -> Vec<NodeId> {
        let states: Vec<NodeId> = (0..self.n_states).map(|k| dag.leaf(Leaf::State(self.n_states + k))).collect();
        let moved = |place: &Option<u32>| place.map(|j| dag.leaf(Leaf::Param(self.n_params + j)));
        let params: Vec<Option<NodeId>> = self.place.iter().map(moved).collect();
        directional(dag, nodes, |leaf| match leaf {
            Leaf::State(k) => states.get(k as usize).copied(),
            Leaf::Param(k) => params.get(k as usize).copied().flatten(),
            Leaf::Time | Leaf::Input(_) | Leaf::Disturbance(_) | Leaf::Direction(_) | Leaf::DirectionTime => None,
        })
    }
}

/// The quantity's derivative: of either sign, without a doc of its own.
fn derived(quantity: &Quantity) -> Quantity {
    Quantity {
        name: format!("d {}", quantity.name),
        doc: String::new(),
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
        ..quantity.clone()
    }
}
