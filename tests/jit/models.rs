//! Flat models built by hand.

use std::sync::Arc;

use twinc::expr::{Dag, Leaf, NodeId, UnaryOp};
use twinc::flat::{FlatEvent, FlatModel, Input, Jump, Param, Quantity, State};
use twinc::source::{SourceId, Span};
use twinc::syntax::ast::AssignOp;
use twinc::system::{Event, Trigger};

pub fn span() -> Span {
    Span::new(SourceId(0), 0, 0)
}

fn quantity(name: String) -> Quantity {
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    Quantity { name, unit: String::new(), doc: String::new(), low, high, span: span() }
}

/// A model with this graph, these start values and these derivatives; states without either are discrete.
pub fn model(dag: Dag, initial: &[NodeId], rhs: &[NodeId], n_params: usize, n_inputs: usize) -> FlatModel {
    let states = initial.iter().enumerate().map(|(k, &initial)| State {
        quantity: quantity(format!("x{k}")),
        is_discrete: k >= rhs.len(),
        is_species: false,
        initial,
        is_start_read: false,
        equation: None,
        rhs: rhs.get(k).copied().unwrap_or(Dag::ZERO),
    });
    let input = |name: String| Input { quantity: quantity(name), value: 0.0 };
    FlatModel {
        name: "test".to_owned(),
        doc: String::new(),
        time_unit: String::new(),
        states: states.collect(),
        params: (0..n_params).map(|k| Param { quantity: quantity(format!("p{k}")), value: 1.0, prior: None }).collect(),
        inputs: (0..n_inputs).map(|k| input(format!("u{k}"))).collect(),
        disturbances: (0..n_inputs).map(|k| input(format!("d{k}"))).collect(),
        dag,
        lets: Vec::new(),
        safe: Vec::new(),
        observables: Vec::new(),
        outputs: Vec::new(),
        reactions: Vec::new(),
        events: Vec::new(),
        times: Vec::new(),
        roots: Vec::new(),
        conserved: Vec::new(),
        expectations: Vec::new(),
        noises: Vec::new(),
        diffusion: Vec::new(),
        jumps: None,
    }
}

pub fn event(trigger: Trigger, jumps: Vec<Jump>) -> FlatEvent {
    let event = Event { trigger, has_reset: !jumps.is_empty() };
    FlatEvent { event, jumps, dilutions: Vec::new(), description: String::new(), span: span() }
}

pub fn jump(state: u32, op: AssignOp, value: NodeId) -> Jump {
    Jump { state, op, value }
}

/// Three states and a discrete one, with every kind of derivative: mass action, saturation, exponentials of states,
/// inputs, disturbances, time, a conditional, a clip, powers.
pub fn rich() -> Arc<FlatModel> {
    let mut dag = Dag::new();
    let t = dag.leaf(Leaf::Time);
    let [a, b, c, mode] = [0, 1, 2, 3].map(|k| dag.leaf(Leaf::State(k)));
    let [k0, k1, k2] = [0, 1, 2].map(|k| dag.leaf(Leaf::Param(k)));
    let (u, d) = (dag.leaf(Leaf::Input(0)), dag.leaf(Leaf::Disturbance(0)));

    let ab = dag.mul(a, b);
    let bind = dag.mul(k0, ab);
    let half = dag.add(k1, c);
    let top = dag.mul(k2, c);
    let saturate = dag.div(top, half);
    let minus_t = dag.neg(t);
    let decay = dag.unary(UnaryOp::Exp, minus_t);
    let scaled_b = dag.scale(-0.5, b);
    let hot = dag.unary(UnaryOp::Exp, scaled_b);
    let wave = dag.unary(UnaryOp::Sin, t);
    let tanh_c = dag.unary(UnaryOp::Tanh, c);
    let ln_a = dag.unary(UnaryOp::Ln, a);
    let drive = dag.mul(u, wave);
    let is_on = dag.compare(twinc::expr::Compare::Lt, a, half);
    let switched = dag.select(is_on, decay, tanh_c);
    let clipped = dag.binary(twinc::expr::BinaryOp::Max, ln_a, d);
    let cube = dag.powi(b, 3);
    let power = dag.pow(c, k1);
    let with_mode = dag.mul(mode, hot);
    let rhs = [
        dag.sum(&[(-1.0, bind), (1.0, saturate), (1.0, drive), (0.25, switched)]),
        dag.sum(&[(-1.0, bind), (-0.125, cube), (1.0, clipped), (1.0, d)]),
        dag.sum(&[(1.0, bind), (-1.0, saturate), (1.0, with_mode), (-0.1, power)]),
    ];
    let k1k2 = dag.mul(k1, k2);
    let two = dag.constant(2.0);
    let initial = [k0, k1k2, two, Dag::ONE];
    let output = dag.sum(&[(1.0, ab), (2.0, k2)]);
    let log_output = dag.unary(UnaryOp::Ln, output);
    let root_time = dag.sum(&[(1.0, t), (-1.0, k1)]);
    let root_state = dag.sum(&[(1.0, ab), (-1.0, k2)]);
    let late = dag.scale(3.0, k1);
    let dose = dag.mul(k2, t);
    let share = dag.mul(a, c);

    let mut model = model(dag, &initial, &rhs, 3, 1);
    model.outputs = vec![output, log_output, c];
    model.roots = vec![root_time, root_state];
    model.times = vec![k1, late, two];
    model.events = vec![
        event(Trigger::At { time_idx: 0 }, vec![jump(0, AssignOp::Add, dose), jump(3, AssignOp::Set, two)]),
        event(
            Trigger::Rising { root_idx: 1 },
            vec![jump(0, AssignOp::Subtract, share), jump(2, AssignOp::Multiply, b)],
        ),
        event(Trigger::At { time_idx: 1 }, vec![jump(2, AssignOp::Multiply, share), jump(1, AssignOp::Set, dose)]),
        event(Trigger::At { time_idx: 2 }, vec![jump(2, AssignOp::Set, share)]),
        event(Trigger::Crossing { root_idx: 0 }, vec![]),
    ];
    Arc::new(model)
}

