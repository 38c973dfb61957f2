//! What a policy met while it was not changed: the experience of one update of an on-policy method, and advantages from it.
//!
//! Steps stand in the order they were made, all copies of one instant together, so that row `t · n_copies + i` is copy `i`
//! at instant `t`. Advantages are those of J. Schulman, P. Moritz, S. Levine, M. Jordan and P. Abbeel, High-dimensional
//! continuous control using generalized advantage estimation, ICLR 2016, eq. 16: sums of temporal differences that decay by
//! `γ λ` and end where an episode ends. An episode that failed or was done is worth nothing afterwards; one whose time was
//! up is worth what its last observation is.

/// How the episode stands after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It goes on.
    GoesOn,
    /// It ended by itself.
    Terminated,
    /// Its time was up; row of [`Rollout::tails`] with its last observation.
    Truncated(usize),
}

/// Steps of all copies.
#[derive(Debug, Clone, Default)]
pub struct Rollout {
    /// How many copies.
    pub n_copies: usize,
    /// `n_rows × n_inputs`: what the networks were shown.
    pub inputs: Vec<f32>,
    /// `n_copies × n_inputs`: what they will be shown next.
    pub next_inputs: Vec<f32>,
    /// Inputs at the ends of episodes whose time was up.
    pub tails: Vec<f32>,
    /// `n_rows × n_drawn`: what was drawn from the policy, before it became an action.
    pub drawn: Vec<f32>,
    /// `n_rows`: logarithm of the probability (density) of what was drawn.
    pub log_probs: Vec<f64>,
    /// `n_rows`.
    pub rewards: Vec<f64>,
    /// `n_rows`: 1 where the step failed, else 0.
    pub costs: Vec<f64>,
    /// `n_rows`.
    pub ends: Vec<End>,
}

impl Rollout {
    /// Without steps.
    pub fn new(n_copies: usize) -> Rollout {
        Rollout { n_copies, ..Rollout::default() }
    }

    /// How many steps of single copies.
    pub fn n_rows(&self) -> usize {
        self.rewards.len()
    }

    /// Forgets the steps, keeps the memory.
    pub fn clear(&mut self) {
        self.inputs.clear();
        self.next_inputs.clear();
        self.tails.clear();
        self.drawn.clear();
        self.log_probs.clear();
        self.rewards.clear();
        self.costs.clear();
        self.ends.clear();
    }
}

/// What a state is worth before and after each step.
#[derive(Debug, Clone, Copy)]
pub struct Worth<'a> {
    /// `n_rows`: of the inputs.
    pub values: &'a [f64],
    /// `n_copies`: of the next inputs.
    pub next: &'a [f64],
    /// Of the tails.
    pub tails: &'a [f64],
}

/// `out: n_rows` = advantages of `signal: n_rows`, which is the rewards or the costs; `gamma` discounts, `lambda` trades
/// bias (0) for variance (1). Adding the values gives the targets of the value network.
pub fn advantages(
    signal: &[f64],
    ends: &[End],
    worth: &Worth<'_>,
    n_copies: usize,
    gamma: f64,
    lambda: f64,
    out: &mut Vec<f64>,
) {
    let n = signal.len();
    out.clear();
    out.resize(n, 0.0);
    for row in (0..n).rev() {
        let has_later = row + n_copies < n;
        let (next, trace) = match ends[row] {
            End::Terminated => (0.0, 0.0),
            End::Truncated(tail) => (worth.tails[tail], 0.0),
            End::GoesOn if has_later => (worth.values[row + n_copies], out[row + n_copies]),
            End::GoesOn => (worth.next[row % n_copies], 0.0),
        };
        out[row] = signal[row] + gamma * next - worth.values[row] + gamma * lambda * trace;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_are_weighted_sums_of_differences_within_episodes() {
        // Two copies, four instants. Copy 0 fails at instant 1; the time of copy 1 is up at instant 2.
        let signal = [1.0, 2.0, -3.0, 0.5, 1.5, 2.5, 0.25, -1.0];
        let values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
        let (next, tails) = ([0.9, 1.0], [7.0]);
        let go = End::GoesOn;
        let ends = [go, go, End::Terminated, go, go, End::Truncated(0), go, go];
        let (gamma, lambda) = (0.9, 0.8);
        let worth = Worth { values: &values, next: &next, tails: &tails };
        let mut out = Vec::new();
        advantages(&signal, &ends, &worth, 2, gamma, lambda, &mut out);

        // Equation 16 written out for each copy by itself.
        let episodes: [(&[usize], f64); 4] = [(&[0, 2], 0.0), (&[4, 6], 0.9), (&[1, 3, 5], 7.0), (&[7], 1.0)];
        for (rows, last) in episodes {
            let n = rows.len();
            let delta = |k: usize| {
                let after = if k + 1 < n { values[rows[k + 1]] } else { last };
                signal[rows[k]] + gamma * after - values[rows[k]]
            };
            for k in 0..n {
                let exact: f64 = (k..n).map(|l| (gamma * lambda).powi((l - k) as i32) * delta(l)).sum();
                assert!((out[rows[k]] - exact).abs() < 1e-14, "row {}", rows[k]);
            }
        }
    }

    #[test]
    fn with_lambda_one_targets_are_discounted_returns() {
        let signal = [1.0, 1.0, 1.0];
        let ends = [End::GoesOn, End::GoesOn, End::Terminated];
        let values = [5.0, -2.0, 9.0];
        let mut out = Vec::new();
        let worth = Worth { values: &values, next: &[100.0], tails: &[] };
        advantages(&signal, &ends, &worth, 1, 0.5, 1.0, &mut out);
        let targets: Vec<f64> = out.iter().zip(values).map(|(a, v)| a + v).collect();
        assert_eq!(targets, [1.75, 1.5, 1.0]);
    }
}
