//! What stochastic solvers see beside [`System`](super::System): reaction channels that jump, and noise that diffuses.
//!
//! Both are written beside a system and not into it, so that a solver of ordinary equations never meets them.
//! [`crate::jit::JumpKernels`] and [`crate::jit::DiffusionKernels`] implement them from compiled code; tests implement
//! them by hand.

use super::{At, Work};

/// How the propensity of a channel is computed.
#[derive(Debug, Clone, PartialEq)]
pub enum ChannelLaw {
    /// `constant · Π n (n − 1) … (n − m + 1)` over `(state, m)`, n in items; the constant is one of [`Jumps::constants`].
    MassAction(Vec<(u32, u32)>),
    /// [`Jumps::propensity`], which reads these states.
    Function(Vec<u32>),
}

/// One direction of a reaction: what a single occurrence changes, and how often it occurs.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// `(state, items)`: whole numbers, none zero, each state once.
    pub changes: Vec<(u32, f64)>,
    /// Its propensity.
    pub law: ChannelLaw,
}

/// A network of reactions whose species are counted. Called from many threads at once, each with its own [`Work`].
///
/// All values are constant between two instants at which something scheduled happens, except through the states that a
/// channel's law names.
pub trait Jumps: Send + Sync {
    /// The channels.
    fn channels(&self) -> &[Channel];

    /// `items: n_states` = how many items one unit of each state is; 0 for states that are not counted.
    fn counts(&self, at: At<'_>, work: &mut Work, items: &mut [f64]);

    /// `constants: n_channels`, those of mass action channels; the others are not written.
    fn constants(&self, at: At<'_>, work: &mut Work, constants: &mut [f64]);

    /// The propensity of a [`ChannelLaw::Function`] channel in items per time; `at.x` is in the states' own units.
    fn propensity(&self, channel_idx: usize, at: At<'_>, work: &mut Work) -> f64;
}

/// A nonzero of the diffusion: `(state, noise)`.
pub type DiffusionEntry = (u32, u32);

/// The noise of `dx = f dt + g(t, x) dW`, understood in the sense of Itô.
pub trait Diffusion: Send + Sync {
    /// Number of independent Wiener processes.
    fn n_noises(&self) -> usize;

    /// Where g may be nonzero.
    fn entries(&self) -> &[DiffusionEntry];

    /// `values` = g in the order of [`Diffusion::entries`].
    fn diffusion(&self, at: At<'_>, work: &mut Work, values: &mut [f64]);

    /// Where `Σ_i g_il ∂g_kj/∂x_i` may be nonzero, as `(k, j, l)` with j ≤ l; `None` where the noise does not commute,
    /// that is where the value for (j, l) differs from that for (l, j).
    fn corrections(&self) -> Option<&[(u32, u32, u32)]>;

    /// `values` in the order of [`Diffusion::corrections`].
    fn correction(&self, at: At<'_>, work: &mut Work, values: &mut [f64]);
}