/// A chain of saturating steps: n species, n − 1 rates, two parameters each.
pub fn chain(n: u32) -> Arc<FlatModel> {
    let mut dag = Dag::new();
    let x: Vec<NodeId> = (0..n).map(|i| dag.leaf(Leaf::State(i))).collect();
    let mut rates = Vec::new();
    for i in 0..n - 1 {
        let (forward, half) = (dag.leaf(Leaf::Param(2 * i)), dag.leaf(Leaf::Param(2 * i + 1)));
        let top = dag.mul(forward, x[i as usize]);
        let bottom = dag.add(half, x[i as usize]);
        rates.push(dag.div(top, bottom));
    }
    let rhs: Vec<NodeId> = (0..n as usize)
        .map(|i| {
            let before = i.checked_sub(1).map(|k| (1.0, rates[k]));
            let after = rates.get(i).map(|&rate| (-1.0, rate));
            dag.sum(&before.into_iter().chain(after).collect::<Vec<_>>())
        })
        .collect();
    let initial = vec![Dag::ONE; n as usize];
    Arc::new(model(dag, &initial, &rhs, 2 * (n as usize - 1), 0))
}

/// A line of n cells with two substances that react and diffuse; all of the first, then all of the second.
pub fn cells(n: u32) -> Arc<FlatModel> {
    let mut dag = Dag::new();
    let u: Vec<NodeId> = (0..n).map(|i| dag.leaf(Leaf::State(i))).collect();
    let v: Vec<NodeId> = (0..n).map(|i| dag.leaf(Leaf::State(n + i))).collect();
    let (speed, feed) = (dag.leaf(Leaf::Param(0)), dag.leaf(Leaf::Param(1)));
    let mut rows = Vec::new();
    for (this, sign) in [(&u, 1.0), (&v, -1.0)] {
        for i in 0..n as usize {
            let left = i.checked_sub(1).map_or(Dag::ONE, |k| this[k]);
            let right = this.get(i + 1).copied().unwrap_or(Dag::ONE);
            let spread = dag.sum(&[(1.0, left), (-2.0, this[i]), (1.0, right)]);
            let spread = dag.mul(speed, spread);
            let square = dag.powi(u[i], 2);
            let react = dag.mul(square, v[i]);
            rows.push(dag.sum(&[(1.0, feed), (sign, react), (-4.0, u[i]), (1.0, spread)]));
        }
    }
    let initial = vec![Dag::ONE; 2 * n as usize];
    Arc::new(model(dag, &initial, &rows, 2, 0))
}

/// A network without order: reactions of one or two species that make a third, one parameter each.
pub fn network(n_species: u32, n_reactions: u32) -> Arc<FlatModel> {
    let mut dag = Dag::new();
    let x: Vec<NodeId> = (0..n_species).map(|i| dag.leaf(Leaf::State(i))).collect();
    let mut draws = 12_345u64;
    let mut draw = || {
        draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draws >> 33) as usize % n_species as usize
    };
    let mut rows: Vec<Vec<(f64, NodeId)>> = vec![Vec::new(); n_species as usize];
    for r in 0..n_reactions {
        let (a, b, c) = (draw(), draw(), draw());
        let constant = dag.leaf(Leaf::Param(r));
        let mut rate = dag.mul(constant, x[a]);
        if r % 5 != 0 {
            rate = dag.mul(rate, x[b]);
            rows[b].push((-1.0, rate));
        }
        rows[a].push((-1.0, rate));
        rows[c].push((1.0, rate));
    }
    let rhs: Vec<NodeId> = rows.iter().map(|row| dag.sum(row)).collect();
    let initial = vec![Dag::ONE; n_species as usize];
    Arc::new(model(dag, &initial, &rhs, n_reactions as usize, 0))
}
