//! Policies that draw from a normal distribution and squash what they drew into the action space: a = tanh u,
//! u ~ N(μ(o), σ(o)).
//!
//! T. Haarnoja et al., Soft actor-critic, ICML 2018, appendix C. The logarithm of the density is that of a, in the units of
//! the networks, log π = Σ −ε²/2 − log σ − log √2π − log(1 − tanh² u), its last term without cancellation as
//! 2 (log 2 − u − log(1 + e^(−2u))).

use super::network::Adam;
use super::network::{Activation, Init, Mlp, Tape, is_steppable};
use super::tensors::{TensorError, Tensors};
use crate::random::Rng;
use crate::random::ziggurat::Ziggurat;

/// How log σ is kept between its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limiter {
    /// Low + (high − low)(1 + tanh y)/2 for an output y.
    #[default]
    Squash,
    /// Cut off.
    Clip,
}

/// A policy with its tape and what its updates need.
#[derive(Debug, Clone)]
pub struct Gaussian {
    net: Mlp,
    adam: Adam,
    limiter: Limiter,
    low: f32,
    high: f32,
    n_actions: usize,
    tape: Tape,
    gradient: Vec<f32>,
    /// `batch × 2 n_actions`: derivatives by the outputs.
    deltas: Vec<f32>,
}

/// Actions drawn from a policy, with what going back through them needs.
#[derive(Debug, Clone, Default)]
pub struct Drawn {
    /// `batch × n_actions`: the actions, within ±1.
    pub actions: Vec<f32>,
    /// `batch`: logarithms of their densities.
    pub log_densities: Vec<f32>,
    /// `batch × n_actions`: σ ε.
    spreads: Vec<f32>,
    /// `batch × n_actions`: slopes of log σ by the outputs.
    log_slopes: Vec<f32>,
}

impl Gaussian {
    /// A policy with these hidden layers; log σ lies within `low` and `high`.
    pub fn new(
        n_observations: usize,
        n_actions: usize,
        hidden: &[usize],
        (limiter, low, high): (Limiter, f32, f32),
        lr: f32,
        rng: &mut Rng,
    ) -> Gaussian {
        let mut sizes = vec![n_observations];
        sizes.extend(hidden);
        sizes.push(2 * n_actions);
        let net = Mlp::new(&sizes, Activation::Relu, Init::Torch, rng);
        let n = net.params().len();
        Gaussian {
            adam: Adam::new(n, lr),
            limiter,
            low,
            high,
            n_actions,
            tape: net.tape(1),
            gradient: vec![0.0; n],
            deltas: Vec::new(),
            net,
        }
    }

    /// The network: observations to `2 × n_actions` numbers, the means before squashing, then those of log σ.
    pub fn net(&self) -> &Mlp {
        &self.net
    }

    /// Draws an action for each row of observations.
    pub fn draw(&mut self, observations: &[f32], normal: &Ziggurat, rng: &mut Rng, drawn: &mut Drawn) {
        let n_a = self.n_actions;
        let outputs = self.net.forward(observations, &mut self.tape);
        let n = outputs.len() / (2 * n_a);
        for list in [&mut drawn.actions, &mut drawn.spreads, &mut drawn.log_slopes] {
            list.resize(n * n_a, 0.0);
        }
        drawn.log_densities.resize(n, 0.0);
        for (row, output) in outputs.chunks_exact(2 * n_a).enumerate() {
            let mut log_density = 0.0;
            for k in 0..n_a {
                let (log_sigma, slope) = match self.limiter {
                    Limiter::Squash => {
                        let (t, half) = (output[n_a + k].tanh(), 0.5 * (self.high - self.low));
                        (self.low + half * (1.0 + t), half * (1.0 - t * t))
                    }
                    Limiter::Clip => {
                        let y = output[n_a + k];
                        let is_within = y >= self.low && y <= self.high;
                        (y.max(self.low).min(self.high), if is_within { 1.0 } else { 0.0 })
                    }
                };
                let noise = normal.draw(rng) as f32;
                let spread = log_sigma.exp() * noise;
                let u = output[k] + spread;
                drawn.actions[row * n_a + k] = u.tanh();
                drawn.spreads[row * n_a + k] = spread;
                drawn.log_slopes[row * n_a + k] = slope;
                log_density += -0.5 * noise * noise - log_sigma - HALF_LOG_TAU - log_slope_of_tanh(u);
            }
            drawn.log_densities[row] = log_density;
        }
    }

