//! Large reaction networks: size of the graph and of its derivatives.

use twinc::expr::sparsity::pattern;
use twinc::expr::{Coloring, Dag, Leaf, NodeId, Wrt, gradients};

/// A ring of n species: A_i + A_(i+1) -> A_(i+2), each rate saturated, with one rate constant and one Km a reaction.
fn ring(dag: &mut Dag, n: u32) -> Vec<NodeId> {
    let x: Vec<NodeId> = (0..n).map(|k| dag.leaf(Leaf::State(k))).collect();
    let mut terms = vec![Vec::new(); n as usize];
    for i in 0..n as usize {
        let (j, l) = ((i + 1) % x.len(), (i + 2) % x.len());
        let (k, km) = (dag.leaf(Leaf::Param(2 * i as u32)), dag.leaf(Leaf::Param(2 * i as u32 + 1)));
        let product = dag.mul(x[i], x[j]);
        let (above, below) = (dag.mul(k, product), dag.add(km, x[i]));
        let rate = dag.div(above, below);
        terms[i].push((-1.0, rate));
        terms[j].push((-1.0, rate));
        terms[l].push((1.0, rate));
    }
    terms.iter().map(|row| dag.sum(row)).collect()
}

#[test]
fn the_graph_grows_linearly_with_the_network() {
    let nodes = |n: u32| {
        let mut dag = Dag::new();
        let roots = ring(&mut dag, n);
        let states = gradients(&mut dag, &roots, Wrt::States);
        gradients(&mut dag, &roots, Wrt::Params);
        assert_eq!(states.iter().map(Vec::len).max(), Some(4));
        dag.len()
    };
    let (small, large) = (nodes(1_000), nodes(10_000));
    assert!(large < 11 * small, "{small} {large}");
}

#[test]
fn jacobians_of_rings_have_few_colors() {
    let mut dag = Dag::new();
    let roots = ring(&mut dag, 300);
    let rows = gradients(&mut dag, &roots, Wrt::States);
    let (pattern, nodes) = pattern(&rows, 300);
    assert_eq!(pattern.nnz(), nodes.len());
    let coloring = Coloring::new(&pattern);
    assert!((4..=6).contains(&coloring.n_colors), "{}", coloring.n_colors);
}

#[test]
fn a_species_in_every_reaction_costs_no_more_than_its_row() {
    let n = 20_000;
    let mut dag = Dag::new();
    let hub = dag.leaf(Leaf::State(n));
    let rates: Vec<(f64, NodeId)> = (0..n)
        .map(|k| {
            let x = dag.leaf(Leaf::State(k));
            (-1.0, dag.mul(hub, x))
        })
        .collect();
    let root = dag.sum(&rates);
    let before = dag.len();
    let row = gradients(&mut dag, &[root], Wrt::States).remove(0);
    assert_eq!(row.len(), n as usize + 1);
    // -hub for every other species, and the sum of these for the hub.
    assert_eq!(dag.len(), before + 2);
}
