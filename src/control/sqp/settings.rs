//! The settings of SQP and of real-time iteration, and the table by which a checker knows them.

use crate::hir::settings::{SettingKind, SettingSpec};

/// Which second derivatives the quadratic problems have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hessian {
    /// Gauss–Newton ones, and where they take long, exact ones.
    #[default]
    Auto,
    /// Those of the squares in the costs: convex, cheap, and good where residuals or curvatures are small.
    GaussNewton,
    /// Those of the Lagrangian, made convex where they are not.
    Exact,
}

impl Hessian {
    /// The word for it in a model.
    pub fn from_name(name: &str) -> Option<Hessian> {
        match name {
            "auto" => Some(Hessian::Auto),
            "gauss_newton" => Some(Hessian::GaussNewton),
            "exact" => Some(Hessian::Exact),
            _ => None,
        }
    }
}

/// Settings of [`super::Sqp`].
#[derive(Debug, Clone, PartialEq)]
pub struct SqpSettings {
    /// Second derivatives. Default auto.
    pub hessian: Hessian,
    /// Largest component of the gradient of the Lagrangian, relative to the largest gradient or costate, at which a
    /// plan is optimal. Default 1e-8.
    pub tolerance: f64,
    /// Largest violation of a step or a hard constraint, relative to the number bounded where that is above 1; it is
    /// the square of that or so after the last step. Default 1e-9.
    pub constraint_tolerance: f64,
    /// Most quadratic problems of a plan, those of second-order corrections not counted. Default 200.
    pub max_iterations: usize,
    /// One full step from the plan before, shifted, and no search: real-time iteration. Default false.
    pub is_real_time: bool,
}

impl Default for SqpSettings {
    fn default() -> Self {
        SqpSettings {
            hessian: Hessian::Auto,
            tolerance: 1e-8,
            constraint_tolerance: 1e-9,
            max_iterations: 200,
            is_real_time: false,
        }
    }
}

impl SqpSettings {
    /// The settings of real-time iteration.
    pub fn real_time() -> Self {
        SqpSettings { is_real_time: true, ..SqpSettings::default() }
    }
}

/// The settings of `sqp { ... }` and `rti { ... }`.
pub const SETTINGS: &[SettingSpec] = &[
    SettingSpec {
        name: "hessian",
        kind: SettingKind::Choice(&["auto", "gauss_newton", "exact"]),
        unit: "",
        default: "auto",
        doc: "second derivatives of the quadratic problems; auto takes exact ones where Gauss-Newton takes long",
    },
    SettingSpec {
        name: "tolerance",
        kind: SettingKind::Number(1e-14, 0.1),
        unit: "",
        default: "1e-8",
        doc: "relative size of the Lagrangian's gradient at which a plan is optimal",
    },
    SettingSpec {
        name: "constraint_tolerance",
        kind: SettingKind::Number(1e-14, 0.1),
        unit: "",
        default: "1e-9",
        doc: "largest violation of a step or a hard constraint before the last step, relative to numbers above 1",
    },
    SettingSpec {
        name: "max_iterations",
        kind: SettingKind::Integer(1, 1_000_000),
        unit: "",
        default: "200",
        doc: "most quadratic problems of a plan",
    },
];