    /// One step down the mean over rows of α log π(a) − V(a) for the actions last drawn, where `d_values: batch ×
    /// n_actions` are the derivatives of V. False where a gradient is not finite, and nothing changes.
    pub fn update(&mut self, drawn: &Drawn, alpha: f32, d_values: &[f32]) -> bool {
        let (n, n_a) = (drawn.log_densities.len(), self.n_actions);
        self.deltas.resize(n * 2 * n_a, 0.0);
        let share = 1.0 / n as f32;
        for (row, deltas) in self.deltas.chunks_exact_mut(2 * n_a).enumerate() {
            for k in 0..n_a {
                let at = row * n_a + k;
                let a = drawn.actions[at];
                // The slope of log π by u is 2 a.
                let by_u = share * (alpha * 2.0 * a - d_values[at] * (1.0 - a * a));
                deltas[k] = by_u;
                deltas[n_a + k] = (by_u * drawn.spreads[at] - share * alpha) * drawn.log_slopes[at];
            }
        }
        self.net.backward(&self.deltas, &mut self.tape, &mut self.gradient, None);
        let is_finite = is_steppable(&self.gradient);
        if is_finite {
            self.adam.step(self.net.params_mut(), &self.gradient);
        }
        is_finite
    }

    /// Writes the network; with `adam`, also the state of its steps.
    pub fn save(&self, adam: bool, to: &mut Tensors) {
        self.net.save("actor", to);
        if adam {
            self.adam.save("adam/actor", to);
        }
    }

    /// Reads what [`Gaussian::save`] wrote.
    ///
    /// # Errors
    /// Where an array is missing, or of another shape.
    pub fn load(&mut self, adam: bool, from: &Tensors) -> Result<(), TensorError> {
        let mut net = self.net.clone();
        net.load("actor", from)?;
        if adam {
            self.adam.load("adam/actor", from)?;
        }
        self.net = net;
        Ok(())
    }
}

/// log √2π.
const HALF_LOG_TAU: f32 = 0.918_938_5;

/// log(1 − tanh² u).
fn log_slope_of_tanh(u: f32) -> f32 {
    // Even in u; of |u| the exponential does not overflow.
    let u = u.abs();
    2.0 * (std::f32::consts::LN_2 - u - (-2.0 * u).exp().ln_1p())
}

#[cfg(test)]
mod tests {
    use num_dual::{Dual64, DualNum};

    use super::*;
    use crate::random::draw::normals;
    use crate::random::stream;

    const LIMITS: (f32, f32) = (-3.0, 1.0);

