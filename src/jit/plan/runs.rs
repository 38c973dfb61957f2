//! Where the entries of rows advance by equal strides: runs, also where several are interleaved.

use super::template::HoleKind;

/// More runs than this, if they are short, become one loop with tables: each is code of its own.
const MOST_SHORT_RUNS: usize = 8;
/// Mean length from which on runs are not short.
const SHORT_RUN: usize = 64;
/// Sequences that may be interleaved.
const LARGEST_LAG: usize = 8;
/// Rows that show whether they are.
const LAG_SAMPLE: usize = 256;

/// What units put into holes, one row each.
pub(super) struct Rows {
    pub(super) width: usize,
    pub(super) entries: Vec<u64>,
}

impl Rows {
    /// What one row has in one hole.
    pub(super) fn entry(&self, row: usize, hole: usize) -> u64 {
        self.entries[row * self.width + hole]
    }

    /// Number of rows.
    fn len(&self) -> usize {
        self.entries.len().checked_div(self.width).unwrap_or(0)
    }

    /// Lists of rows that advance by equal strides, at least `shortest` long, and the rows in none of them.
    pub(super) fn runs(&self, kinds: &[HoleKind], shortest: usize) -> (Vec<Vec<usize>>, Vec<usize>) {
        let n = self.len();
        let lag = self.lag(kinds);
        let mut runs: Vec<Vec<usize>> = Vec::new();
        let mut rest = Vec::new();
        for phase in 0..lag.min(n) {
            let mut begin = phase;
            while begin < n {
                let mut end = begin + 2 * lag;
                while end < n && self.goes_on(kinds, end, lag) {
                    end += lag;
                }
                let rows = (begin..end.min(n)).step_by(lag);
                if rows.len() >= shortest {
                    runs.push(rows.collect());
                    begin = end;
                } else {
                    // The last row of a short run may begin the next.
                    let n_done = rows.len().max(2) - 1;
                    rest.extend(rows.take(n_done));
                    begin += n_done * lag;
                }
            }
        }
        let n_rows: usize = runs.iter().map(Vec::len).sum();
        if runs.len() > MOST_SHORT_RUNS.max(lag) && n_rows < SHORT_RUN * runs.len() {
            return (Vec::new(), (0..n).collect());
        }
        rest.sort_unstable();
        (runs, rest)
    }

    /// How many sequences are interleaved: the smallest distance at which most rows advance by equal strides.
    fn lag(&self, kinds: &[HoleKind]) -> usize {
        let n = self.len();
        let is_regular = |lag: usize| {
            let rows = 2 * lag..n.min(2 * lag + LAG_SAMPLE);
            let n_rows = rows.len();
            n_rows > 0 && rows.filter(|&row| self.goes_on(kinds, row, lag)).count() * 8 >= n_rows * 7
        };
        (1..=LARGEST_LAG).find(|&lag| is_regular(lag)).unwrap_or(1)
    }

    /// True where row `end` is as far from the row `lag` before as that from its predecessor.
    fn goes_on(&self, kinds: &[HoleKind], end: usize, lag: usize) -> bool {
        kinds.iter().enumerate().all(|(hole, kind)| {
            let at = |row: usize| self.entry(row, hole) as i64;
            *kind == HoleKind::Number || at(end) - at(end - lag) == at(end - lag) - at(end - 2 * lag)
        })
    }
}
