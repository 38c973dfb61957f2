//! Learning to control: from environments to policies.
//!
//! A [`learner::Learner`] acts on [`crate::decide::Environments`], improves its networks and says how it goes; whoever
//! runs it decides when it ends, evaluates, and keeps [`tensors::Tensors`] to go on from. Nothing here touches files or
//! clocks. Networks are in `f32`, environments in `f64`.

pub mod acr;
pub mod critics;
pub mod gaussian;
pub mod interaction;
pub mod learner;
pub mod meter;
pub mod network;
pub mod policy;
pub mod replay;
pub mod sac;
pub mod safetensors;
pub mod scales;
pub mod settings;
pub mod td3;
pub mod tensors;

#[cfg(test)]
mod problems;
