//! Orders of elimination for a square pattern: of small fill, and of small bandwidth.
//!
//! Small systems are ordered by Markowitz's rule with pivots on the diagonal (Markowitz 1957, The elimination form of
//! the inverse; Duff, Erisman and Reid 2017, Direct Methods for Sparse Matrices, section 7.2): it sees the unsymmetric
//! pattern, and the Jacobians of reaction networks are quite unsymmetric. Large ones take an approximate minimum degree
//! order of the pattern made symmetric (Amestoy, Davis and Duff 1996; faer's). Bands are found by the order of Cuthill
//! and McKee 1969 from a vertex at the rim of the graph (George and Liu 1979).

use super::CscPattern;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::SymbolicSparseColMatRef;
use faer::sparse::linalg::amd;

/// Up to this order Markowitz's rule is used: it takes time in proportion to the square of the order.
const MARKOWITZ_ORDER: usize = 256;

/// The original index at each place of an order with small fill. `None` where the memory for that cannot be had.
pub(super) fn small_fill(pattern: &CscPattern) -> Option<Vec<usize>> {
    if pattern.n_cols() <= MARKOWITZ_ORDER { Some(markowitz(pattern)) } else { minimum_degree(pattern) }
}

/// A set of indices as bits.
#[derive(Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(n: usize) -> Self {
        Bits(vec![0; n.div_ceil(64)])
    }

    fn insert(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }

    fn remove(&mut self, i: usize) {
        self.0[i / 64] &= !(1 << (i % 64));
    }

    fn unite(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(k, &word)| {
            std::iter::successors(Some(word), |w| Some(w & w.wrapping_sub(1)))
                .take_while(|w| *w != 0)
                .map(move |w| 64 * k + w.trailing_zeros() as usize)
        })
    }
}

/// Greedy: next comes the diagonal entry whose row and column have the smallest product of other entries.
fn markowitz(pattern: &CscPattern) -> Vec<usize> {
    let n = pattern.n_cols();
    let (mut rows, mut cols) = (vec![Bits::new(n); n], vec![Bits::new(n); n]);
    for (col, of_col) in cols.iter_mut().enumerate() {
        for (row, _) in pattern.column(col).filter(|&(row, _)| row != col) {
            rows[row].insert(col);
            of_col.insert(row);
        }
    }
    let mut left: Vec<usize> = (0..n).collect();
    let mut order = Vec::with_capacity(n);
    let mut costs: Vec<u32> = (0..n).map(|i| rows[i].len() * cols[i].len()).collect();
    while let Some((at, &pivot)) = left.iter().enumerate().min_by_key(|&(_, &i)| costs[i]) {
        left.remove(at);
        order.push(pivot);
        let (row, col) =
            (std::mem::replace(&mut rows[pivot], Bits::new(n)), std::mem::replace(&mut cols[pivot], Bits::new(n)));
        for i in col.iter() {
            rows[i].unite(&row);
            rows[i].remove(i);
            rows[i].remove(pivot);
        }
        for j in row.iter() {
            cols[j].unite(&col);
            cols[j].remove(j);
            cols[j].remove(pivot);
        }
        for i in col.iter().chain(row.iter()) {
            costs[i] = rows[i].len() * cols[i].len();
        }
    }
    order
}

/// An order of small fill for the pattern made symmetric.
fn minimum_degree(pattern: &CscPattern) -> Option<Vec<usize>> {
    let n = pattern.n_cols();
    let view = SymbolicSparseColMatRef::new_checked(n, n, pattern.col_ptr(), None, pattern.row_idx());
    let (mut order, mut inverse) = (vec![0; n], vec![0; n]);
    let need = amd::order_maybe_unsorted_scratch::<usize>(n, pattern.nnz());
    let mut memory = MemBuffer::try_new(need).ok()?;
    let stack = MemStack::new(&mut memory);
    amd::order_maybe_unsorted(&mut order, &mut inverse, view, amd::Control::default(), stack).ok()?;
    Some(order)
}

/// An order of small bandwidth and its half bandwidth: the given order where that is as good.
pub(super) fn small_bandwidth(pattern: &CscPattern) -> (Vec<usize>, usize) {
    let n = pattern.n_cols();
    let given: Vec<usize> = (0..n).collect();
    let order = cuthill_mckee(pattern);
    let (before, after) = (half_bandwidth(pattern, &given), half_bandwidth(pattern, &order));
    if before <= after { (given, before) } else { (order, after) }
}

