//! What sharing reciprocals would bring: a/d, b/d, c/d computed as products with one 1/d. Kernels do not do it; these
//! numbers say why.

use std::collections::HashMap;
use std::hint::black_box;

use twinc::expr::{BinaryOp, Dag, Node, NodeId};
use twinc::jit::{Compiler, Kernels, Options, Plan, PlanOptions};
use twinc::system::{At, Work};

use super::{model, time};

/// Quotients by one denominator from which on they share its reciprocal.
const FEWEST: usize = 3;

/// The nodes again in a graph of their own, with and without shared reciprocals, and how many quotients share one.
fn rewritten(dag: &Dag, nodes: &[NodeId], is_shared: bool) -> (Dag, Vec<NodeId>, usize) {
    let order = dag.reachable(nodes);
    let mut uses: HashMap<NodeId, usize> = HashMap::new();
    for &id in &order {
        if let Node::Binary(BinaryOp::Div, _, below) = dag.node(id) {
            *uses.entry(below).or_default() += 1;
        }
    }
    let mut n_shared = 0;
    let mut new = Dag::new();
    let mut image: HashMap<NodeId, NodeId> = HashMap::new();
    for id in order {
        let at = |operand: NodeId| image[&operand];
        let copy = match dag.node(id) {
            Node::Const(bits) => new.constant(f64::from_bits(bits)),
            Node::Leaf(leaf) => new.leaf(leaf),
            Node::Unary(op, a) => new.unary(op, at(a)),
            Node::Binary(BinaryOp::Div, a, b) if uses[&b] >= FEWEST => {
                n_shared += 1;
                if is_shared {
                    let reciprocal = new.div(Dag::ONE, at(b));
                    new.mul(at(a), reciprocal)
                } else {
                    new.div(at(a), at(b))
                }
            }
            Node::Binary(op, a, b) => new.binary(op, at(a), at(b)),
            Node::PowI(a, n) => new.powi(at(a), n),
            Node::Sum(sum) => {
                let terms: Vec<(f64, NodeId)> = dag.terms(sum).iter().map(|t| (t.coefficient, at(t.node))).collect();
                new.sum(&terms)
            }
            Node::Compare(op, a, b) => new.compare(op, at(a), at(b)),
            Node::Select { condition, then, otherwise } => new.select(at(condition), at(then), at(otherwise)),
        };
        image.insert(id, copy);
    }
    let outputs = nodes.iter().map(|id| image[id]).collect();
    (new, outputs, n_shared)
}

/// Prints, for every shipped model that has such quotients, what the kernels cost with and without.
pub fn shared_reciprocals() {
    const MODELS: [&str; 21] = [
        "arenstorf",
        "bergman",
        "brusselator",
        "cartpole",
        "cstr",
        "e5",
        "hires",
        "hovorka",
        "ipsc",
        "linear_chain",
        "lotka_volterra",
        "medical_akzo",
        "michaelis_menten",
        "oregonator",
        "pleiades",
        "pollution",
        "repressilator",
        "ring_modulator",
        "robertson",
        "stat5",
        "vdpol",
    ];
    let compiler = Compiler::new().expect("this machine has a back end");
    for name in MODELS {
        let model = model(&format!("{name}.twin"), &[]);
        let kernels = Kernels::compile(model.clone(), &Options::default()).expect("the kernels compile");
        let rhs: Vec<NodeId> = model.states.iter().map(|s| s.rhs).collect();
        let jacobian = kernels.jacobian_nodes().1.to_vec();
        for (what, nodes) in [("rhs", rhs), ("jacobian", jacobian)] {
            let [(divided, mut work), (shared, mut work2)] = [false, true].map(|is_shared| {
                let (dag, outputs, n_shared) = rewritten(&kernels.dag(), &nodes, is_shared);
                let plan = Plan::new(&dag, &outputs, &PlanOptions::default());
                let kernel = compiler.compile(&[plan]).expect("the kernel compiles").remove(0);
                let work = Work { scratch: vec![0.0; kernel.n_slots()] };
                ((kernel, n_shared), work)
            });
            let n_shared = shared.1;
            if n_shared == 0 {
                continue;
            }
            let x: Vec<f64> = (0..model.states.len()).map(|i| 0.9 + 0.07 * i as f64).collect();
            let p: Vec<f64> = model.params.iter().map(|p| p.value).collect();
            let u = vec![0.5; model.inputs.len()];
            let d = vec![0.5; 64];
            let at = || At { t: 0.3, x: black_box(&x), u: &u, d: &d, p: black_box(&p) };
            let (mut out, mut out2) = (vec![0.0; nodes.len()], vec![0.0; nodes.len()]);
            let [by_quotients, by_products] = time(
                1_000,
                [&mut |n| (0..n).for_each(|_| divided.0.call(at(), &mut work, black_box(&mut out))), &mut |n| {
                    (0..n).for_each(|_| shared.0.call(at(), &mut work2, black_box(&mut out2)))
                }],
            );
            println!(
                "reciprocals, {name} {what}: {n_shared} of {} quotients share; {by_quotients:.1} ns, shared \
                 {by_products:.1} ns, ratio {:.2}",
                Plan::new(&kernels.dag(), &nodes, &PlanOptions::default()).op_counts().get("div"),
                by_products / by_quotients
            );
        }
    }
}
