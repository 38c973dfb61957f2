//! Learning to control: from environments to policies.
//!
//! A [`learner::Learner`] acts on [`crate::decide::Environments`], improves its networks and says how it goes; whoever
//! runs it decides when it ends, evaluates, and keeps [`tensors::Tensors`] to go on from. Nothing here touches files or
//! clocks. Networks are in `f32`, environments in `f64`.

pub mod acr;
pub mod actor_critic;
pub mod album;
pub mod algorithms;
pub mod cpo;
pub mod critics;
pub mod distill;
pub mod dqn;
pub mod environments;
pub mod gaussian;
pub mod greedy;
pub mod head;
pub mod interaction;
pub mod learner;
pub mod meter;
pub mod network;
pub mod play;
pub mod policy;
pub mod ppo;
pub mod ppo_lagrangian;
#[cfg(test)]
mod problems;
pub mod replay;
pub mod rollout;
pub mod sac;
pub mod safetensors;
pub mod scaler;
pub mod scales;
pub mod settings;
pub mod td3;
pub mod tensors;
pub mod train;

#[cfg(test)]
mod tests;