/// The largest distance of an entry from the diagonal in the given order.
fn half_bandwidth(pattern: &CscPattern, order: &[usize]) -> usize {
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
    let distances = (0..order.len()).flat_map(|col| {
        let place = &place;
        pattern.column(col).map(move |(row, _)| place[row].abs_diff(place[col]))
    });
    distances.max().unwrap_or(0)
}

/// Breadth first, neighbours by rising degree, each component from a vertex as far from the others as is found soon.
fn cuthill_mckee(pattern: &CscPattern) -> Vec<usize> {
    let n = pattern.n_cols();
    let mut near: Vec<Vec<usize>> = vec![Vec::new(); n];
    for col in 0..n {
        for (row, _) in pattern.column(col).filter(|&(row, _)| row != col) {
            near[row].push(col);
            near[col].push(row);
        }
    }
    for list in &mut near {
        list.sort_unstable();
        list.dedup();
    }
    let degrees: Vec<usize> = near.iter().map(Vec::len).collect();
    for list in &mut near {
        list.sort_by_key(|&i| degrees[i]);
    }
    let mut seen = vec![0_u32; n];
    let mut round = 0;
    let mut order = Vec::with_capacity(n);
    for first in 0..n {
        if seen[first] == u32::MAX {
            continue;
        }
        // The last vertex met, of smallest degree in its level, is farther out than the first one; twice suffices here.
        let mut start = first;
        for _ in 0..2 {
            round += 1;
            start = rim(&near, start, round, &mut seen);
        }
        let begin = order.len();
        order.push(start);
        seen[start] = u32::MAX;
        let mut next = begin;
        while let Some(&vertex) = order.get(next) {
            next += 1;
            for &other in &near[vertex] {
                if seen[other] != u32::MAX {
                    seen[other] = u32::MAX;
                    order.push(other);
                }
            }
        }
    }
    order
}

/// A vertex of smallest degree among those farthest from `start`. `seen` gets the number of the round.
fn rim(near: &[Vec<usize>], start: usize, round: u32, seen: &mut [u32]) -> usize {
    let mut level = vec![start];
    seen[start] = round;
    loop {
        let mut next = Vec::new();
        for &vertex in &level {
            for &other in &near[vertex] {
                if seen[other] != round {
                    seen[other] = round;
                    next.push(other);
                }
            }
        }
        if next.is_empty() {
            return level.into_iter().min_by_key(|&i| (near[i].len(), i)).unwrap_or(start);
        }
        level = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_eliminated_last() {
        let arrow = |n: usize| CscPattern::from_entries(n, n, (0..n).flat_map(|i| [(i, i), (0, i), (i, 0)]));
        for n in [50, 300] {
            let order = small_fill(&arrow(n)).expect("memory");
            assert!(order[n - 2..].contains(&0), "{:?}", &order[n - 2..]);
        }
    }

    #[test]
    fn two_species_on_a_line_are_interleaved() {
        // First all u, then all v: neighbours are coupled within a species, the species within a cell.
        let cells = 30;
        let entries = (0..cells).flat_map(|i| {
            let near = [i.max(1) - 1, i, (i + 1).min(cells - 1)];
            near.into_iter().flat_map(move |j| [(i, j), (cells + i, cells + j)]).chain([(i, cells + i), (cells + i, i)])
        });
        let pattern = CscPattern::from_entries(2 * cells, 2 * cells, entries);
        let (order, half) = small_bandwidth(&pattern);
        assert_eq!(half, 2);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..2 * cells).collect::<Vec<_>>());
    }

    #[test]
    fn every_component_is_ordered() {
        let pattern = CscPattern::from_entries(7, 7, [(0, 3), (3, 6), (1, 1), (2, 5)]);
        let (mut order, half) = small_bandwidth(&pattern);
        assert_eq!(half, 1);
        order.sort_unstable();
        assert_eq!(order, (0..7).collect::<Vec<_>>());
        assert_eq!(small_fill(&pattern).map(|order| order.len()), Some(7));
    }
}
