//! Columns of a sparse matrix to groups that share no row, so that one directional derivative gives a whole group.
//!
//! Greedy distance-1 coloring of the column intersection graph in the order "largest degree first" (Curtis, Powell
//! and Reid 1974; Welsh and Powell 1967). The degree counts a neighbor once per shared row, which orders almost as
//! well as the true degree and is linear to find.

use crate::linalg::CscPattern;

/// A partition of the columns: no two columns of one color have a structural nonzero in the same row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coloring {
    /// The color of each column, from 0; empty columns have color 0.
    pub colors: Vec<usize>,
    /// Number of colors: products needed for the whole matrix. 0 only for a matrix without entries.
    pub n_colors: usize,
}

impl Coloring {
    /// Colors the columns of `pattern`. Equal patterns give equal colors.
    pub fn new(pattern: &CscPattern) -> Self {
        let mut row_lengths = vec![0usize; pattern.n_rows()];
        for &row in pattern.row_idx() {
            row_lengths[row] += 1;
        }
        let degree = |col: usize| -> usize { pattern.column(col).map(|(row, _)| row_lengths[row] - 1).sum() };
        let mut order: Vec<(usize, usize)> = (0..pattern.n_cols()).map(|col| (degree(col), col)).collect();
        order.sort_by_key(|&(degree, col)| (std::cmp::Reverse(degree), col));

        // One set of used colors per row, 64 colors a word; a column's forbidden colors are the union over its rows.
        let mut used: Vec<Vec<u64>> = vec![Vec::new(); pattern.n_rows()];
        let mut forbidden: Vec<u64> = Vec::new();
        let mut colors = vec![0; pattern.n_cols()];
        let mut n_colors = 0;
        for (_, col) in order {
            forbidden.clear();
            for (row, _) in pattern.column(col) {
                let words = &used[row];
                if forbidden.len() < words.len() {
                    forbidden.resize(words.len(), 0);
                }
                forbidden.iter_mut().zip(words).for_each(|(f, w)| *f |= w);
            }
            let full_words = forbidden.iter().take_while(|word| **word == u64::MAX).count();
            let bit = forbidden.get(full_words).map_or(0, |word| word.trailing_ones() as usize);
            let color = full_words * 64 + bit;
            colors[col] = color;
            for (row, _) in pattern.column(col) {
                if used[row].len() <= full_words {
                    used[row].resize(full_words + 1, 0);
                }
                used[row][full_words] |= 1 << bit;
                n_colors = n_colors.max(color + 1);
            }
        }
        Coloring { colors, n_colors }
    }

    /// The seed of one color: `direction: n_cols` = 1 in its columns, 0 elsewhere.
    pub fn seed(&self, color: usize, direction: &mut [f64]) {
        for (value, &c) in direction.iter_mut().zip(&self.colors) {
            *value = f64::from(c == color);
        }
    }

    /// Spreads `product: n_rows` = A · seed(color) into the color's entries of `values: nnz` of A.
    pub fn decompress(&self, pattern: &CscPattern, color: usize, product: &[f64], values: &mut [f64]) {
        for col in (0..self.colors.len()).filter(|&col| self.colors[col] == color) {
            for (row, k) in pattern.column(col) {
                values[k] = product[row];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;
    use rand::Rng as _;

    fn random_pattern(seed: u64) -> CscPattern {
        let mut rng = stream(seed, 0);
        let (rows, cols) = (rng.random_range(1..60), rng.random_range(1..60));
        let n_entries = rng.random_range(0..rows * cols);
        let entries: Vec<_> = (0..n_entries).map(|_| (rng.random_range(0..rows), rng.random_range(0..cols))).collect();
        CscPattern::from_entries(rows, cols, entries)
    }

    #[test]
    fn columns_of_one_color_share_no_row() {
        for seed in 0..50 {
            let pattern = random_pattern(seed);
            let coloring = Coloring::new(&pattern);
            for color in 0..coloring.n_colors {
                let mut is_taken = vec![false; pattern.n_rows()];
                for col in (0..pattern.n_cols()).filter(|&col| coloring.colors[col] == color) {
                    for (row, _) in pattern.column(col) {
                        assert!(!std::mem::replace(&mut is_taken[row], true), "seed {seed}, row {row}");
                    }
                }
            }
        }
    }

    #[test]
    fn compressed_products_give_the_matrix_back() {
        for seed in 0..20 {
            let pattern = random_pattern(seed);
            let values: Vec<f64> = (0..pattern.nnz()).map(|k| k as f64 + 1.0).collect();
            let coloring = Coloring::new(&pattern);
            let mut found = vec![0.0; pattern.nnz()];
            let mut direction = vec![0.0; pattern.n_cols()];
            for color in 0..coloring.n_colors {
                coloring.seed(color, &mut direction);
                let mut product = vec![0.0; pattern.n_rows()];
                pattern.mul_add(&values, &direction, &mut product);
                coloring.decompress(&pattern, color, &product, &mut found);
            }
            assert_eq!(found, values);
        }
    }

    #[test]
    fn banded_matrices_need_as_many_colors_as_the_band_is_wide() {
        for (below, above) in [(0usize, 0usize), (1, 1), (2, 3), (0, 4)] {
            let n = 200;
            let entries = (0..n)
                .flat_map(|col: usize| (col.saturating_sub(above)..n.min(col + below + 1)).map(move |r| (r, col)));
            let coloring = Coloring::new(&CscPattern::from_entries(n, n, entries));
            // Optimal: the longest row has below + above + 1 entries. Largest-first may need a color more where the
            // ends of the band, colored last, meet; on these it does not.
            assert_eq!(coloring.n_colors, below + above + 1);
        }
    }

    #[test]
    fn dense_and_empty_matrices_have_the_obvious_colors() {
        assert_eq!(Coloring::new(&CscPattern::dense(3, 130)).n_colors, 130);
        assert_eq!(Coloring::new(&CscPattern::empty(3, 4)).n_colors, 0);
    }
}
