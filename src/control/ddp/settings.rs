//! The settings of iLQR and DDP, and the table by which a checker knows them.

use crate::hir::settings::{SettingKind, SettingSpec};
use crate::system::stages::Curvature;

/// Settings of [`super::Ddp`].
#[derive(Debug, Clone, PartialEq)]
pub struct DdpSettings {
    /// Second derivatives of the steps and exact ones of the costs (DDP), or neither (iLQR). Default exact.
    pub curvature: Curvature,
    /// Largest relative change of an input in the last step at which a plan is optimal. Default 1e-6.
    pub tolerance: f64,
    /// Largest violation of a hard row or state bound, in its unit. Default 1e-6.
    pub constraint_tolerance: f64,
    /// Most backward passes of a plan. Default 200.
    pub max_iterations: usize,
    /// First weight of the squares of violations in the augmented Lagrangian, in the cost's unit per square of the
    /// row's. Default 10.
    pub penalty: f64,
    /// Whether the shorter steps of a line search are tried in parallel. The result is the same. Default false: pays from
    /// about 100 µs for one simulation of the horizon.
    pub parallel: bool,
}

impl Default for DdpSettings {
    fn default() -> Self {
        DdpSettings {
            curvature: Curvature::Exact,
            tolerance: 1e-6,
            constraint_tolerance: 1e-6,
            max_iterations: 200,
            penalty: 10.0,
            parallel: false,
        }
    }
}

impl DdpSettings {
    /// The settings of iLQR: Gauss–Newton, linear steps.
    pub fn ilqr() -> Self {
        DdpSettings { curvature: Curvature::GaussNewton, ..DdpSettings::default() }
    }
}

/// The settings of `ilqr { ... }` and `ddp { ... }`.
pub const SETTINGS: &[SettingSpec] = &[
    SettingSpec {
        name: "tolerance",
        kind: SettingKind::Number(1e-14, 0.1),
        unit: "",
        default: "1e-6",
        doc: "largest relative change of an input in the last step",
    },
    SettingSpec {
        name: "constraint_tolerance",
        kind: SettingKind::Number(1e-14, 1e6),
        unit: "of each constraint",
        default: "1e-6",
        doc: "largest violation of a hard constraint",
    },
    SettingSpec {
        name: "max_iterations",
        kind: SettingKind::Integer(1, 1_000_000),
        unit: "",
        default: "200",
        doc: "most backward passes of a plan",
    },
    SettingSpec {
        name: "penalty",
        kind: SettingKind::Number(1e-12, 1e12),
        unit: "",
        default: "10",
        doc: "first weight of squared violations of rows and state bounds",
    },
    SettingSpec {
        name: "parallel",
        kind: SettingKind::Truth,
        unit: "",
        default: "false",
        doc: "whether the shorter steps of a line search are tried in parallel",
    },
];
