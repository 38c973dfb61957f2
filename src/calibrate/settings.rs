//! The settings of a fit, and the table by which a checker knows them.

use crate::hir::settings::{SettingKind, SettingSpec};
use crate::integrate::Method;

use super::sampling::Sampling;

/// Settings of `fit trust_region { ... }`.
#[derive(Debug, Clone, PartialEq)]
pub struct FitSettings {
    /// Number of starts. Default 20.
    pub starts: usize,
    /// Relative change of the objective below which a start has converged; the tolerance of the gradient is its
    /// square root, that of the step is the same. Default 1e-8.
    pub tolerance: f64,
    /// Most iterations of one start. Default 300.
    pub max_iterations: usize,
    /// Seed of the starts. Default 1.
    pub seed: u64,
    /// How starts are drawn. Default uniform.
    pub sampling: Sampling,
    /// Whether the first start is the declared values. Default false.
    pub nominal: bool,
    /// Whether priors count (MAP) or not (maximum likelihood). Default true.
    pub priors: bool,
    /// Relative tolerance of the integration. Default 1e-7: a hundred times finer than the changes of the objective
    /// that `tolerance` resolves would need, so that its noise does not stop a search.
    pub rtol: f64,
    /// Absolute tolerance of the integration in the states' units; the caller resolves the default, `rtol` times
    /// the size of each state, into [`super::Experiment::tolerance`]. Default none.
    pub atol: Option<f64>,
    /// Formula of the integration. Default Rodas5P: a search visits stiff corners of the bounds however tame the model
    /// is at its declared values (STAT5, 2026-11: half the time of auto, which fails there now and then).
    pub method: Method,
    /// Most steps of one integration; more is a failed evaluation. Default 20 000.
    pub max_steps: u64,
    /// Level of confidence intervals. Default 0.95.
    pub level: f64,
}

impl Default for FitSettings {
    fn default() -> Self {
        FitSettings {
            starts: 20,
            tolerance: 1e-8,
            max_iterations: 300,
            seed: 1,
            sampling: Sampling::Uniform,
            nominal: false,
            priors: true,
            rtol: 1e-7,
            atol: None,
            method: Method::Rodas5p,
            max_steps: 20_000,
            level: 0.95,
        }
    }
}

/// The settings of `fit trust_region { ... }`, in the order of [`FitSettings`].
pub const SETTINGS: &[SettingSpec] = &[
    SettingSpec {
        name: "starts",
        kind: SettingKind::Integer(1, 1_000_000),
        unit: "",
        default: "20",
        doc: "number of starting points",
    },
    SettingSpec {
        name: "tolerance",
        kind: SettingKind::Number(1e-15, 0.1),
        unit: "",
        default: "1e-8",
        doc: "relative change of the objective below which a start has converged",
    },
    SettingSpec {
        name: "max_iterations",
        kind: SettingKind::Integer(1, 1_000_000),
        unit: "",
        default: "300",
        doc: "most iterations of one start",
    },
    SettingSpec {
        name: "seed",
        kind: SettingKind::Integer(0, i64::MAX),
        unit: "",
        default: "1",
        doc: "seed of the starting points",
    },
    SettingSpec {
        name: "sampling",
        kind: SettingKind::Choice(&["uniform", "halton"]),
        unit: "",
        default: "uniform",
        doc: "how starting points are drawn on the search scale",
    },
    SettingSpec {
        name: "nominal",
        kind: SettingKind::Truth,
        unit: "",
        default: "false",
        doc: "whether the first starting point is the declared values",
    },
    SettingSpec {
        name: "priors",
        kind: SettingKind::Truth,
        unit: "",
        default: "true",
        doc: "whether `~` of estimated parameters counts in the objective",
    },
    SettingSpec {
        name: "rtol",
        kind: SettingKind::Number(1e-14, 0.1),
        unit: "",
        default: "1e-7",
        doc: "relative tolerance of the integration",
    },
    SettingSpec {
        name: "atol",
        kind: SettingKind::Number(1e-300, f64::INFINITY),
        unit: "of each state",
        default: "rtol times the size of each state",
        doc: "absolute tolerance of the integration, one number in the unit of each state",
    },
    SettingSpec {
        name: "method",
        kind: SettingKind::Choice(&["auto", "tsit5", "rodas5p", "bdf"]),
        unit: "",
        default: "rodas5p",
        doc: "formula of the integration",
    },
    SettingSpec {
        name: "max_steps",
        kind: SettingKind::Integer(1, i64::MAX),
        unit: "",
        default: "20000",
        doc: "most steps of one integration",
    },
    SettingSpec {
        name: "level",
        kind: SettingKind::Number(0.01, 0.9999),
        unit: "",
        default: "0.95",
        doc: "level of confidence intervals",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every default that the table prints as a number or a word is the one in force.
    #[test]
    fn table_states_the_defaults_in_force() {
        let d = FitSettings::default();
        let in_force = [
            d.starts.to_string(),
            "1e-8".into(),
            d.max_iterations.to_string(),
            d.seed.to_string(),
            d.sampling.name().into(),
            d.nominal.to_string(),
            d.priors.to_string(),
            "1e-7".into(),
            "rtol times the size of each state".into(),
            d.method.name().into(),
            d.max_steps.to_string(),
            d.level.to_string(),
        ];
        assert_eq!((d.tolerance, d.rtol, d.atol), (1e-8, 1e-7, None));
        assert_eq!(SETTINGS.iter().map(|s| s.default.to_owned()).collect::<Vec<_>>(), in_force);
    }
}