    /// The policy's loss as its definition says, for values that are linear in the actions: α log π(a) − Σ c a, its mean.
    fn loss(params: &[Dual64], limiter: Limiter, rows: &[f32], noise: &[f64], slopes: &[f32], alpha: f64) -> Dual64 {
        // Two inputs, five hidden units, two actions.
        let (n_o, n_h, n_a) = (2, 5, 2);
        let mut sum = Dual64::from_re(0.0);
        for (row, x) in rows.chunks_exact(n_o).enumerate() {
            let hidden: Vec<Dual64> = (0..n_h)
                .map(|j| {
                    let y = (0..n_o).fold(params[n_o * n_h + j], |y, i| y + params[i * n_h + j] * f64::from(x[i]));
                    if y.re < 0.0 { y * 0.0 } else { y }
                })
                .collect();
            let rest = &params[(n_o + 1) * n_h..];
            let output =
                |k: usize| (0..n_h).fold(rest[n_h * 2 * n_a + k], |y, j| y + rest[j * 2 * n_a + k] * hidden[j]);
            for k in 0..n_a {
                let (low, high) = (f64::from(LIMITS.0), f64::from(LIMITS.1));
                let raw = output(n_a + k);
                let log_sigma = match limiter {
                    Limiter::Squash => (raw.tanh() + 1.0) * (0.5 * (high - low)) + low,
                    Limiter::Clip if raw.re < low => raw * 0.0 + low,
                    Limiter::Clip if raw.re > high => raw * 0.0 + high,
                    Limiter::Clip => raw,
                };
                let e = noise[row * n_a + k];
                let a = (output(k) + log_sigma.exp() * e).tanh();
                let log_density = -log_sigma - 0.5 * e * e - 0.5 * std::f64::consts::TAU.ln() - (-a * a + 1.0).ln();
                sum += log_density * alpha - a * f64::from(slopes[row * n_a + k]);
            }
        }
        sum / (rows.len() / n_o) as f64
    }

    #[test]
    fn updates_go_down_the_loss_that_dual_numbers_say() {
        for limiter in [Limiter::Squash, Limiter::Clip] {
            let (n_rows, alpha) = (6, 0.3f32);
            let limits = (limiter, LIMITS.0, LIMITS.1);
            let mut policy = Gaussian::new(2, 2, &[5], limits, 0.0, &mut stream(1, 0));
            let mut numbers = vec![0.0; policy.net.params().len() + 2 * n_rows + 2 * n_rows];
            normals(&mut stream(2, 0), 1.0, &mut numbers);
            let numbers: Vec<f32> = numbers.iter().map(|v| *v as f32).collect();
            let (params, rest) = numbers.split_at(policy.net.params().len());
            policy.net.params_mut().copy_from_slice(params);
            let (rows, slopes) = rest.split_at(2 * n_rows);
            let (normal, mut drawn) = (Ziggurat::new(), Drawn::default());
            policy.draw(rows, &normal, &mut stream(3, 0), &mut drawn);
            let mut again = stream(3, 0);
            let noise: Vec<f64> = (0..2 * n_rows).map(|_| normal.draw(&mut again)).collect();

            assert!(policy.update(&drawn, alpha, slopes));
            let at = |k: Option<usize>| {
                let dual = |(i, p): (usize, &f32)| Dual64::new(f64::from(*p), if Some(i) == k { 1.0 } else { 0.0 });
                let params: Vec<Dual64> = policy.net.params().iter().enumerate().map(dual).collect();
                loss(&params, limiter, rows, &noise, slopes, f64::from(alpha))
            };
            let ours: f64 = drawn.log_densities.iter().map(|l| f64::from(alpha * l)).sum::<f64>()
                - drawn.actions.iter().zip(slopes).map(|(a, c)| f64::from(a * c)).sum::<f64>();
            assert!((ours / n_rows as f64 - at(None).re).abs() < 1e-4, "{limiter:?}");
            for (k, ours) in policy.gradient.iter().enumerate() {
                let exact = at(Some(k)).eps;
                // Slopes of f32 where a² is close to 1 lose a few digits.
                assert!(
                    (f64::from(*ours) - exact).abs() < 1e-4 * (1.0 + exact.abs()),
                    "{limiter:?} {k}: {ours} {exact}"
                );
            }
        }
    }

    #[test]
    fn densities_far_out_do_not_overflow() {
        for u in [0.0f32, 3.0, 20.0, 500.0, -500.0] {
            let exact = if u.abs() < 9.0 {
                (1.0 - f64::from(u).tanh().powi(2)).ln()
            } else {
                1.3863 - 2.0 * f64::from(u.abs())
            };
            assert!((f64::from(log_slope_of_tanh(u)) - exact).abs() < 1e-4 * (1.0 + exact.abs()), "{u}");
        }
    }
}
