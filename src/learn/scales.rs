//! Between the units of an environment and those of networks, which see observations on the scale of their space and act
//! between −1 and 1.

use super::tensors::{TensorError, Tensors};
use crate::decide::Space;

/// Between the units of an environment and those of the networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Scales {
    observation_middle: Vec<f64>,
    observation_reach: Vec<f64>,
    action_middle: Vec<f64>,
    action_reach: Vec<f64>,
}

/// Middle and half width of every axis; 0 and 1 where it is open.
fn middle_and_reach(space: &Space) -> (Vec<f64>, Vec<f64>) {
    let ends = space.low.iter().zip(&space.high);
    ends.map(|(low, high)| {
        let reach = 0.5 * (high - low);
        if reach.is_finite() && reach > 0.0 { (0.5 * (low + high), reach) } else { (0.0, 1.0) }
    })
    .unzip()
}

impl Scales {
    /// Those of these spaces. Observations are left as they are where `scales_observations` is not set, and along axes that
    /// are open.
    pub fn new(observations: &Space, actions: &Space, scales_observations: bool) -> Scales {
        let n = observations.len();
        let (observation_middle, observation_reach) =
            if scales_observations { middle_and_reach(observations) } else { (vec![0.0; n], vec![1.0; n]) };
        let (action_middle, action_reach) = middle_and_reach(actions);
        Scales { observation_middle, observation_reach, action_middle, action_reach }
    }

    /// Length of an observation.
    pub fn n_observations(&self) -> usize {
        self.observation_middle.len()
    }

    /// Length of an action.
    pub fn n_actions(&self) -> usize {
        self.action_middle.len()
    }

    /// Sum over actions of the logarithms of their half widths.
    pub fn log_reach(&self) -> f64 {
        self.action_reach.iter().map(|reach| reach.ln()).sum()
    }

    /// `scaled` = observations as the networks see them; both of any number of rows.
    pub fn observe(&self, observations: &[f64], scaled: &mut [f32]) {
        let n = self.n_observations();
        for (row, scaled) in observations.chunks_exact(n).zip(scaled.chunks_exact_mut(n)) {
            for (k, (o, s)) in row.iter().zip(scaled).enumerate() {
                *s = ((o - self.observation_middle[k]) / self.observation_reach[k]) as f32;
            }
        }
    }

    /// `actions` = those of the networks, within the action space; both of any number of rows.
    pub fn act(&self, scaled: &[f32], actions: &mut [f64]) {
        let n = self.n_actions();
        for (row, actions) in scaled.chunks_exact(n).zip(actions.chunks_exact_mut(n)) {
            for (k, (s, a)) in row.iter().zip(actions).enumerate() {
                *a = self.action_middle[k] + self.action_reach[k] * f64::from(*s).clamp(-1.0, 1.0);
            }
        }
    }

    /// Cuts actions off at the ends of their space; any number of rows.
    pub fn clip(&self, actions: &mut [f64]) {
        for row in actions.chunks_exact_mut(self.n_actions()) {
            for (action, (middle, reach)) in row.iter_mut().zip(self.action_middle.iter().zip(&self.action_reach)) {
                *action = action.clamp(middle - reach, middle + reach);
            }
        }
    }

    /// `scaled` = actions as the networks see them.
    pub fn scale_actions(&self, actions: &[f64], scaled: &mut [f32]) {
        let n = self.n_actions();
        for (row, scaled) in actions.chunks_exact(n).zip(scaled.chunks_exact_mut(n)) {
            for (k, (a, s)) in row.iter().zip(scaled).enumerate() {
                *s = (((a - self.action_middle[k]) / self.action_reach[k]) as f32).clamp(-1.0, 1.0);
            }
        }
    }

    /// Writes them as `<name>/observation` and `<name>/action`, each `2 × n`: middles and reaches.
    pub fn save(&self, name: &str, to: &mut Tensors) {
        let observation = [&self.observation_middle[..], &self.observation_reach].concat();
        to.put(&format!("{name}/observation"), &[2, self.n_observations()], &observation);
        let action = [&self.action_middle[..], &self.action_reach].concat();
        to.put(&format!("{name}/action"), &[2, self.n_actions()], &action);
    }

    /// Reads what [`Scales::save`] wrote.
    ///
    /// # Errors
    /// Where it is missing or not two rows.
    pub fn load(name: &str, from: &Tensors) -> Result<Scales, TensorError> {
        let halves = |what: &str| -> Result<(Vec<f64>, Vec<f64>), TensorError> {
            let name = format!("{name}/{what}");
            let n = from.shaped::<f64>(&name)?.1.last().copied().unwrap_or(0);
            let (middle, reach) = from.get::<f64>(&name, &[2, n])?.split_at(n);
            Ok((middle.to_vec(), reach.to_vec()))
        };
        let (observation_middle, observation_reach) = halves("observation")?;
        let (action_middle, action_reach) = halves("action")?;
        Ok(Scales { observation_middle, observation_reach, action_middle, action_reach })
    }
}
