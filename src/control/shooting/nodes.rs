//! The bounds of the nodes: few different sets, and which node has which.

use super::problem::{Bounds, Fixed, RowBound};
use crate::system::StageKind;
use crate::system::stages::{Limits, Softness};

/// The bounds of some nodes.
#[derive(Debug, Clone, Default)]
pub(super) struct LimitSet {
    x_lower: Vec<f64>,
    x_upper: Vec<f64>,
    u_lower: Vec<f64>,
    u_upper: Vec<f64>,
    pub row_lower: Vec<f64>,
    row_upper: Vec<f64>,
    row_softness: Vec<Softness>,
}

impl LimitSet {
    pub fn limits(&self) -> Limits<'_> {
        Limits {
            x_lower: &self.x_lower,
            x_upper: &self.x_upper,
            u_lower: &self.u_lower,
            u_upper: &self.u_upper,
            row_lower: &self.row_lower,
            row_upper: &self.row_upper,
            row_softness: &self.row_softness,
        }
    }

    fn push_row(&mut self, RowBound { lower, upper, softness }: RowBound) {
        self.row_lower.push(lower);
        self.row_upper.push(upper);
        self.row_softness.push(softness);
    }
}

/// What tells sets apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    is_root: bool,
    kind: StageKind,
    n_children: usize,
}

/// All sets.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeSets {
    keys: Vec<Key>,
    sets: Vec<LimitSet>,
    of_node: Vec<usize>,
    n_inner: usize,
    /// The states that are bounded inside the steps.
    pub bounded: Vec<usize>,
}

impl NodeSets {
    /// Sets for the problem's bounds; `n_inner` points lie inside each step at which they hold too.
    pub fn new(fixed: &Fixed, n_inner: usize) -> NodeSets {
        let mut sets = NodeSets { n_inner, ..NodeSets::default() };
        let Bounds { x_lower, x_upper, .. } = &fixed.problem.bounds;
        if n_inner > 0 {
            let is_bounded = |&k: &usize| x_lower[k].is_finite() || x_upper[k].is_finite();
            sets.bounded = (0..x_lower.len()).filter(is_bounded).collect();
        }
        for node in 0..fixed.problem.tree.n_nodes() {
            let key = Key { is_root: node == 0, kind: fixed.kind(node), n_children: fixed.n_children(node) };
            let known = sets.keys.iter().position(|k| *k == key);
            sets.of_node.push(known.unwrap_or(sets.keys.len()));
            if known.is_none() {
                sets.keys.push(key);
            }
        }
        sets.fill(fixed, &fixed.problem.bounds);
        sets
    }

    /// Takes other bounds. Which states are bounded inside the steps stays as it was.
    pub fn fill(&mut self, fixed: &Fixed, bounds: &Bounds) {
        self.sets.clear();
        for key in &self.keys {
            let mut set =
                LimitSet { u_lower: bounds.u_lower.clone(), u_upper: bounds.u_upper.clone(), ..LimitSet::default() };
            let (lower, upper, rows) = match key.kind {
                StageKind::Running => (&bounds.x_lower, &bounds.x_upper, &bounds.rows),
                StageKind::Final => (&bounds.x_lower_last, &bounds.x_upper_last, &bounds.rows_last),
            };
            set.x_lower.extend_from_slice(lower);
            set.x_upper.extend_from_slice(upper);
            set.x_lower.resize(fixed.dims.n_states, f64::NEG_INFINITY);
            set.x_upper.resize(fixed.dims.n_states, f64::INFINITY);
            if let (true, Some(free), Some(length)) = (key.is_root, fixed.problem.free_step, fixed.layout.length()) {
                set.x_lower[length] = free.lower;
                set.x_upper[length] = free.upper;
            }
            let pattern = fixed.problem.functions.row_pattern(key.kind);
            for (row, bound) in rows.iter().enumerate() {
                // The root's state is given: a hard bound on it alone could only make every plan impossible.
                let reads_input = |input| pattern.position(row, fixed.layout.shape.n_states + input).is_some();
                let is_given = key.is_root
                    && bound.softness == Softness::Hard
                    && fixed.problem.free_step.is_none()
                    && !(0..bounds.u_lower.len()).any(reads_input);
                let free = RowBound { lower: f64::NEG_INFINITY, upper: f64::INFINITY, softness: Softness::Hard };
                set.push_row(if is_given { free } else { *bound });
            }
            for _ in 0..key.n_children * self.n_inner {
                for &state in &self.bounded {
                    let (lower, upper) = (bounds.x_lower[state], bounds.x_upper[state]);
                    set.push_row(RowBound { lower, upper, softness: Softness::Hard });
                }
            }
            self.sets.push(set);
        }
    }

    /// The set of a node.
    #[inline(always)]
    pub fn of(&self, node: usize) -> &LimitSet {
        &self.sets[self.of_node[node]]
    }
}
