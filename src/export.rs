//! Results for people and programs: tables (CSV, Parquet), plots (SVG), the report of a fit (HTML), models and tasks as LaTeX,
//! models as Graphviz, and the hash that names what a run was made from.
//!
//! Everything is a pure function to text or bytes with deterministic output: no clock, no machine, no random numbers.
//! The caller hands the bytes to a [`crate::source::Sink`].

pub mod dot;
pub mod hash;
pub mod latex;
pub mod plot;
pub mod report;
pub mod snapshot;
pub mod table;
pub mod task;
pub mod tensorboard;
