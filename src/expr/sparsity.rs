//! Gradients of many roots to a sparse matrix: its pattern, and the nodes of its entries in the pattern's order.

use super::dag::NodeId;
use crate::linalg::CscPattern;

/// The pattern of the matrix whose row i has the entries `rows[i]` (`(column, node)`, as
/// [`gradients`](super::gradients) returns them), and the nodes in the pattern's order of values (length
/// `pattern.nnz()`).
///
/// # Panics
/// Where a column is not below `n_cols`.
pub fn pattern(rows: &[Vec<(u32, NodeId)>], n_cols: usize) -> (CscPattern, Vec<NodeId>) {
    let entries = || {
        let row = |(i, row): (usize, &'_ Vec<(u32, NodeId)>)| {
            row.iter().map(|&(column, node)| (i, column as usize, node)).collect::<Vec<_>>()
        };
        rows.iter().enumerate().flat_map(row)
    };
    let pattern = CscPattern::from_entries(rows.len(), n_cols, entries().map(|(row, column, _)| (row, column)));
    // Rows come in ascending order, so that each column is filled from its start.
    let mut next = pattern.col_ptr().to_vec();
    let mut nodes = vec![NodeId(0); pattern.nnz()];
    for (_, column, node) in entries() {
        nodes[next[column]] = node;
        next[column] += 1;
    }
    (pattern, nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Dag, Leaf, Wrt, gradients};

    #[test]
    fn values_stand_in_the_order_of_the_pattern() {
        let mut dag = Dag::new();
        let x: Vec<NodeId> = (0..3).map(|k| dag.leaf(Leaf::State(k))).collect();
        let product = dag.mul(x[0], x[2]);
        let root = dag.sum(&[(3.0, x[1]), (1.0, product)]);
        let rows = gradients(&mut dag, &[product, root], Wrt::States);
        let (pattern, nodes) = pattern(&rows, 3);
        assert_eq!((pattern.n_rows(), pattern.n_cols(), pattern.nnz()), (2, 3, 5));
        assert_eq!(pattern.position(0, 1), None);
        assert_eq!(nodes[pattern.position(0, 0).unwrap()], x[2]);
        assert_eq!(nodes[pattern.position(1, 2).unwrap()], x[0]);
        assert_eq!(dag.as_const(nodes[pattern.position(1, 1).unwrap()]), Some(3.0));
    }
}
