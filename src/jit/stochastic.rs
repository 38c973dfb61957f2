//! Compiled reactions and noise: [`JumpKernels`] and [`DiffusionKernels`] beside [`Kernels`].
//!
//! Mass action stays a table; only other laws become code, one kernel for each so that a reaction computes what it
//! changes and no more.

use std::collections::BTreeMap;

use super::CompileError;
use super::kernel::Kernel;
use super::kernels::Kernels;
use crate::expr::{Dag, Leaf, Node, NodeId, Proof, Wrt, gradients, prove_zero};
use crate::flat::JumpLaw;
use crate::system::stochastic::{Channel, ChannelLaw, Diffusion, DiffusionEntry, Jumps};
use crate::system::{At, Work};

/// The reactions of a model, counted.
pub struct JumpKernels {
    channels: Vec<Channel>,
    counts: Kernel,
    constants: Kernel,
    /// For each channel with a law of its own.
    laws: Vec<Option<Kernel>>,
}

impl JumpKernels {
    /// Compiles what [`crate::flat::flatten_counting`] found; channels are numbered as the model's reactions. A reaction
    /// that is refused never happens: ask [`crate::flat::FlatModel::check_jumps`] first.
    ///
    /// # Errors
    /// As [`Kernels::compile`].
    pub fn compile(kernels: &Kernels) -> Result<JumpKernels, CompileError> {
        let model = kernels.model();
        let empty = crate::flat::Jumps::default();
        let jumps = model.jumps.as_ref().unwrap_or(&empty);
        let counts: Vec<NodeId> =
            (0..model.states.len()).map(|k| jumps.counts.get(k).copied().flatten().unwrap_or(Dag::ZERO)).collect();
        let mut channels = Vec::with_capacity(model.reactions.len());
        let mut constants = Vec::with_capacity(model.reactions.len());
        let mut lists = Vec::new();
        let mut places = Vec::with_capacity(model.reactions.len());
        for (reaction, law) in model.reactions.iter().zip(&jumps.laws) {
            let mut place = None;
            let (law, constant) = match law {
                JumpLaw::MassAction { constant, reactants } => (ChannelLaw::MassAction(reactants.clone()), *constant),
                JumpLaw::Function(propensity) => {
                    place = Some(lists.len());
                    lists.push(vec![*propensity]);
                    (ChannelLaw::Function(moving_states(kernels, *propensity)), Dag::ZERO)
                }
                JumpLaw::Idle | JumpLaw::Refused(..) => (ChannelLaw::MassAction(Vec::new()), Dag::ZERO),
            };
            let is_counted = |state: u32| jumps.counts.get(state as usize).is_some_and(Option::is_some);
            let changes = reaction.changes.iter().copied().filter(|&(state, _)| is_counted(state)).collect();
            channels.push(Channel { changes, law });
            constants.push(constant);
            places.push(place);
        }
        lists.push(counts);
        lists.push(constants);
        let mut compiled: Vec<Option<Kernel>> = kernels.compile_each(&lists)?.into_iter().map(Some).collect();
        let missing = || CompileError::Backend("no kernel came out".to_owned());
        let constants = compiled.pop().flatten().ok_or_else(missing)?;
        let counts = compiled.pop().flatten().ok_or_else(missing)?;
        let laws = places.iter().map(|place| place.and_then(|k| compiled[k].take())).collect();
        Ok(JumpKernels { channels, counts, constants, laws })
    }
}

/// The states that a node reads and that reactions move.
fn moving_states(kernels: &Kernels, node: NodeId) -> Vec<u32> {
    let states = &kernels.model().states;
    let dag = kernels.dag();
    let read = dag.reachable(&[node]).into_iter().filter_map(|id| match dag.node(id) {
        Node::Leaf(Leaf::State(state)) if !states[state as usize].is_discrete => Some(state),
        _ => None,
    });
    read.collect()
}

impl Jumps for JumpKernels {
    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn counts(&self, at: At<'_>, work: &mut Work, items: &mut [f64]) {
        self.counts.call(at, work, items);
    }

    fn constants(&self, at: At<'_>, work: &mut Work, constants: &mut [f64]) {
        self.constants.call(at, work, constants);
    }

    fn propensity(&self, channel_idx: usize, at: At<'_>, work: &mut Work) -> f64 {
        let mut out = [0.0];
        if let Some(kernel) = &self.laws[channel_idx] {
            kernel.call(at, work, &mut out);
        }
        out[0]
    }
}

/// The noise of a model.
pub struct DiffusionKernels {
    n_noises: usize,
    entries: Vec<DiffusionEntry>,
    diffusion: Kernel,
    /// `None` where the noise does not commute.
    corrections: Option<Vec<(u32, u32, u32)>>,
    correction: Kernel,
}

impl DiffusionKernels {
    /// Compiles the diffusion and `Σ_i g_il ∂g_kj/∂x_i`; that the noise commutes is proved symbolically.
    ///
    /// # Errors
    /// As [`Kernels::compile`].
    pub fn compile(kernels: &Kernels) -> Result<DiffusionKernels, CompileError> {
        let terms = &kernels.model().diffusion;
        let nodes: Vec<NodeId> = terms.iter().map(|&(.., g)| g).collect();
        let mut found: BTreeMap<(u32, u32, u32), NodeId> = BTreeMap::new();
        let mut commutes = true;
        {
            let mut dag = kernels.dag();
            let slopes = gradients(&mut dag, &nodes, Wrt::States);
            for (&(k, j, _), slopes) in terms.iter().zip(&slopes) {
                for &(i, slope) in slopes {
                    for &(_, l, g) in terms.iter().filter(|(state, ..)| *state == i) {
                        let product = dag.mul(g, slope);
                        let known = found.get(&(k, j, l)).copied().unwrap_or(Dag::ZERO);
                        let sum = dag.add(known, product);
                        found.insert((k, j, l), sum);
                    }
                }
            }
            let at = |key: (u32, u32, u32)| found.get(&key).copied().unwrap_or(Dag::ZERO);
            for &(k, j, l) in found.keys() {
                let difference = dag.sub(at((k, j, l)), at((k, l, j)));
                commutes &= match prove_zero(&dag, difference, &[]) {
                    Proof::Zero => true,
                    Proof::NonZero { .. } | Proof::Unknown => false,
                };
            }
        }
        let kept = found.into_iter().filter(|&((_, j, l), node)| j <= l && node != Dag::ZERO && commutes);
        let (corrections, correction): (Vec<_>, Vec<_>) = kept.unzip();
        let mut compiled = kernels.compile_each(&[nodes, correction])?;
        let missing = || CompileError::Backend("no kernel came out".to_owned());
        let correction = compiled.pop().ok_or_else(missing)?;
        let diffusion = compiled.pop().ok_or_else(missing)?;
        Ok(DiffusionKernels {
            n_noises: kernels.model().noises.len(),
            entries: terms.iter().map(|&(state, noise, _)| (state, noise)).collect(),
            diffusion,
            corrections: commutes.then_some(corrections),
            correction,
        })
    }
}

impl Diffusion for DiffusionKernels {
    fn n_noises(&self) -> usize {
        self.n_noises
    }

    fn entries(&self) -> &[DiffusionEntry] {
        &self.entries
    }

    fn diffusion(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.diffusion.call(at, work, values);
    }

    fn corrections(&self) -> Option<&[(u32, u32, u32)]> {
        self.corrections.as_deref()
    }

    fn correction(&self, at: At<'_>, work: &mut Work, values: &mut [f64]) {
        self.correction.call(at, work, values);
    }
}
